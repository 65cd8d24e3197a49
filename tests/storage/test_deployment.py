"""A bundle on its way: what is packed comes out again, signed by who holds the key, and the answer is told plainly."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from market.errors import BundleError
from storage.deployment import NAMES, SIGNATURE_HEADER, pack, push, signature, unpack
from tests.builders_runner import KEY, write_band_bundle


class Request:
    """What a runner was asked."""

    headers: dict[str, str]
    body: bytes
    path: str


@contextmanager
def runner_that_answers(status: int, content: bytes) -> Iterator[tuple[str, Request]]:
    seen = Request()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.path, seen.headers = self.path, dict(self.headers)
            seen.body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    serving = threading.Thread(target=server.handle_request)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        serving.join()
        server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_band_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_what_is_packed_comes_out_again(folder: Path) -> None:
    files = unpack(pack(folder))
    assert set(files) == set(NAMES)
    assert files == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_signature_depends_on_every_byte_and_on_the_key() -> None:
    known = "6e9ef29b75fffc5b7abae527d58fdadb2fe42e7219011976917343065f58ed4a"  # RFC-like vector, openssl dgst -hmac
    assert signature(b"message", b"key") == known
    assert len({signature(b"message", b"key"), signature(b"messagf", b"key"), signature(b"message", b"kez")}) == 3


def test_the_body_is_pushed_with_token_and_signature(folder: Path) -> None:
    with runner_that_answers(200, b'{"running_sha": "abc"}') as (url, seen):
        assert push(url, "the token", KEY, folder) == {"running_sha": "abc"}
    assert seen.path == "/deploy/champion"
    assert seen.body == pack(folder)
    headers = {name.lower(): value for name, value in seen.headers.items()}
    assert headers["authorization"] == "Bearer the token"
    assert headers[SIGNATURE_HEADER.lower()] == signature((folder / "manifest.json").read_bytes(), KEY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (json.dumps({"detail": "bundle is not approved"}).encode(), "bundle is not approved"),
        (b"<html>gateway</html>", "<html>gateway</html>"),
        (b'["x"]', '["x"]'),
    ],
)
def test_a_refusal_is_told_with_the_runners_reason(folder: Path, content: bytes, reason: str) -> None:
    with runner_that_answers(409, content) as (url, _), pytest.raises(BundleError) as refusal:
        push(url, "token", KEY, folder)
    assert str(refusal.value) == f"the runner at {url} refused the bundle (409): {reason}"


def test_a_bundle_with_a_missing_file_is_not_packed(folder: Path) -> None:
    (folder / "golden.npz").unlink()
    with pytest.raises(BundleError, match="cannot be read: No such file or directory .*golden.npz"):
        pack(folder)
