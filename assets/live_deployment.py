"""The approved model, pushed to the runner; the answer says which one it runs."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

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


@dg.asset(deps=["registered_model"], group_name="deployment", kinds={"http"})
def live_deployment(settings: dg.ResourceParam[Settings], registry: dg.ResourceParam[Registry]) -> dg.MaterializeResult:
    """The live symbol's champion on the runner, after its fallback; it has to answer with the sha that we approved."""
    version = approved_version(settings, registry)
    granted, url = credentials(dict(os.environ)), settings.live.runner_url
    with TemporaryDirectory() as folder:
        if approves_fallback(registry, version):
            push(url, granted.token, granted.key, bundle_of(registry, version, Path(folder), FALLBACK), FALLBACK)
        answer = push(url, granted.token, granted.key, bundle_of(registry, version, Path(folder)))
    running = require_running(answer, version)
    facts = {"model": version.model, "version": version.version, "running_sha": running, "runner": url}
    return dg.MaterializeResult(metadata={**facts, "row_ts": answer["row_ts"]})


def approved_version(settings: Settings, registry: Registry) -> Version:
    """The live symbol's champion.

    Raises RegistryError if it has none, or one that does not stand in the promotion ledger.
    """
    name = model_name(settings, settings.live.symbol)
    version = registry.aliased(name, CHAMPION)
    if version is None:
        raise RegistryError(f"{name} has no champion to deploy; approve a version first")
    if not registry.ledger.approves(version.bundle_sha):
        raise RegistryError(f"{name} version {version.version} bears the alias, but the ledger holds no approval of it")
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
