"""A bundle on its way to a runner: named files and no archive, signed with the deploy key."""

import hashlib
import hmac
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from market.errors import BundleError, VenueError
from storage.bundle import FILES, MANIFEST

NAMES: Final = (MANIFEST, *FILES)
SIGNATURE_HEADER: Final = "X-Tickloop-Signature"
LARGEST_BODY: Final = 64 * 1024 * 1024  # bytes
ANSWER_S: Final = 120.0  # a swap may wait for its desk to be flat


def signature(manifest: bytes, key: bytes) -> str:
    """HMAC-SHA256 of a manifest, hex: whoever made it holds the deploy key."""
    return hmac.new(key, manifest, hashlib.sha256).hexdigest()


def pack(folder: Path) -> bytes:
    """The files of a bundle as one message. Raises BundleError if one is missing."""
    try:
        return msgspec.msgpack.encode({name: (folder / name).read_bytes() for name in NAMES})
    except OSError as error:
        raise BundleError(f"bundle {folder} cannot be read: {error.strerror} ({error.filename})") from error


def unpack(body: bytes) -> dict[str, bytes]:
    """The files of a message: exactly those of a bundle, whatever else it holds is refused.

    Raises BundleError.
    """
    if len(body) > LARGEST_BODY:
        raise BundleError(f"a body of {len(body)} bytes is over the limit of {LARGEST_BODY}")
    try:
        files = msgspec.msgpack.decode(body, type=dict[str, bytes])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError(f"the body is no packed bundle: {error}") from error
    if sorted(files) != sorted(NAMES):
        raise BundleError(f"the body holds {sorted(files)[:10]}; a bundle holds {sorted(NAMES)}")
    return files


def push(url: str, token: str, key: bytes, folder: Path, role: str = "champion", *, symbol: str = "") -> dict[str, Any]:
    """Push a bundle to the runner at ``url`` for a role; returns its answer, the sha that it now runs among it.

    symbol : that the bundle is for; empty where the runner has only one
    Raises BundleError with the runner's reason if it refuses, VenueError if it cannot be reached.
    """
    body = pack(folder)
    headers = {
        "Authorization": f"Bearer {token}",
        SIGNATURE_HEADER: signature((folder / MANIFEST).read_bytes(), key),
        "Content-Type": "application/msgpack",
    }
    try:
        answer = httpx.post(
            f"{url}/deploy/{role}",
            params={"symbol": symbol} if symbol else {},
            content=body,
            headers=headers,
            timeout=ANSWER_S,
        )
    except httpx.TransportError as error:
        raise VenueError(f"no runner answers at {url}: {error}") from error
    if answer.status_code != httpx.codes.OK:
        raise BundleError(f"the runner at {url} refused the bundle ({answer.status_code}): {_reason(answer)}")
    content: dict[str, Any] = answer.json()
    return content


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
