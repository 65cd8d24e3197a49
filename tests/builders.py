"""What the tests of several rooms build on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path
from threading import Thread

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


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """The address of a server that answers from a thread until the block ends."""
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
