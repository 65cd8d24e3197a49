"""Who is let in: hosts and origins of this machine, three tokens, small requests. Every refusal is one counted line."""

import hmac
import json
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from market.errors import ConfigError
from monitoring.metrics import Meters

HOSTS: Final = ("127.0.0.1", "localhost", "::1")
LARGEST_REQUEST: Final = 4_096  # bytes of any body but a bundle's
POLICY_VIOLATION: Final = 1008  # why a WebSocket is closed
SECURITY: Final = (  # the page asks nobody but us, and nobody frames it
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
     b"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)  # fmt: skip


class Access(NamedTuple):
    """Who may do what, and how long a swap may wait."""

    read_token: str  # empty: reading is free on loopback
    deploy_token: str  # empty: nobody deploys
    swap_patience_s: float
    kill_token: str = ""  # empty: nobody kills over HTTP
    metrics_token: str = ""  # empty: metrics are free on loopback
    host: str = "127.0.0.1"  # where the pages listen


def require_guard(access: Access) -> None:
    """Raises ConfigError if anyone beyond this machine could read without a token."""
    missing = [name for name in ("read_token", "metrics_token") if not getattr(access, name)]
    if missing and not IPv4Address(access.host).is_loopback:
        names = " and ".join(f"TICKLOOP_{name.upper()}" for name in missing)
        raise ConfigError(f"live.api_host={access.host} is no address of this machine alone: set {names}")


class Refusals:
    """Counts what is refused, by reason."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def count(self, reason: str) -> None:
        """One more."""
        self._meters.count("refused_requests", reason=reason)

    def error(self, status: int, reason: str, line: str) -> HTTPException:
        """A refusal, counted."""
        self.count(reason)
        return HTTPException(status, line)


def bears(authorization: str, token: str) -> bool:
    """Whether a header holds the token; takes as long for a near miss as for any other."""
    return same(authorization, f"Bearer {token}")


def same(given: str, token: str) -> bool:
    """Whether two texts are equal, compared in constant time."""
    return hmac.compare_digest(given.encode(), token.encode())


def host_of(url: str) -> str | None:
    """Name of the host that a URL points to, None where it is no URL.

    >>> host_of("//127.0.0.1:8000"), host_of("http://[::1]:80"), host_of("null")
    ('127.0.0.1', '::1', None)
    """
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


class LocalOnly:
    """Stands before the application, HTTP and WebSocket alike: hosts and origins of this machine, bodies in size."""

    def __init__(self, app: ASGIApp, refusals: Refusals, host: str) -> None:
        """``host`` : where the pages listen."""
        self._app = app
        self._refusals = refusals
        self._hosts = {*HOSTS, host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may come in."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = _refusal(scope, self._hosts)
        if refusal is None:
            await self._app(scope, receive, _secured(send) if scope["type"] == "http" else send)
            return
        status, reason, line = refusal
        self._refusals.count(reason)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": line})
            return
        await send_line(send, status, line)


def _refusal(scope: Scope, hosts: Collection[str]) -> tuple[int, str, str] | None:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    given = {name.lower(): value.decode("latin-1") for name, value in headers}
    if host_of(f"//{given.get(b'host', '')}") not in hosts:
        return 421, "host", "unknown host"
    if b"origin" in given and host_of(given[b"origin"]) not in hosts:
        return 403, "origin", "unknown origin"
    if scope["type"] == "http":
        return _oversized(scope["path"], given.get(b"content-length"), b"transfer-encoding" in given)
    return None


def _oversized(path: str, length: str | None, chunked: bool) -> tuple[int, str, str] | None:
    """Bundles are measured as they come in, by whoever takes them."""
    if path == "/deploy" or path.startswith("/deploy/"):
        return None
    if chunked:
        return 411, "length", "a request must say how long it is"
    if length is not None and not (length.isdecimal() and int(length) <= LARGEST_REQUEST):
        return 413, "size", f"a body may hold {LARGEST_REQUEST} bytes"
    return None


def _secured(send: Send) -> Send:
    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *SECURITY]
        await send(message)

    return secured


async def send_line(send: Send, status: int, line: str) -> None:
    """Answer a request with one line, as JSON."""
    body = json.dumps({"detail": line}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
