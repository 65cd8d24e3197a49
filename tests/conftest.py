"""Settings of every test: properties without a deadline, kernels cached where the program caches them."""

import sys
from collections.abc import Iterator

import hypothesis
import pytest

import market  # noqa: F401  (points numba at its cache before a test imports a kernel)

hypothesis.settings.register_profile("tickloop", deadline=None, max_examples=50)
hypothesis.settings.load_profile("tickloop")


@pytest.fixture(autouse=True)
def closed_instances() -> Iterator[None]:
    """No test leaves a Dagster instance open: the next to load definitions in this process would ask a dead one."""
    yield
    module = sys.modules.get("dagster._core.storage.defs_state.base")
    assert module is None or module.DefsStateStorage.get() is None, "a Dagster instance was left open"
