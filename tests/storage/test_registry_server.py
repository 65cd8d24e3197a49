"""Behind a URL the registry is the same registry: runs, files, versions and aliases on an MLflow server of our own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from market.errors import RegistryError
from storage.registry import CHAMPION, Registry, create_database
from tests.builders import serving
from tests.storage.test_registry import TAGS, promotion, recorded


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server answers, its database and files in a folder of their own."""
    from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR, SERVE_ARTIFACTS_ENV_VAR, app, handlers
    from werkzeug.serving import make_server

    folder = tmp_path_factory.mktemp("server")
    create_database(folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(SERVE_ARTIFACTS_ENV_VAR, "true")
        patched.setenv(ARTIFACTS_DESTINATION_ENV_VAR, str(folder / "files"))
        handlers.initialize_backend_stores(
            f"sqlite:///{folder / 'mlflow.db'}", default_artifact_root="mlflow-artifacts:/"
        )
        with serving(make_server("127.0.0.1", 0, app, threaded=True)) as url:
            yield url


def test_runs_files_versions_and_aliases_are_the_servers(url: str, tmp_path: Path) -> None:
    here, there = Registry(tmp_path / "here", url), Registry(tmp_path / "there", f"{url}/")
    run_id = recorded(here, tmp_path)
    assert there.find_run("slices", TAGS) == run_id
    version = there.register("coin", run_id, "b" * 64, TAGS)
    assert here.promote(promotion(version.version, "b" * 64))
    found = there.aliased("coin", CHAMPION)
    assert found is not None
    assert (found.bundle_sha, found.run_id) == ("b" * 64, run_id)
    files = there.client.download_artifacts(run_id, "bundle", str(tmp_path))
    assert os.listdir(files) == ["manifest.json"]
    assert there.identity == here.identity != ""
    assert not (tmp_path / "here" / "mlflow.db").exists()


def test_the_ledger_is_a_file_beside_it_and_of_one_machine(url: str, tmp_path: Path) -> None:
    here, there = Registry(tmp_path / "here", url), Registry(tmp_path / "there", url)
    here.ledger.append(promotion("1", "b" * 64))
    assert len(here.ledger.promotions()) == 1
    assert there.ledger.promotions() == []


def test_a_server_that_is_away_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no MLflow server answers at http://127.0.0.1:1: ") as refused:
        _ = Registry(tmp_path, "http://127.0.0.1:1").identity
    assert "\n" not in str(refused.value)
