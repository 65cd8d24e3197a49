"""What the tests of several rooms build on."""

import os
from pathlib import Path

import pytest

from market.errors import RecordingError
from storage.recordings import local_recording


def recording(name: str) -> Path:
    """A real recording of the catalogue.

    Skips the test where the recordings are not at hand; fails it where ``TICKLOOP_REQUIRE_SERVICES=1``.
    """
    try:
        return local_recording(name)
    except RecordingError as missing:
        if os.environ.get("TICKLOOP_REQUIRE_SERVICES") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
