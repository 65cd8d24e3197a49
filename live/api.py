"""The runner over HTTP, on loopback: health, metrics, status, and the door that bundles come through."""

from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import FastAPI, Header, HTTPException, Request, Response

from live.api_rollout import Access, add_rollout, bears
from live.exporter import PrometheusMeters
from live.rollout import Rollout
from live.runner import Runner

HOSTS: Final = ("127.0.0.1", "localhost", "::1")


def api(runner: Runner, rollout: Rollout | None, meters: PrometheusMeters, access: Access) -> FastAPI:
    """The application; without a rollout it takes no bundles."""
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
        if not runner.connected:
            raise HTTPException(503, "not connected to the venue")
        return {"status": "ok", "row_ts": runner.next_row_ts}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(meters.text(), media_type=meters.content_type)

    @app.get("/status")
    async def status(authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
        if access.read_token and not bears(authorization, access.read_token):
            raise HTTPException(401, "wrong or missing token")
        return runner.status()

    add_rollout(app, runner, rollout, access)
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
