"""An approved model, pushed to the runner; the answer says which one it runs."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import dagster as dg

from assets.registered_model import model_name
from config.settings import Settings
from market.errors import BundleError, ConfigError, RegistryError
from storage.deployment import push
from storage.registry import CHAMPION, FALLBACK, Registry, Version


class Credentials(NamedTuple):
    """What the runner asks of whoever deploys."""

    token: str
    key: bytes


class Asked(dg.Config):  # type: ignore[misc]
    """Whose model is pushed, and what as; the live symbol's champion, unless a run's config says otherwise."""

    symbol: str = ""
    role: Literal["champion", "challenger"] = CHAMPION


@dg.asset(deps=["promotion"], group_name="deployment", kinds={"http"})
def live_deployment(
    config: Asked, settings: dg.ResourceParam[Settings], registry: dg.ResourceParam[Registry]
) -> dg.MaterializeResult:
    """A symbol's champion or challenger on the runner; it has to answer with the sha that we approved."""
    symbol = config.symbol or settings.live.symbol
    version = approved_version(settings, registry, symbol, config.role)
    answer = pushed(settings.live.runner_url, registry, version, symbol, config.role)
    facts = {"model": version.model, "version": version.version, "symbol": symbol, "role": config.role}
    running = {"running_sha": require_running(answer, version), "runner": settings.live.runner_url}
    return dg.MaterializeResult(metadata={**facts, **running, "row_ts": answer["row_ts"]})


def pushed(url: str, registry: Registry, version: Version, symbol: str, role: str) -> dict[str, Any]:
    """The runner's answer to a version's bundle; a champion's fallback is pushed before it."""
    granted = credentials(dict(os.environ))
    with TemporaryDirectory() as folder:
        if role == CHAMPION and approves_fallback(registry, version):
            fallback = bundle_of(registry, version, Path(folder), FALLBACK)
            push(url, granted.token, granted.key, fallback, FALLBACK, symbol=symbol)
        return push(url, granted.token, granted.key, bundle_of(registry, version, Path(folder)), role, symbol=symbol)


def approved_version(settings: Settings, registry: Registry, symbol: str, alias: str = CHAMPION) -> Version:
    """A symbol's champion or challenger, as the promotion ledger says: after a kill the alias may still be on another.

    Raises RegistryError if the ledger names none, or one that the registry does not hold.
    """
    name = model_name(settings, symbol)
    line = registry.ledger.newest(name, alias)
    if line is None:
        raise RegistryError(f"{name} has no {alias} to deploy; approve a version first")
    version = registry.holding(name, line.bundle_sha)
    if version is None:
        raise RegistryError(f"the registry does not hold the {alias} of {name}, bundle {line.bundle_sha[:12]}")
    return version


def approves_fallback(registry: Registry, version: Version) -> bool:
    """Whether the ledger holds a fallback that came with this version."""
    newest = registry.ledger.newest(version.model, FALLBACK)
    return newest is not None and newest.to_version == version.version


def bundle_of(registry: Registry, version: Version, folder: Path, name: str = "bundle") -> Path:
    """A version's bundle, or its fallback's, which MLflow brings into ``folder`` from wherever it keeps it."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    return Path(registry.client.download_artifacts(version.run_id, name, str(folder)))


def credentials(environment: dict[str, str]) -> Credentials:
    """Token and key from the environment. Raises ConfigError if one is missing."""
    token, key = (environment.get(f"TICKLOOP_DEPLOY_{part}", "") for part in ("TOKEN", "KEY"))
    if not token or not key:
        raise ConfigError("to deploy, set TICKLOOP_DEPLOY_TOKEN and TICKLOOP_DEPLOY_KEY as the runner has them")
    return Credentials(token, key.encode())


def require_running(answer: dict[str, object], version: Version) -> str:
    """The sha that the runner answered with. Raises BundleError if it runs another than the one pushed."""
    running = str(answer.get("running_sha", "nothing"))
    if running != version.bundle_sha:
        raise BundleError(f"the runner runs {running[:12]}, and not {version.bundle_sha[:12]} that was pushed")
    return running
