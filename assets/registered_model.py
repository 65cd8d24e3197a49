"""The newest slice's model of every symbol, registered as its challenger; ``promotion`` says who becomes champion."""

import getpass
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import dagster as dg
import polars as pl

from assets.checks import Verdict
from assets.evaluation import run_tags
from assets.partitions import WHOLE, Part
from assets.tables import Table, blocking, inputs_sha, judge, passed, publish
from assets.walk_forward_slices import frame_slices
from config.settings import Settings
from market.errors import RegistryError
from modeling.snapshot import MEDIAN_BAND
from modeling.walk_forward import Slice
from storage.lake import Lake
from storage.promotions import REJECTED, Promotion
from storage.registry import CHALLENGER, FALLBACK, Registry, Version

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
    """One version a symbol, the challenger unless a person has rejected it."""
    rows = [
        register(settings, lake, registry, Part(symbol, piece.key))
        for symbol, piece in newest_slices(settings, lake).items()
    ]
    if not rows:
        raise RegistryError("no slice has an evaluated model to register")
    table = Table(pl.DataFrame(rows), {"versions": rows, "ledger": str(registry.ledger.path)})
    return publish(lake, "registered_model", ALL, table, registered_model_inputs(settings, lake, ALL))


@dg.multi_asset_check(
    specs=blocking(
        "registered_model",
        aliased="Every row's alias leads to its bundle, unless a person has rejected that.",
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


def register(settings: Settings, lake: Lake, registry: Registry, part: Part) -> dict[str, Any]:
    """Register a slice's bundle and make it challenger; what was done, as a row."""
    tags, name = run_tags(settings, lake, part), model_name(settings, part.symbol)
    run_id = lake.manifest("evaluation", *part).metadata["mlflow_run"]
    version = registry.register(name, run_id, tags["bundle_sha"], tags)
    rejected = registry.ledger.rejection(version.bundle_sha, name) is not None
    if not rejected:
        promote(registry, version, CHALLENGER, f"newest slice, {part.key}")
    return {
        "symbol": part.symbol,
        "slice": part.key,
        "model": name,
        "version": version.version,
        "bundle_sha": version.bundle_sha,
        "alias": REJECTED if rejected else CHALLENGER,
        "mlflow_run": run_id,
    }


def fallback_sha(lake: Lake, part: Part) -> str:
    """Of the median band's bundle of a slice."""
    table = lake.scan("models", part.symbol, [part.key]).filter(pl.col("kind") == MEDIAN_BAND).collect()
    return str(table["sha"][0])


def approve_fallback(registry: Registry, version: Version, sha: str, who: str = "") -> None:
    """Enter the median band that came with a champion into the ledger, once; a runner keeps it hot beside it.

    who : the person who gave the role; whoever runs this process unless named
    """
    before = registry.ledger.newest(version.model, FALLBACK)
    if before is not None and (before.to_version, before.bundle_sha) == (version.version, sha):
        return
    earlier, reason = before.to_version if before else None, f"the median band beside champion {version.version}"
    registry.ledger.append(
        Promotion(_now(), who or getpass.getuser(), version.model, FALLBACK, earlier, version.version, sha, {}, reason)
    )


def model_name(settings: Settings, symbol: str) -> str:
    """Name of the registered model of a symbol."""
    return settings.registry.model_of(symbol)


def promote(
    registry: Registry,
    version: Version,
    alias: str,
    reason: str,
    gates: Mapping[str, str] = MappingProxyType({}),
    who: str = "",
) -> bool:
    """Give a version an alias, by way of the ledger; False if it bears it already.

    gates : gate -> verdict, of those that were judged; who : whoever runs this process unless named
    """
    before = registry.aliased(version.model, alias)
    promotion = Promotion(
        when=_now(),
        who=who or getpass.getuser(),
        model=version.model,
        alias=alias,
        from_version=before.version if before else None,
        to_version=version.version,
        bundle_sha=version.bundle_sha,
        gates=dict(gates),
        reason=reason,
    )
    return registry.promote(promotion)


def aliased(registry: Registry, table: pl.DataFrame) -> Verdict:
    """Every row's alias leads to its bundle, unless a person has rejected that."""
    odd = []
    for row in table.filter(pl.col("alias") != REJECTED).iter_rows(named=True):
        version = registry.aliased(row["model"], row["alias"])
        if version is None or version.bundle_sha != row["bundle_sha"]:
            odd.append(row["model"])
    return Verdict("aliased", table.height > 0 and not odd, {"versions": table.height, "odd": ", ".join(odd)})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
