"""One file over HTTP: resumed where it broke off, verified before it bears its name."""

import http
import http.client
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from market.errors import CorruptFile, Unreachable
from storage.files import file_sha256, publish

Progress = Callable[[int, int], None]  # bytes so far, bytes in all

CHUNK_BYTES: Final = 1 << 16
TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What is fetched, and how we know that it is what we wanted."""

    url: str
    bytes: int
    sha256: str


def download(file: RemoteFile, target: Path, progress: Progress) -> None:
    """Fetch ``file`` to ``target``, which appears whole or not at all.

    What has arrived waits beside it as ``.part``; the next call goes on from there.
    Raises Unreachable if the server cannot be reached or stops early, CorruptFile if
    the bytes are not the promised ones (they are deleted then).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    if part.exists() and part.stat().st_size > file.bytes:
        part.unlink()
    if not part.exists() or part.stat().st_size < file.bytes:
        _receive(file, part, progress)
    verify(part, file.sha256)
    publish(part, target)


def verify(path: Path, sha256: str) -> None:
    """Return if the file has this hash.

    Raises CorruptFile, and deletes the file, if it has another.
    """
    found = file_sha256(path)
    if found != sha256:
        path.unlink()
        raise CorruptFile(f"{path.name}: sha256 is {found}, promised was {sha256}; deleted")


def _receive(file: RemoteFile, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    with part.open("ab") as stream:
        for offset, chunk in _chunks(file.url, have):
            if offset == 0:  # the server starts anew, whatever was asked
                stream.truncate(0)
            stream.write(chunk)
            have = offset + len(chunk)
            progress(have, file.bytes)
            if have > file.bytes:
                break
    if have < file.bytes:
        raise Unreachable(f"{file.url} stopped after {have} of {file.bytes} bytes; run again to go on")


def _chunks(url: str, start: int) -> Iterator[tuple[int, bytes]]:
    """Pieces of the file with their places, from byte ``start`` if the server can, else from 0."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            offset = start if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
            while chunk := response.read(CHUNK_BYTES):
                yield offset, chunk
                offset += len(chunk)
    except (OSError, http.client.HTTPException) as lost:
        raise Unreachable(f"cannot fetch {url}: {lost}") from lost
