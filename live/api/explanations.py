"""``/explain``: the page for a browser, the answer as JSON, which a child process makes while the runner goes on."""

import asyncio
import os
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Response

from live.api.access import Access, Refusals, bears
from live.api.site import page
from live.explain.answer import Explanation
from live.explain.finding import order_name
from live.logs import secrets_of
from live.runner import Folders
from live.views import Refused
from market.errors import JournalError
from market.kernel_cache import ROOT

PATIENCE_S: Final = 120.0  # until a child has answered
MOST_WAITING: Final = 4
KEPT: Final = 64  # answers
_ENDED: Final = b'"end":"works still'
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {status: {"model": Refused} for status in (401, 404, 409, 503, 504)}


class Explanations:
    """Answers by symbol and order; one child at a time, whole answers kept."""

    def __init__(self, folders: Mapping[str, Folders], horizons_ms: Sequence[int]) -> None:
        self.symbols = tuple(folders)
        self._folders = folders
        self._horizons_ms = tuple(horizons_ms)
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    async def answer(self, symbol: str, order: str) -> bytes:
        """The explanation as JSON.

        Raises JournalError with the child's own line, TimeoutError if it took too long, BlockingIOError if too many
        wait already.
        """
        if (symbol, order) in self._kept:
            return self._kept[symbol, order]
        if self._waiting >= MOST_WAITING:
            raise BlockingIOError(f"{MOST_WAITING} orders wait for their explanation already")
        self._waiting += 1
        try:
            async with self._turn, asyncio.timeout(PATIENCE_S):
                told = await self._ask(symbol, order)
        finally:
            self._waiting -= 1
        self._keep((symbol, order), told)
        return told

    async def _ask(self, symbol: str, order: str) -> bytes:
        folders = self._folders[symbol]
        asked = (str(folders.journal), str(folders.bundles), order, *map(str, self._horizons_ms))
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "live.explain", *asked,
            cwd=ROOT, env=_environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode != 0:
            raise JournalError((err.decode().strip().splitlines() or ["no explanation"])[-1])
        return out

    def _keep(self, key: tuple[str, str], told: bytes) -> None:
        """Keep what cannot change any more: an order that has ended, with every markout known."""
        if _ENDED in told or b'"bp":null' in told or b'"profit":null' in told:
            return
        self._kept[key] = told
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _environment() -> dict[str, str]:
    """Ours without its secrets: a child that reads a journal needs none."""
    return {name: value for name, value in os.environ.items() if not secrets_of({name: value})}


def add_explanations(router: APIRouter, explanations: Explanations | None, guard: tuple[Access, Refusals]) -> None:
    """The route."""
    access, refusals = guard

    @router.get("/explain/{symbol}/{order}", response_model=Explanation, responses=_REFUSED)
    async def explain(
        symbol: str,
        order: Annotated[str, Path(max_length=64)],
        authorization: Annotated[str, Header()] = "",
        accept: Annotated[str, Header()] = "",
    ) -> Response:
        if "text/html" in accept:
            return page()
        if access.read_token and not bears(authorization, access.read_token):
            raise refusals.error(401, "token", "wrong or missing token")
        if explanations is None or symbol not in explanations.symbols:
            raise refusals.error(404, "symbol", f"no symbol {symbol[:64]!r} is explained here")
        try:
            told = await explanations.answer(symbol, str(order_name(order)))
        except JournalError as fault:
            raise refusals.error(404, "order", str(fault)) from fault
        except TimeoutError as fault:
            raise refusals.error(504, "explanation", f"no explanation within {PATIENCE_S:g} s") from fault
        except BlockingIOError as fault:
            raise refusals.error(503, "busy", str(fault)) from fault
        return Response(told, media_type="application/json")
