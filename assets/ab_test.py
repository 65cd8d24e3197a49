"""The daily A/B of the live symbol's challenger against its champion, and the end of a challenger that does harm."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg
import polars as pl

from assets.ab_pairs import Contest, contest_of
from assets.checks import Verdict
from assets.partitions import WHOLE, Part
from assets.plots import markdown_table
from assets.registered_model import model_name
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from backtest.report import figure_text
from config.settings import Settings
from market.errors import RegistryError
from monitoring.ab import HARM, WINNERS, AbResult
from monitoring.ab_boundaries import LEAST_DAYS
from monitoring.ab_figures import FIGURES
from monitoring.report import content_sha
from storage.lake import Lake
from storage.promotions import REJECTED, Promotion
from storage.registry import CHAMPION, Registry

TABLE: Final = "ab_test"
FIGURE: Final = {
    "figure": pl.String,
    "champion": pl.Float64,
    "challenger": pl.Float64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "note": pl.String,
}


@dg.asset(deps=["live_journal", "paid_cost"], group_name="contest", kinds={"parquet"})
def ab_test(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> dg.MaterializeResult:
    """One line a figure: either arm, the difference and its interval; the verdict is metadata."""
    part = Part(settings.live.symbol, WHOLE)
    found = contest_of(settings, lake, part.symbol)
    frame = pl.DataFrame(figure_rows(found), schema=FIGURE)
    upstream = [content_shas(passed(lake, name, part))[:1] for name in ("live_journal", "paid_cost")]
    inputs = inputs_sha(TABLE, [settings.trading.horizon_ms], upstream, ["backtest", "monitoring"])
    rows = [[row["figure"], *(figure_text(row[key]) for key in list(FIGURE)[1:-1])] for row in frame.rows(named=True)]
    pages = {"figures": dg.MetadataValue.md(markdown_table(list(FIGURE)[:-1], rows))}
    return publish(lake, TABLE, part, Table(frame, contest_facts(found), pages=pages), inputs)


@dg.multi_asset_check(
    specs=blocking(
        TABLE,
        judged_as_stated=f"Nobody wins before {LEAST_DAYS} days or by less than all looks together allow; each figure "
        "stands once, and intervals run upwards.",
    )
)
def ab_test_hold(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> Iterator[dg.AssetCheckResult]:
    """The rules of the A/B hold in what it said."""
    part = Part(settings.live.symbol, WHOLE)
    table = lake.scan(TABLE, part.symbol, [part.key], unchecked=True).collect()
    yield from judge(lake, TABLE, part, [judged_as_stated(table, lake.manifest(TABLE, *part).metadata)])


@dg.asset(deps=[TABLE], group_name="harm", kinds={"mlflow"})
def rejected_challenger(
    settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake], registry: dg.ResourceParam[Registry]
) -> dg.MaterializeResult:
    """The challenger that the A/B has stopped, barred in the ledger: no gate and no runner takes it any more."""
    symbol = settings.live.symbol
    facts = lake.manifest(TABLE, symbol, WHOLE).metadata
    line = end_challenger(registry, model_name(settings, symbol), facts)
    return dg.MaterializeResult(
        metadata={"model": line.model, "version": line.to_version, "bundle_sha": line.bundle_sha, "reason": line.reason}
    )


def ab_verdict(lake: Lake, symbol: str, bundle_sha: str) -> str | None:
    """What the newest A/B of a symbol that passed its checks says of a challenger; None if it was not of this one."""
    made = passed(lake, TABLE, Part(symbol, WHOLE))
    if made is None or made.metadata["challenger_sha"] != bundle_sha:
        return None
    facts = made.metadata
    return f"{facts['said']} {facts['days']:.1f} days against the champion {str(facts['champion_sha'])[:12]}."


def end_challenger(registry: Registry, model: str, facts: dict[str, Any]) -> Promotion:
    """The ledger's line against the challenger of an A/B, which is written once.

    Raises RegistryError if the A/B was not stopped for harm, or the registry knows no such challenger.
    """
    if facts["verdict"] != HARM:
        raise RegistryError(f"the A/B of {model} says {facts['verdict']}: nothing is rejected for that")
    sha = str(facts["challenger_sha"])
    if (known := registry.ledger.rejection(sha, model)) is not None:
        return known
    version = registry.holding(model, sha)
    if version is None:
        raise RegistryError(f"{model} has no version with bundle {sha[:12]}, which the A/B has stopped")
    if version == registry.aliased(model, CHAMPION):
        raise RegistryError(f"{model} {version.version} is champion by now: main.py registry rollback is for a person")
    when, why = datetime.now(UTC).isoformat(timespec="seconds"), f"A/B {facts['said']}"
    line = Promotion(when, TABLE, model, REJECTED, None, version.version, sha, {}, why)
    registry.reject(line)
    return line


def figure_rows(found: Contest) -> list[dict[str, Any]]:
    """A row a figure; none where the arms could not be compared at all."""
    result = found.result
    gaps = {name: result.differences[name] for name in FIGURES if name in result.differences}
    return [
        {
            "figure": name,
            **{arm: figures[name] for arm, figures in result.arms.items()},
            "difference": gap.estimate,
            "low": gap.low,
            "high": gap.high,
            "note": gap.note,
        }
        for name, gap in gaps.items()
    ]


def contest_facts(found: Contest) -> dict[str, Any]:
    """The A/B in brief; a sensor reads ``verdict``, ``said``, ``challenger_sha``, ``report_sha`` and nothing else."""
    result = found.result
    return {
        "verdict": result.verdict,
        "said": result.sentence,
        "days": result.days,
        "stopped_on": result.stopped_on or 0,
        **_over_looks(result),
        "detectable": "insufficient" if result.detectable is None else result.detectable,
        **{f"{arm}_sha": sha for arm, sha in found.shas.items()},
        "since_ts": found.since_ts,
        "report_sha": content_sha(result),
    }


def judged_as_stated(table: pl.DataFrame, facts: dict[str, Any]) -> Verdict:
    """Nobody wins too early or by too little, each figure stands once, and no interval ends below its beginning."""
    backwards = table.filter(pl.col("low") > pl.col("high")).height
    wins = facts["verdict"] in WINNERS
    early = wins and facts["days"] < LEAST_DAYS
    little = wins and facts["over_looks_low"] <= 0 <= facts["over_looks_high"]
    twice = table.height - table["figure"].n_unique()
    shown: dict[str, float | int | str] = {
        "days": facts["days"],
        "too_little": int(little),
        "backwards": backwards,
        "twice": twice,
    }
    return Verdict("judged_as_stated", not (early or little or backwards or twice), shown)


def _over_looks(result: AbResult) -> dict[str, float]:
    """The interval of the Sharpe difference that a winner is named by; nothing while there is none."""
    found = result.over_looks
    if found is None or found.low is None or found.high is None:
        return {}
    return {"over_looks_low": found.low, "over_looks_high": found.high}
