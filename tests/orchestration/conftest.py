"""One finished chain for all tests of a run: a worker's own copy of it, and one a test to be spoiled."""

import os
from pathlib import Path

import pytest

from config.settings import Settings
from tests.builders_chain import Built, built_in, copy_of


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return copy_of(built_in(shared / "chain"), tmp_path_factory.mktemp("own") / "var")


@pytest.fixture
def copied(built: Built, tmp_path: Path) -> Settings:
    """The finished chain in a folder of its own, to be spoiled."""
    return copy_of(built, tmp_path / "var")[0]
