"""The newest slice's model of every symbol, registered; and who made it champion, on what grounds."""

import getpass
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg
import polars as pl

from assets.checks import DAY_NS, Verdict
from assets.evaluation import run_tags
from assets.partitions import WHOLE, Part
from assets.tables import Table, blocking, inputs_sha, judge, passed, publish
from assets.walk_forward_slices import frame_slices
from config.settings import Settings
from market.errors import RegistryError
from modeling.snapshot import MEDIAN_BAND
from modeling.walk_forward import Slice
from storage.lake import Lake
from storage.promotions import Promotion
from storage.registry import CHALLENGER, CHAMPION, FALLBACK, Registry, Version

EVIDENCE_DAYS: Final = 20  # of Test below which no gate can say anything
GATES: Final = ("beats baselines and champion", "deflated Sharpe", "no regime negative", "latency budget", "parity")
INSUFFICIENT: Final = "insufficient data"
NOT_EVALUATED: Final = "not evaluated"
ALL: Final = Part(WHOLE, WHOLE)


def registered_model_inputs(settings: Settings, lake: Lake, part: Part) -> str:
    """Sha of what the registry's versions are made from: the newest slices, their bundles and their runs."""
    newest = [Part(symbol, piece.key) for symbol, piece in newest_slices(settings, lake).items()]
    bundles = [lake.manifest("models", *piece).metadata["bundle_sha"] for piece in newest]
    runs = [lake.manifest("evaluation", *piece).metadata["mlflow_run"] for piece in newest]
    return inputs_sha("registered_model", [settings.registry], [newest, bundles, runs], ["storage"])


@dg.asset(deps=["evaluation"], group_name="registry", kinds={"mlflow"})
def registered_model(
    settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake], registry: dg.ResourceParam[Registry]
) -> dg.MaterializeResult:
    """One version a symbol: challenger always, champion where the profile lets gates decide."""
    rows = [
        register(settings, lake, registry, Part(symbol, piece.key), piece)
        for symbol, piece in newest_slices(settings, lake).items()
    ]
    if not rows:
        raise RegistryError("no slice has an evaluated model to register")
    table = Table(pl.DataFrame(rows), {"versions": rows, "ledger": str(registry.ledger.path)})
    return publish(lake, "registered_model", ALL, table, registered_model_inputs(settings, lake, ALL))


@dg.multi_asset_check(
    specs=blocking(
        "registered_model",
        aliased="Every row's alias leads to its bundle, and every champion stands in the ledger.",
    )
)
def registered_model_hold(
    lake: dg.ResourceParam[Lake], registry: dg.ResourceParam[Registry]
) -> Iterator[dg.AssetCheckResult]:
    """The registry's aliases and the ledger say what the table says."""
    table = lake.scan("registered_model", ALL.symbol, [ALL.key], unchecked=True).collect()
    yield from judge(lake, "registered_model", ALL, [aliased(registry, table)])


def newest_slices(settings: Settings, lake: Lake) -> dict[str, Slice]:
    """The last slice of every symbol that has an evaluated model."""
    found = {}
    for symbol in settings.data.symbols:
        if passed(lake, "walk_forward_slices", Part(symbol, WHOLE)) is None:
            continue
        for piece in frame_slices(lake.scan("walk_forward_slices", symbol, [WHOLE]).collect()):
            if passed(lake, "evaluation", Part(symbol, piece.key)) is not None:
                found[symbol] = piece
    return found


def register(settings: Settings, lake: Lake, registry: Registry, part: Part, piece: Slice) -> dict[str, Any]:
    """Register a slice's bundle and give it its aliases; what was done, as a row."""
    tags, name = run_tags(settings, lake, part), model_name(settings, part.symbol)
    run_id = lake.manifest("evaluation", *part).metadata["mlflow_run"]
    version = registry.register(name, run_id, tags["bundle_sha"], tags)
    gates = gate_results(piece)
    promote(registry, version, CHALLENGER, gates, f"newest slice, {piece.key}")
    approved = settings.registry.promotion == "by_gate" and set(gates.values()) == {INSUFFICIENT}
    if approved:
        promote(registry, version, CHAMPION, gates, f"demo approval, gates: {INSUFFICIENT}")
        approve_fallback(registry, version, fallback_sha(lake, part))
    return {
        "symbol": part.symbol,
        "slice": part.key,
        "model": name,
        "version": version.version,
        "bundle_sha": version.bundle_sha,
        "alias": CHAMPION if approved else CHALLENGER,
        "mlflow_run": run_id,
    }


def fallback_sha(lake: Lake, part: Part) -> str:
    """Of the median band's bundle of a slice."""
    table = lake.scan("models", part.symbol, [part.key]).filter(pl.col("kind") == MEDIAN_BAND).collect()
    return str(table["sha"][0])


def approve_fallback(registry: Registry, version: Version, sha: str) -> None:
    """Enter the median band that came with a champion into the ledger, once; a runner keeps it hot beside it."""
    before = registry.ledger.newest(version.model, FALLBACK)
    if before is not None and (before.to_version, before.bundle_sha) == (version.version, sha):
        return
    when, earlier = datetime.now(UTC).isoformat(timespec="seconds"), before.to_version if before else None
    reason = f"the median band beside champion {version.version}"
    registry.ledger.append(
        Promotion(when, getpass.getuser(), version.model, FALLBACK, earlier, version.version, sha, {}, reason)
    )


def model_name(settings: Settings, symbol: str) -> str:
    """Name of the registered model of a symbol."""
    return settings.registry.model_of(symbol)


def gate_results(piece: Slice) -> dict[str, str]:
    """What each gate says of a slice: nothing, unless its Test is long enough for statistics."""
    days = (piece.test[1] - piece.test[0]) / DAY_NS
    answer = INSUFFICIENT if days < EVIDENCE_DAYS else NOT_EVALUATED
    return dict.fromkeys(GATES, answer)


def promote(registry: Registry, version: Version, alias: str, gates: dict[str, str], reason: str) -> None:
    """Give a version an alias, by way of the ledger."""
    before = registry.aliased(version.model, alias)
    promotion = Promotion(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        who=getpass.getuser(),
        model=version.model,
        alias=alias,
        from_version=before.version if before else None,
        to_version=version.version,
        bundle_sha=version.bundle_sha,
        gates=gates,
        reason=reason,
    )
    registry.promote(promotion)


def aliased(registry: Registry, table: pl.DataFrame) -> Verdict:
    """Every row's alias leads to its bundle, and every champion stands in the ledger."""
    odd = []
    for row in table.iter_rows(named=True):
        version = registry.aliased(row["model"], row["alias"])
        approved = row["alias"] != CHAMPION or registry.ledger.approves(row["bundle_sha"], row["model"])
        if version is None or version.bundle_sha != row["bundle_sha"] or not approved:
            odd.append(row["model"])
    return Verdict("aliased", table.height > 0 and not odd, {"versions": table.height, "odd": ", ".join(odd)})
