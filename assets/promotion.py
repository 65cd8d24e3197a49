"""Every newest version before the gates, with the page that a person approves it from; gates decide where they may."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import dagster as dg
import polars as pl

from assets.ab_test import ab_verdict
from assets.checks import Verdict
from assets.partitions import Part
from assets.plots import markdown_table
from assets.promotion_evidence import candidate_of, evidence_of, parity_of, reigning
from assets.promotion_pages import Judged, page_of, page_path
from assets.registered_model import ALL, approve_fallback, fallback_sha, newest_slices, promote
from assets.resources import registry_of
from assets.tables import Table, blocking, content_shas, inputs_sha, judge, passed, publish
from backtest.gates import FAILED, GATES, INSUFFICIENT, PASSED, Gate, judge_gates, promotable, worst
from backtest.promotion_page import gate_line, gate_rows, promotion_html, summary_of
from config.settings import Settings
from market.errors import RegistryError
from storage.files import replace_file
from storage.lake import Lake
from storage.promotions import Promotion
from storage.registry import CHAMPION, Registry, Version

GATE_COLUMNS: Final = ("gate", "verdict", "figure", "why")
ROLLBACK: Final = "rollback: "  # before the reason of whoever went back to an earlier champion
GATE_TAG: Final = "gate/"  # before a gate's name, in the tags of a version
LONGEST_TAG: Final = 4_900  # characters; MLflow's own limit is 5,000
ROOMS: Final = ("backtest", "modeling", "trading", "storage")
DECISION: Final = ("symbol", "model", "version", "bundle_sha", "champion", "reason", "page")
HOLDS: Final = {
    "beats_baselines_and_champion": "The ledger's best, and the candidate on Test, beat every rival (SPA, HAC t).",
    "deflated_sharpe": "The best trial's Sharpe ratio is above what the best of as many empty trials shows.",
    "no_regime_negative": "In no regime does the candidate lose significantly on Test.",
    "latency_budget": "One streaming step takes no longer than the bundle promises.",
    "parity": "What ran live is what its backtest says it would have been.",
    "degeneracy": "The candidate trades, and on both sides.",
    "fee_x_latency_x_size": "The candidate earns at the fee in force, also one step worse in latency and size.",
}


class Decision(NamedTuple):
    """What became of a candidate."""

    champion: bool
    reason: str


def promotion_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what gates and page read: each newest slice's content, parity, A/B, the rival champion, and rejections."""
    registry = registry_of(settings)
    read = [_read(settings, lake, registry, Part(symbol, piece.key)) for symbol, piece in _newest(settings, lake)]
    return inputs_sha("promotion", [settings.registry, settings.reports], read, ROOMS)


@dg.asset(deps=["registered_model"], group_name="registry", kinds={"html"})
def promotion(
    settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake], registry: dg.ResourceParam[Registry]
) -> dg.MaterializeResult:
    """A row a gate of every symbol's newest version: verdict, figure, why; and the page of each."""
    registered = lake.scan("registered_model", ALL.symbol, [ALL.key]).collect()
    judged = [judge_version(settings, lake, registry, row) for row in registered.iter_rows(named=True)]
    rows = [row for found in judged for row in found["rows"]]
    shown = {f"gates {found['model']}": dg.MetadataValue.md(found["markdown"]) for found in judged}
    shown |= {f"page {found['model']}": dg.MetadataValue.url(Path(found["page"]).as_uri()) for found in judged}
    facts = {"decisions": [{key: found[key] for key in DECISION} for found in judged]}
    table = Table(pl.DataFrame(rows, schema_overrides={"figure": pl.Float64}), facts, pages=shown)
    return publish(lake, "promotion", ALL, table, promotion_inputs(settings, lake, ALL))


@dg.multi_asset_check(
    specs=[
        *blocking("promotion", decided="Every version has each gate's answer, and no champion lacks its line."),
        *(dg.AssetCheckSpec(name, asset="promotion", description=line) for name, line in HOLDS.items()),
    ]
)
def promotion_hold(lake: dg.ResourceParam[Lake], registry: dg.ResourceParam[Registry]) -> Iterator[dg.AssetCheckResult]:
    """Each gate as a check of its own: only a pass passes; what cannot be judged warns, what fails is an error."""
    table = lake.scan("promotion", ALL.symbol, [ALL.key], unchecked=True).collect()
    decisions = lake.manifest("promotion", *ALL).metadata["decisions"]
    yield from judge(lake, "promotion", ALL, [decided(registry, table, decisions)])
    for gate, name in zip(GATES, HOLDS, strict=True):
        yield gate_check(name, table.filter(gate=gate))


def judge_version(settings: Settings, lake: Lake, registry: Registry, row: Mapping[str, Any]) -> dict[str, Any]:
    """One registered version's gates, what became of it, and its page, which lies beside its run as well.

    row : of the table ``registered_model``
    """
    part = Part(row["symbol"], row["slice"])
    version = Version(row["model"], row["version"], row["mlflow_run"], row["bundle_sha"], "")
    candidate = candidate_of(registry, version, part)
    evidence = evidence_of(settings, lake, registry, candidate)
    gates = judge_gates(evidence)
    decision = decide(settings, registry, version, gates, evidence.short)
    registry.tag(version, {f"{GATE_TAG}{gate.name}": gate_line(gate)[:LONGEST_TAG] for gate in gates})
    if decision.champion:
        promote(registry, version, CHAMPION, decision.reason, {gate.name: gate.verdict for gate in gates})
        approve_fallback(registry, version, fallback_sha(lake, part))
    page = write_page(settings, lake, registry, Judged(candidate, evidence, gates), decision.reason)
    known = {"symbol": part.symbol, "model": version.model, "version": version.version}
    return known | {
        "bundle_sha": version.bundle_sha,
        "champion": decision.champion,
        "reason": decision.reason,
        "page": str(page.resolve()),
        "markdown": f"{summary_of(gates)} {decision.reason}\n\n{markdown_table(GATE_COLUMNS, gate_rows(gates))}",
        "rows": [known | {"gate": gate.name, **_answer(gate)} for gate in gates],
    }


def write_page(settings: Settings, lake: Lake, registry: Registry, judged: Judged, decision: str) -> Path:
    """Publish the page of a candidate, beside its run as well; returns where it lies."""
    path = page_path(settings, judged.candidate.part)
    replace_file(path, promotion_html(page_of(settings, lake, registry, judged, decision)).encode())
    registry.attach(judged.candidate.version, path, "promotion")
    return path


def decide(settings: Settings, registry: Registry, version: Version, gates: Sequence[Gate], short: str) -> Decision:
    """Whether a version becomes champion now, and why, or why not.

    short : why Test says nothing of profit; empty if it does. Then alone may the gates of a profile that lets them
    decide take a version that fails none, which the ledger says.
    """
    rejection = registry.ledger.rejection(version.bundle_sha, version.model)
    if rejection is not None:
        return Decision(False, f"rejected by {rejection.who}: {rejection.reason}")
    left = left_behind(registry, version)
    if left is not None:
        return Decision(False, f"a person went back from it, {left.who}: {left.reason}")
    if settings.registry.promotion == "by_person":
        return Decision(False, f"waits for a person: main.py registry approve {version.model} {version.version}")
    if promotable(gates):
        return Decision(True, "every gate passed")
    failed = [gate.name for gate in gates if gate.verdict == FAILED]
    if short and not failed:
        return Decision(True, f"demo approval, gates: {INSUFFICIENT} ({short})")
    return Decision(False, "stays challenger, " + summary_of(gates))


def left_behind(registry: Registry, version: Version) -> Promotion | None:
    """The line by which a person went back from a version; None if nobody did, or it became champion again since."""
    lines = [one for one in registry.ledger.promotions() if (one.model, one.alias) == (version.model, CHAMPION)]
    for one in reversed(lines):
        if one.to_version == version.version:
            return None
        if one.from_version == version.version and one.reason.startswith(ROLLBACK):
            return one
    return None


def pages_exist(settings: Settings, lake: Lake, _: Part) -> bool:
    """Whether the page of every newest version is there."""
    return all(page_path(settings, Part(symbol, piece.key)).is_file() for symbol, piece in _newest(settings, lake))


def decided(registry: Registry, table: pl.DataFrame, decisions: Sequence[Mapping[str, Any]]) -> Verdict:
    """Every version has each gate's answer, and whoever was made champion stands in the ledger as that."""
    lacking = [
        one["model"]
        for one in decisions
        if table.filter(model=one["model"])["gate"].to_list() != list(GATES)
        or (one["champion"] and not registry.ledger.approves(one["bundle_sha"], one["model"]))
    ]
    return Verdict(
        "decided", bool(decisions) and not lacking, {"versions": len(decisions), "lacking": ", ".join(lacking)}
    )


def gate_check(name: str, rows: pl.DataFrame) -> dg.AssetCheckResult:
    """One gate over all versions, a row each."""
    verdicts = rows["verdict"].to_list()
    told = {f"{row['model']} {row['version']}": f"{row['verdict']}: {row['why']}" for row in rows.iter_rows(named=True)}
    return dg.AssetCheckResult(
        passed=worst(verdicts) == PASSED,
        check_name=name,
        asset_key="promotion",
        severity=dg.AssetCheckSeverity.ERROR if FAILED in verdicts else dg.AssetCheckSeverity.WARN,
        metadata=told,
    )


def _read(settings: Settings, lake: Lake, registry: Registry, part: Part) -> list[object]:
    tables = ("registered_model", "backtests", "search", "models")
    parts = {"registered_model": ALL}
    shas = [content_shas(passed(lake, name, parts.get(name, part)))[:1] for name in tables]
    bundle = lake.manifest("models", *part).metadata["bundle_sha"]
    version = Version(settings.registry.model_of(part.symbol), "", "", bundle, "")
    rival, rejection = reigning(registry, version), registry.ledger.rejection(bundle, version.model)
    return [
        shas,
        list(parity_of(settings, lake, part.symbol, bundle)),
        ab_verdict(lake, part.symbol, bundle),
        rival.bundle_sha if rival else None,
        rejection.when if rejection else None,
    ]


def _newest(settings: Settings, lake: Lake) -> list[tuple[str, Any]]:
    found = list(newest_slices(settings, lake).items())
    if not found:
        raise RegistryError("no slice has an evaluated model to judge")
    return found


def _answer(gate: Gate) -> dict[str, Any]:
    return {"verdict": gate.verdict, "figure": gate.figure, "unit": gate.unit, "why": gate.why}
