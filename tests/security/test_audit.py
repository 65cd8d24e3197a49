"""The audit of the lock: it passes only on an answer that proves to be one. A server on loopback stands for OSV."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tools.audit import HOLED, LOCK, Unanswered, advisories, locked_packages

OURS = [("numpy", "2.2.6"), ("dask", "2026.8.0")]
Known = Callable[[str, str], list[str]]  # ids by name and version


@contextmanager
def osv(known: Known) -> Iterator[str]:
    """The address of a source that knows these advisories, in OSV's words."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            assert all(query["package"]["ecosystem"] == "PyPI" for query in queries)
            ids = [known(query["package"]["name"], query["version"]) for query in queries]
            results: list[Any] = [{"vulns": [{"id": one} for one in each]} if each else {} for each in ids]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"results": results}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/querybatch"
        finally:
            server.shutdown()
            thread.join()


def test_a_package_with_an_advisory_is_named_and_one_without_is_not() -> None:
    holes = {HOLED: ["CVE-2020-1747"], OURS[1]: ["GHSA-1", "GHSA-2"]}
    with osv(lambda *package: holes.get(package, [])) as source:
        assert advisories(OURS, source) == {OURS[1]: ["GHSA-1", "GHSA-2"]}


def test_a_source_that_knows_nothing_has_not_answered() -> None:
    with osv(lambda *_: []) as source, pytest.raises(Unanswered, match=r"knows of no vulnerability in pyyaml 5\.3"):
        advisories(OURS, source)


@pytest.mark.parametrize(("known", "status", "line"), [(HOLED, 0, "0 with known"), (None, 1, "NOT AUDITED")])
def test_the_command_passes_on_an_answer_alone(known: tuple[str, str] | None, status: int, line: str) -> None:
    with osv(lambda *package: ["CVE-2020-1747"] if package == known else []) as source:
        made = run_audit(source)
    assert (made.returncode, line in made.stdout + made.stderr) == (status, True)


def test_nobody_there_is_a_failure_in_one_line() -> None:
    made = run_audit("http://127.0.0.1:1/")
    assert (made.returncode, made.stdout) == (1, "")
    assert made.stderr.startswith("NOT AUDITED: http://127.0.0.1:1/ gave no answer")
    assert made.stderr.count("\n") == 1


def test_every_locked_package_is_asked_for() -> None:
    packages = locked_packages(LOCK.read_text())
    assert len(packages) > 250
    assert {"dagster", "torch", "numpy"} <= {name for name, _ in packages}


def run_audit(source: str) -> subprocess.CompletedProcess[str]:
    program = Path(LOCK.parent, "tools", "audit.py")
    command = [sys.executable, str(program), "--source", source]
    return subprocess.run(command, capture_output=True, text=True, check=False)
