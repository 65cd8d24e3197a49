"""The runner over HTTP, on loopback: health, metrics, status, and the door that bundles come through."""

import asyncio
import hmac
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import urlsplit

from fastapi import FastAPI, Header, HTTPException, Request, Response

from live.exporter import PrometheusMeters
from live.rollout import Refusal, Rollout
from live.runner import Runner
from market.errors import ModelError
from storage.deployment import LARGEST_BODY, SIGNATURE_HEADER

HOSTS: Final = ("127.0.0.1", "localhost", "::1")
_STATUS: Final = {"closed": 403, "token": 401, "size": 413}  # of refusals that another bundle would meet, too


class Access(NamedTuple):
    """Who may do what, and how long a swap may wait."""

    read_token: str  # empty: reading is free on loopback
    deploy_token: str
    swap_patience_s: float


def api(runner: Runner, rollout: Rollout | None, meters: PrometheusMeters, access: Access) -> FastAPI:
    """The application; without a rollout it takes no bundles."""
    app = FastAPI(title="tickloop runner", docs_url=None, redoc_url=None, openapi_url=None)
    checking = asyncio.Lock()

    @app.middleware("http")
    async def only_local_hosts(request: Request, call_next: Any) -> Response:
        if _host_of(f"//{request.headers.get('host', '')}") not in HOSTS:
            return Response("unknown host", status_code=421)
        origin = request.headers.get("origin")
        if origin is not None and _host_of(origin) not in HOSTS:
            return Response("unknown origin", status_code=403)
        answer: Response = await call_next(request)
        return answer

    @app.get("/health")
    async def health() -> dict[str, Any]:
        if not runner.connected:
            raise HTTPException(503, "not connected to the venue")
        return {"status": "ok", "row_ts": runner.next_row_ts}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(meters.text(), media_type=meters.content_type)

    @app.get("/status")
    async def status(authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
        if access.read_token and not _bears(authorization, access.read_token):
            raise HTTPException(401, "wrong or missing token")
        return runner.status()

    @app.post("/deploy")
    async def deploy(request: Request, authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
        try:
            if rollout is None or not access.deploy_token:
                raise Refusal("closed", "this runner takes no bundles: it has no deploy token and key")
            if not _bears(authorization, access.deploy_token):
                raise Refusal("token", "wrong or missing token")
            if checking.locked():
                raise Refusal("busy", "another bundle is being checked")
            async with checking:
                body = await _body(request)
                accepting = asyncio.to_thread(rollout.accept, body, request.headers.get(SIGNATURE_HEADER, ""))
                sha, strategy = await accepting
                running = await runner.deploy(strategy, sha, access.swap_patience_s)
        except Refusal as refusal:
            meters.count("refused_bundles", reason=refusal.code)
            raise HTTPException(_STATUS.get(refusal.code, 409), str(refusal)) from refusal
        except ModelError as error:
            meters.count("refused_bundles", reason="not swapped")
            raise HTTPException(409, str(error)) from error
        meters.count("deployments")
        return {"running_sha": running, "row_ts": runner.next_row_ts}

    return app


def _host_of(url: str) -> str | None:
    """Name of the host that a URL points to, None where it is no URL.

    >>> _host_of("//127.0.0.1:8000"), _host_of("http://[::1]:80"), _host_of("null")
    ('127.0.0.1', '::1', None)
    """
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _bears(authorization: str, token: str) -> bool:
    return hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise Refusal("size", f"a body may hold {LARGEST_BODY} bytes")
    return bytes(body)
