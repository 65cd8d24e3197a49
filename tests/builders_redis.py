"""A Redis server of a test's own: it stops, hangs and comes back on the port that it had."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.builders_processes import until


class RedisServer:
    """A Redis on one port through its stops and starts."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self._folder, self._options = folder, options
        self.start()

    def start(self) -> None:
        """Begin, and return once it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        self.process = subprocess.Popen([*command, str(self._folder), *self._options], stdout=subprocess.DEVNULL)
        until(self.answers)

    def answers(self) -> bool:
        """Whether somebody listens."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal; SIGSTOP leaves it there, and silent."""
        self.process.send_signal(number)
        if number != signal.SIGSTOP:
            self.process.wait()

    def come_back(self) -> None:
        """Go on after any ``stop``."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        else:
            self.start()


def require_redis() -> None:
    """Skip, or fail where every service has to be there, without a Redis."""
    if shutil.which("redis-server") is None:
        assert not os.environ.get("TICKLOOP_REQUIRE_SERVICES"), "redis-server is missing"
        pytest.skip("redis-server is missing: install Debian's package redis-server")


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A server that is gone when the block ends, however it was left."""
    require_redis()
    server = RedisServer(folder)
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)
