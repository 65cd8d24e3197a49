"""Runs, versions and aliases in MLflow (SQLite and local artifacts, or a server), approvals in the promotion ledger."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from market.errors import RegistryError
from storage.files import locked, publish, replace_file
from storage.promotions import Promotion, PromotionLedger

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CHALLENGER: Final = "challenger"
CHAMPION: Final = "champion"
FALLBACK: Final = "fallback"  # of the ledger alone: the median band that came with a champion
# what MLflow's page opens an experiment as: a table of runs to compare, not traces of a chat
_KIND: Final = {"mlflow.experimentKind": "custom_model_development"}
_BATCH: Final = 100  # parameters, tags or metrics in one call; MLflow's own limit


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What one run leaves in the registry. ``tags`` hold its shas: catalogue, config, data, and the slice."""

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: Mapping[str, Path] = field(default_factory=dict)  # name in MLflow -> folder or file
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)  # metrics with a value at each step from 0 on


@dataclass(frozen=True, slots=True)
class Version:
    """One registered version of a model."""

    model: str
    version: str
    run_id: str
    bundle_sha: str
    source: str


class Registry:
    """MLflow under one folder or behind one URL, opened at the first call (its import takes seconds).

    The promotion ledger is a file of the folder either way.
    """

    def __init__(self, root: Path, url: str = "") -> None:
        self.root, self.url = root, url.rstrip("/")
        self.ledger = PromotionLedger(root / "promotions.jsonl")
        self._client: MlflowClient | None = None

    @property
    def uri(self) -> str:
        """Where MLflow's own tools find the runs."""
        return self.url or f"sqlite:///{(self.root / 'mlflow.db').resolve()}"

    @property
    def identity(self) -> str | None:
        """Changes when the database is lost and made anew; None before there is one.

        Raises RegistryError if the server does not answer.
        """
        return server_id(self.url) if self.url else database_id(self.root / "mlflow.db")

    @property
    def client(self) -> "MlflowClient":
        """MLflow's client on the server, or on our database, which is created whole at the first use."""
        if self._client is None:
            mlflow = _import_mlflow()
            if not self.url:
                create_database(self.root / "mlflow.db")
            self._client = mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        return self._client

    def record(self, experiment: str, run: RunRecord) -> str:
        """Id of a finished run that holds parameters, metrics, tags and files."""
        with _as_registry_error(f"record the run {run.name}"):
            run_id = self.client.create_run(self._experiment_id(experiment), run_name=run.name).info.run_id
            _log(self.client, run_id, run)
            self.client.set_terminated(run_id)
        return str(run_id)

    def find_run(self, experiment: str, tags: Mapping[str, str]) -> str | None:
        """Id of the newest finished run of an experiment that bears all ``tags``, None if there is none."""
        clauses = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
        query = " and ".join(["attributes.status = 'FINISHED'", *clauses])
        with _as_registry_error(f"search {experiment}"):
            found = self.client.search_runs([self._experiment_id(experiment)], query, max_results=1)
        return str(found[0].info.run_id) if found else None

    def end_interrupted_runs(self, experiment: str) -> int:
        """Mark runs that a killed process left running; returns how many they were. Call it under the chain's lock."""
        with _as_registry_error(f"search {experiment}"):
            left = self.client.search_runs([self._experiment_id(experiment)], "attributes.status = 'RUNNING'")
            for run in left:
                self.client.set_terminated(run.info.run_id, "KILLED")
        return len(left)

    def register(self, model: str, run_id: str, bundle_sha: str, tags: Mapping[str, str]) -> Version:
        """The version that holds the bundle of a run; an equal bundle that is there already keeps its version."""
        known = self.holding(model, bundle_sha)
        if known is not None:
            return known
        with _as_registry_error(f"register {model}"):
            source = f"{self.client.get_run(run_id).info.artifact_uri}/bundle"
            if model not in self.models():
                self.client.create_registered_model(model)
            created = self.client.create_model_version(model, source, run_id, {**tags, "bundle_sha": bundle_sha})
        return _version(created)

    def models(self) -> list[str]:
        """Names of all registered models."""
        with _as_registry_error("list the models"):
            return sorted(found.name for found in self.client.search_registered_models())

    def versions(self, model: str) -> list[Version]:
        """All versions of a model, newest first."""
        with _as_registry_error(f"read the versions of {model}"):
            found = self.client.search_model_versions(f"name = '{model}'")
        return sorted(map(_version, found), key=lambda version: -int(version.version))

    def holding(self, model: str, bundle_sha: str) -> Version | None:
        """The newest version of a model that holds a bundle, None if no version does."""
        return next((version for version in self.versions(model) if version.bundle_sha == bundle_sha), None)

    def aliased(self, model: str, alias: str) -> Version | None:
        """The version that bears an alias, None if no version does."""
        with _as_registry_error(f"read the alias {alias} of {model}"):
            found = self.client.search_registered_models(f"name = '{model}'")
            if not found or alias not in found[0].aliases:
                return None
            return _version(self.client.get_model_version_by_alias(model, alias))

    def promote(self, promotion: Promotion) -> bool:
        """Enter a promotion into the ledger, then move the alias; False if that version bears it already.

        The ledger comes first: a kill in between leaves an approval whose alias the next call moves. A registry that
        was lost and made anew counts from 1 again: only with the same bundle is it the same version.
        """
        in_force = self.ledger.newest(promotion.model, promotion.alias)
        given = (promotion.to_version, promotion.bundle_sha)
        known = in_force is not None and (in_force.to_version, in_force.bundle_sha) == given
        if not known:
            self.ledger.append(promotion)
        with _as_registry_error(f"move {promotion.alias} of {promotion.model}"):
            self.client.set_registered_model_alias(promotion.model, promotion.alias, promotion.to_version)
        return not known

    def reject(self, rejection: Promotion) -> None:
        """Enter a rejection into the ledger, then take every alias from that version.

        The ledger comes first: it alone decides what may be deployed.
        """
        self.ledger.append(rejection)
        with _as_registry_error(f"take the aliases of {rejection.model} {rejection.to_version}"):
            (model,) = self.client.search_registered_models(f"name = '{rejection.model}'")
            for alias, version in model.aliases.items():
                if str(version) == rejection.to_version:
                    self.client.delete_registered_model_alias(rejection.model, alias)

    def run(self, version: Version) -> "Run":
        """What MLflow holds of the run that made a version."""
        with _as_registry_error(f"read the run of {version.model} {version.version}"):
            return self.client.get_run(version.run_id)

    def tags(self, version: Version) -> dict[str, str]:
        """Tags of a version: what it was made from, and what the gates said of it."""
        with _as_registry_error(f"read {version.model} {version.version}"):
            return dict(self.client.get_model_version(version.model, version.version).tags)

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set tags of a version; those of the same names are replaced."""
        with _as_registry_error(f"tag {version.model} {version.version}"):
            for key, value in tags.items():
                self.client.set_model_version_tag(version.model, version.version, key, value)

    def artifacts(self, version: Version) -> list[str]:
        """Names of the files and folders beside the run that made a version."""
        with _as_registry_error(f"list the files of {version.model} {version.version}"):
            return [found.path for found in self.client.list_artifacts(version.run_id)]

    def version(self, model: str, number: str) -> Version:
        """One version of a model. Raises RegistryError, naming those there are, if it has no such version."""
        found = {one.version: one for one in self.versions(model)}
        if not found:
            raise RegistryError(f"no model {model!r}; registered are {', '.join(self.models()) or 'none'}")
        if number not in found:
            raise RegistryError(f"{model} has no version {number!r}; it has {', '.join(found)}")
        return found[number]

    def attach(self, version: Version, path: Path, folder: str) -> None:
        """Put a file beside the artifacts of the run that made a version."""
        with _as_registry_error(f"attach {path.name} to {version.model} {version.version}"):
            self.client.log_artifact(version.run_id, str(path), folder)

    def _experiment_id(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        artifacts = None if self.url else (self.root / "artifacts" / name).as_uri()  # a server has its own
        return str(self.client.create_experiment(name, artifact_location=artifacts, tags=_KIND))


def create_database(path: Path) -> None:
    """Create MLflow's database once, in a temporary file under a lock, so that no kill leaves half of its tables.

    Raises RegistryError if the disk does not take it.
    """
    try:
        with locked(path.with_name(f".{path.name}.lock")):
            if path.exists():
                return
            temporary = path.with_name(f".{path.name}.tmp")
            for left in path.parent.glob(f"{temporary.name}*"):
                left.unlink()
            _create_tables(temporary)
            replace_file(path.with_suffix(".id"), uuid4().hex.encode())
            publish(temporary, path)
    except OSError as error:
        raise RegistryError(f"cannot create the registry in {path.parent}: {error.strerror}") from error


def database_id(path: Path) -> str | None:
    """What tells this database from one that was there before or after it; None where there is none."""
    mark = path.with_suffix(".id")
    return mark.read_text() if path.exists() and mark.exists() else None


def server_id(url: str) -> str:
    """When the database behind a server was made, ms UTC: the birth of the experiment that every database begins with.

    Raises RegistryError if the server does not answer so.
    """
    import httpx

    try:
        answer = httpx.get(f"{url}/api/2.0/mlflow/experiments/get", params={"experiment_id": "0"}, auth=_login())
        return str(answer.raise_for_status().json()["experiment"]["creation_time"])
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise RegistryError(f"no MLflow server answers at {url}: {str(error).splitlines()[0]}") from error


def _login() -> tuple[str, str] | None:
    """Of the environment, as MLflow's own client reads it."""
    name, password = (os.environ.get(f"MLFLOW_TRACKING_{part}", "") for part in ("USERNAME", "PASSWORD"))
    return (name, password) if name else None


def _create_tables(path: Path) -> None:
    _import_mlflow()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with _as_registry_error("create the registry"):
        store = SqlAlchemyStore(f"sqlite:///{path}", path.parent.as_uri())
        store.engine.dispose()


def _import_mlflow() -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    import mlflow

    return mlflow


@contextmanager
def _as_registry_error(act: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise RegistryError(f"cannot {act}: {str(error).splitlines()[0]}") from error


def _log(client: "MlflowClient", run_id: str, run: RunRecord) -> None:
    from mlflow.entities import Metric, Param, RunTag

    params = [Param(key, str(value)) for key, value in run.params.items()]
    metrics = [Metric(key, float(value), 0, 0) for key, value in run.metrics.items()]
    metrics += [Metric(key, float(v), 0, step) for key, line in run.curves.items() for step, v in enumerate(line)]
    tags = [RunTag(key, value) for key, value in run.tags.items()]
    for start in range(0, max(len(params), len(metrics), len(tags)), _BATCH):
        batch = slice(start, start + _BATCH)
        client.log_batch(run_id, metrics[batch], params[batch], tags[batch])
    for name, path in run.artifacts.items():
        if path.is_dir():
            client.log_artifacts(run_id, str(path), name)
        else:
            client.log_artifact(run_id, str(path), name)


def _version(found: Any) -> Version:
    return Version(found.name, str(found.version), found.run_id, found.tags.get("bundle_sha", ""), found.source)
