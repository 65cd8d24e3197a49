"""The application: every route of the floor, built once when the process starts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from live.api.access import Access, LocalOnly, Refusals
from live.api.explanations import Explanations, add_explanations
from live.api.killing import add_killing
from live.api.reading import add_reading
from live.api.rollout import add_rollout
from live.api.site import add_site
from live.api.stopping import UntilStopped
from live.api.stream import add_stream
from live.exporter import PrometheusMeters
from live.floor import Floor
from live.rollout import Rollout
from live.supervision import consume
from live.views import Refused
from live.watch import Watch, keep_looking


def api(
    floor: Floor,
    rollouts: Mapping[str, Rollout],
    meters: PrometheusMeters,
    access: Access,
    explanations: Explanations | None = None,
) -> FastAPI:
    """The application; a symbol without a rollout takes no bundles, without ``explanations`` nothing is explained."""
    watches, refusals = {symbol: Watch(floor[symbol]) for symbol in floor.symbols}, Refusals(meters)
    app = FastAPI(title="tickloop runner", docs_url=None, redoc_url=None, lifespan=_looking(watches, meters))
    router, guarded = APIRouter(), (access, refusals)
    add_site(router)
    add_reading(router, floor, watches, meters, guarded)
    add_rollout(router, floor, rollouts, meters, access)
    add_killing(router, floor, guarded)
    add_explanations(router, explanations, guarded)
    add_stream(router, watches, guarded)
    app.include_router(router, responses={status: {"model": Refused} for status in (422, 503)})
    _answer_in_one_line(app, refusals)
    app.add_middleware(UntilStopped, floor=floor, refusals=refusals)
    app.add_middleware(LocalOnly, refusals=refusals, host=access.host)
    return app


def _looking(
    watches: Mapping[str, Watch], meters: PrometheusMeters
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """The life of the application: the figures of the page are looked at for as long as it runs."""

    @asynccontextmanager
    async def looking(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(consume(meters, "figures", partial(keep_looking, watches.values())))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    return looking


def _answer_in_one_line(app: FastAPI, refusals: Refusals) -> None:
    """What a route cannot read is refused like everything else."""

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, fault: RequestValidationError) -> JSONResponse:
        refusals.count("malformed")
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"detail": f"{where}: {first['msg']}"}, 422)
