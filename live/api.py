"""The floor over HTTP, on loopback: health, metrics, status, and the door that bundles come through."""

from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import FastAPI, Header, HTTPException, Request, Response

from live.api_kill import add_kill
from live.api_rollout import Access, add_rollout, bears
from live.exporter import PrometheusMeters
from live.floor import Floor
from live.rollout import Rollout

HOSTS: Final = ("127.0.0.1", "localhost", "::1")


def api(floor: Floor, rollouts: Mapping[str, Rollout], meters: PrometheusMeters, access: Access) -> FastAPI:
    """The application; a symbol without a rollout takes no bundles."""
    app = FastAPI(title="tickloop runner", docs_url=None, redoc_url=None, openapi_url=None)

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
        if not floor.connected:
            raise HTTPException(503, "not connected to the venue")
        return {"status": "ok", "row_ts": min(runner.next_row_ts for runner in floor.runners)}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(meters.text(), media_type=meters.content_type)

    @app.get("/status")
    async def status(authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
        if access.read_token and not bears(authorization, access.read_token):
            raise HTTPException(401, "wrong or missing token")
        return floor.status()

    add_rollout(app, floor, rollouts, access)
    add_kill(app, floor, access)
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
