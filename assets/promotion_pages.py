"""The page of one candidate, put together from what the lake and the registry hold of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from assets.ab_test import ab_verdict
from assets.backtests import FIGURES
from assets.partitions import Part
from assets.promotion_evidence import BAND, CANDIDATE, Candidate, champion_name
from backtest.gates import INSUFFICIENT, Evidence, Gate
from backtest.promotion_page import PromotionPage
from config.settings import Settings
from storage.lake import Lake
from storage.registry import Registry, Version


class Judged(NamedTuple):
    """A candidate, what the gates read of it, and what they say."""

    candidate: Candidate
    evidence: Evidence
    gates: Sequence[Gate]


def page_of(
    settings: Settings,
    lake: Lake,
    registry: Registry,
    judged: Judged,
    decision: str,
) -> PromotionPage:
    """What a person reads before they approve."""
    part, version = judged.candidate.part, judged.candidate.version
    figures = lake.manifest("backtests", *part).metadata["figures"]
    groups = lake.scan(FIGURES, part.symbol, [part.key]).filter(run=CANDIDATE, scope="regime").collect()
    contest = ab_verdict(lake, part.symbol, version.bundle_sha)
    return PromotionPage(
        title=f"Promotion of {version.model}, version {version.version}",
        decision=decision,
        facts=_facts(lake, judged) | _shas(registry, version),
        gates=judged.gates,
        runs={name: figures[name] for name in (CANDIDATE, BAND)},
        forecasts=lake.manifest("evaluation", *part).metadata["verdict"],
        regimes=groups,
        surface=judged.evidence.surface,
        contest=[contest] if contest else [],
        unknown=unknowns(judged.gates, settings, contest),
    )


def unknowns(gates: Sequence[Gate], settings: Settings, contest: str | None) -> list[str]:
    """What nobody measured, a line each.

    contest : what the A/B says of the candidate; None without one
    """
    lines = [f"{gate.name}: {gate.why}" for gate in gates if gate.verdict == INSUFFICIENT]
    if not settings.live.challenger:
        lines.append("It has not decided in shadow: live.challenger is off.")
    if contest is None:
        lines.append("No A/B stands behind this page; see main.py ab.")
    return [*lines, "Impact on the market is not modelled."]


def page_path(settings: Settings, part: Part) -> Path:
    """Where the page of a slice's version lies."""
    return settings.paths.reports / part.symbol / f"{part.key}.promotion.html"


def _facts(lake: Lake, judged: Judged) -> dict[str, str]:
    made = lake.manifest("search", *judged.candidate.part).metadata
    candidate, champion = judged.candidate, judged.candidate.champion
    return {
        "symbol": candidate.part.symbol,
        "slice": candidate.part.key,
        "Test": f"{judged.evidence.days:.4g} days",
        "network": ", ".join(f"{key} {value}" for key, value in made["network"].items()),
        "trials tried": str(made["statistics"]["trials"]),
        "champion": champion_name(champion) if champion else candidate.lost or "none to replace",
        "bundle sha": candidate.version.bundle_sha,
    }


def _shas(registry: Registry, version: Version) -> dict[str, str]:
    tags = registry.run(version).data.tags
    return {name.replace("_", " "): tags[name] for name in ("catalogue_sha", "config_sha", "data_fingerprint")}
