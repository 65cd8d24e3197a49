"""The parity ladder of the live symbol's journal: how far it was climbed, and what whoever promotes is told of it."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

import dagster as dg
import polars as pl

from assets.checks import Verdict
from assets.partitions import WHOLE, Part
from assets.plots import line_chart, markdown_table
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from config.settings import Settings
from monitoring.profit_parity import FAILED, INSUFFICIENT, Level, Waterfall
from storage.lake import PASSED, Lake

TABLE: Final = "parity"
EXACT: Final = (1, 2)  # levels that are equal bit for bit, or wrong


class Climbed(Protocol):
    """What came of a climb; ``live.ladder.Ladder`` is one."""

    symbol: str
    desk: str
    levels: tuple[Level, ...]
    causes: Waterfall | None
    minutes: pl.DataFrame | None
    models: Mapping[str, Any]  # by bundle sha, named tuples of rows and newest_ts
    verdict: str
    why: str


class Climber(Protocol):
    """The live room's ladder, handed in: this room never imports that one."""

    def climb(self, settings: Settings, symbol: str) -> Climbed:
        """All levels on a symbol's journal."""


class ParityVerdict(NamedTuple):
    """What the newest climb says of a symbol."""

    verdict: str  # passed, failed or insufficient
    why: str


def parity_verdict(lake: Lake, symbol: str, bundle_sha: str, oldest_ns: int, now_ns: int) -> ParityVerdict:
    """The newest verdict on a symbol's journal; insufficient unless its checks passed and a model decided there lately.

    Session, gateway and matching are the same for every model, so that the verdict is a candidate's, too; where it has
    not decided there itself, which it does only once the gates have let it into shadow, the reason says so.

    oldest_ns, now_ns : UTC, the journal's newest decision of a model may lie neither before the one nor after the other
    """
    if not lake.holds(TABLE, symbol, WHOLE):
        return ParityVerdict(INSUFFICIENT, f"no journal of {symbol} was held against its backtest; run the job ladder")
    manifest = lake.manifest(TABLE, symbol, WHOLE)
    facts = manifest.metadata
    said, models = ParityVerdict(str(facts["verdict"]), str(facts["why"])), facts.get("models", {})
    lacking = lacks(models, oldest_ns, now_ns) if manifest.verdict == PASSED else "its checks have not passed"
    if lacking and said.verdict != FAILED:
        return ParityVerdict(INSUFFICIENT, f"{lacking}; {said.why}")
    beside = "" if bundle_sha in models else f"; bundle {bundle_sha[:12]} has not decided in this journal"
    return ParityVerdict(said.verdict, said.why + beside)


def lacks(models: Mapping[str, Mapping[str, int]], oldest_ns: int, now_ns: int) -> str:
    """Why a journal says nothing of how we trade now; empty if it does.

    models : by bundle sha, ``newest_ts`` in ns UTC
    """
    newest = max((found["newest_ts"] for found in models.values()), default=None)
    if newest is None:
        return "no row of the journal was decided with a model"
    if newest < oldest_ns:
        return f"a model decided last at {_second(newest)}, longer ago than parity.recent_days"
    if newest > now_ns:
        return f"a model decided last at {_second(newest)}, which is yet to come"
    return ""


@dg.asset(deps=["live_journal"], group_name="monitoring", kinds={"parquet"})
def parity(
    settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake], climber: dg.ResourceParam[Climber]
) -> dg.MaterializeResult:
    """One line a level: verdict, why, figures; the causes of a difference in profit and its minutes beside them."""
    part = Part(settings.live.symbol, WHOLE)
    found = climber.climb(settings, part.symbol)
    upstream = content_shas(passed(lake, "live_journal", part))[:1]
    inputs = inputs_sha(TABLE, [settings.parity], upstream, ["backtest", "live", "monitoring"])
    pages = {name: dg.MetadataValue.md(page) for name, page in pages_of(found).items()}
    return publish(lake, TABLE, part, Table(level_rows(found), parity_facts(found), pages=pages), inputs)


@dg.multi_asset_check(
    specs=blocking(
        TABLE,
        levels_exact="The journal's orders and decisions come out again bit for bit, as far as there are any.",
        profit="The profit of the journal is not off that of its backtest by more than the bar.",
    )
)
def parity_hold(settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]) -> Iterator[dg.AssetCheckResult]:
    """No level below the fourth has failed: drawn latencies leave an honest run outside one time in ten."""
    part = Part(settings.live.symbol, WHOLE)
    levels = lake.scan(TABLE, part.symbol, [part.key], unchecked=True).collect()
    yield from judge(lake, TABLE, part, [not_failed("levels_exact", levels, EXACT), not_failed("profit", levels, (3,))])


def not_failed(name: str, levels: pl.DataFrame, chosen: tuple[int, ...]) -> Verdict:
    """Whether all these levels were climbed and none has failed."""
    found = levels.filter(pl.col("level").is_in(chosen))
    sound = found.height == len(chosen) and not (found["verdict"] == FAILED).any()
    return Verdict(name, sound, {f"level {row['level']}": row["verdict"] for row in found.iter_rows(named=True)})


def level_rows(found: Climbed) -> pl.DataFrame:
    """A row a level; ``figures`` is JSON."""
    rows = [
        {"level": level.level, "verdict": level.verdict, "why": level.why, "figures": json.dumps(dict(level.figures))}
        for level in found.levels
    ]
    return pl.DataFrame(rows, schema={"level": pl.Int64, "verdict": pl.String, "why": pl.String, "figures": pl.String})


def parity_facts(found: Climbed) -> dict[str, Any]:
    """The whole ladder, JSON-able."""
    verdicts = {f"level_{level.level}": level.verdict for level in found.levels}
    causes = {"causes": found.causes.as_dict()} if found.causes else {}
    when = {"climbed": datetime.now(UTC).isoformat(timespec="seconds")}
    models = {"models": {sha: model._asdict() for sha, model in found.models.items()}}
    return {"verdict": found.verdict, "why": found.why, "desk": found.desk, **verdicts, **causes, **models, **when}


def _second(ns: int) -> str:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).isoformat(timespec="seconds")


def pages_of(found: Climbed) -> dict[str, str]:
    """Levels and waterfall as tables, profits by minute as a picture."""
    levels = markdown_table(["level", "verdict", "why"], [[*level[:3]] for level in found.levels])
    pages = {"levels": levels}
    if found.causes is not None:
        steps = [("assumed", found.causes.assumed), *found.causes.bars, ("made", found.causes.made)]
        pages["waterfall"] = markdown_table(["cause", "amount"], [[name, f"{amount:+.8g}"] for name, amount in steps])
    if found.minutes is not None:
        names = [name for name in ("made", "again", "low", "high") if name in found.minutes.columns]
        lines = {name: found.minutes[name].cum_sum().to_numpy() for name in names}
        stamps = found.minutes["minute"].to_numpy()
        pages["profit"] = line_chart("profit since the start, and that of the backtests", stamps, lines)
    return pages
