"""A stretch of a real capture, and what is in it."""

from pathlib import Path

import pytest

from live.exchange_tape import Tape
from tests.builders_live import Reader, short_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds of one."""
    return short_capture(tmp_path_factory.mktemp("capture"), "binance-coinm-btcusd_perp", 10)


@pytest.fixture(scope="module")
def whole(capture: Path) -> Reader:
    """Reader of the whole capture, without any socket; kernels are compiled by it."""
    reader = Reader()
    for frame in Tape([capture]).frames():
        reader.on_frame(frame.data, frame.ts)
    return reader
