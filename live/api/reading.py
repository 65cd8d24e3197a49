"""What may be read: one route a question, each answered from the floor as it stands between two rows."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, HTTPException, Path, Response

from live.api.access import Access, Refusals, bears
from live.exporter import PrometheusMeters
from live.floor import Floor
from live.views import (
    DeskLatency,
    FeaturesView,
    Health,
    ModelView,
    OrdersView,
    PositionsView,
    Refused,
    SignalsView,
    SymbolLine,
    SymbolView,
)
from live.watch import Watch

Guard = tuple[Access, Refusals]
REFUSED: dict[int | str, dict[str, Any]] = {401: {"model": Refused}, 404: {"model": Refused}}


def reader_of(guard: Guard) -> Callable[..., None]:
    """Lets in whoever bears the read token, or anyone where there is none."""
    access, refusals = guard

    def reader(authorization: Annotated[str, Header()] = "") -> None:
        if access.read_token and not bears(authorization, access.read_token):
            raise refusals.error(401, "token", "wrong or missing token")

    return reader


def as_json(view: object) -> Response:
    """A view as JSON, encoded once; what is not finite is null."""
    return Response(msgspec.json.encode(view), media_type="application/json")


def add_reading(
    router: APIRouter, floor: Floor, watches: Mapping[str, Watch], meters: PrometheusMeters, guard: Guard
) -> None:
    """Health is free, metrics are where they have no token; the rest is read with the read token."""

    @router.get("/health", responses={503: {"model": Refused}})
    async def health() -> Health:
        if not floor.connected:
            raise HTTPException(503, "not connected to the venue")
        return Health("ok", min(runner.next_row_ts for runner in floor.runners))

    @router.get("/metrics", response_class=Response, responses={401: {"model": Refused}})
    async def metrics(authorization: Annotated[str, Header()] = "") -> Response:
        if guard[0].metrics_token and not bears(authorization, guard[0].metrics_token):
            raise guard[1].error(401, "token", "wrong or missing token")
        return Response(await meters.scraped(), media_type=meters.content_type)

    reading = APIRouter(dependencies=[Depends(reader_of(guard))], responses=REFUSED)

    @reading.get("/status")
    async def status() -> dict[str, Any]:
        return floor.status()

    _add_lists(reading, watches)
    _add_symbols(reading, watches, guard[1])
    router.include_router(reading)


def _add_lists(reading: APIRouter, watches: Mapping[str, Watch]) -> None:
    @reading.get("/symbols", response_model=list[SymbolLine])
    async def symbols() -> Response:
        return as_json([watch.line() for watch in watches.values()])

    @reading.get("/orders", response_model=list[OrdersView])
    async def orders() -> Response:
        return as_json([watch.orders() for watch in watches.values()])

    @reading.get("/positions", response_model=list[PositionsView])
    async def positions() -> Response:
        return as_json([watch.positions() for watch in watches.values()])

    @reading.get("/models", response_model=list[ModelView])
    async def models() -> Response:
        return as_json([model for watch in watches.values() for model in watch.models()])

    @reading.get("/latencies", response_model=list[DeskLatency])
    async def latencies() -> Response:
        return as_json([latency for watch in watches.values() for latency in watch.latencies()])


def _add_symbols(reading: APIRouter, watches: Mapping[str, Watch], refusals: Refusals) -> None:
    def watched(symbol: Annotated[str, Path()]) -> Watch:
        if symbol not in watches:
            raise refusals.error(404, "symbol", f"no symbol {symbol!r}; there is {', '.join(watches)}")
        return watches[symbol]

    Watched = Annotated[Watch, Depends(watched)]

    @reading.get("/symbols/{symbol}", response_model=SymbolView)
    async def symbol_view(watch: Watched) -> Response:
        return as_json(watch.view())

    @reading.get("/features/{symbol}", response_model=FeaturesView)
    async def features(watch: Watched) -> Response:
        return as_json(watch.features())

    @reading.get("/signals/{symbol}", response_model=SignalsView)
    async def signals(watch: Watched) -> Response:
        return as_json(watch.signals())
