"""A PostgreSQL server of our own for tests of what many machines share: a folder, a unix socket, one password."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

PASSWORD: Final = "correct horse"
PATIENCE_S: Final = 120.0


def postgres_programs() -> Path:
    """Where Debian puts the newest server. Skips the test without one; fails it where TICKLOOP_REQUIRE_SERVICES=1."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    if os.environ.get("TICKLOOP_REQUIRE_SERVICES") == "1":
        pytest.fail("no PostgreSQL server; apt-get install postgresql")
    pytest.skip("no PostgreSQL server; apt-get install postgresql")


@contextmanager
def postgres_server() -> Iterator[tuple[str, str]]:
    """URLs of a fresh database, without and with its password, while the context lasts."""
    programs, folder = postgres_programs(), Path(tempfile.mkdtemp(prefix="tl-pg-"))  # short: it holds a socket
    owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    (folder / "password").write_text(PASSWORD)
    if owner:
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres", "postgres")
    _run(
        *owner,
        *(programs / "initdb", "--no-sync", "--auth=scram-sha-256", "--username=tickloop", "--encoding=UTF8"),
        *(f"--pwfile={folder / 'password'}", "-D", folder / "data"),
    )
    listening = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off")
    log = (folder / "log").open("w")
    server = subprocess.Popen([*owner, programs / "postgres", "-D", folder / "data", *listening], stderr=log, cwd="/")
    try:
        _until_it_answers(programs, folder, server)
        place = f"postgres?host={folder}"
        yield f"postgresql+psycopg2://tickloop@/{place}", f"postgresql+psycopg2://tickloop:{quote(PASSWORD)}@/{place}"
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(PATIENCE_S)
        log.close()
        shutil.rmtree(folder)


def _run(*command: object) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr


def _until_it_answers(programs: Path, folder: Path, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while subprocess.run([programs / "pg_isready", "-q", "-h", folder]).returncode:
        assert server.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.02)
