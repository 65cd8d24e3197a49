"""The end of the runner, for whoever is still asking: what cannot be answered any more is refused in one line."""

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from live.api.access import Refusals, send_line
from live.floor import Floor
from live.swaps import STOPPING

GRACE_S: Final = 1.0  # from the stop on, for what does not wait: a figure, a kill; less than the pages' own end


class UntilStopped:
    """Stands behind the door: a request without an answer a while after the runner began to stop is given up.

    An answer that has begun goes on to its end.
    """

    def __init__(self, app: ASGIApp, floor: Floor, refusals: Refusals) -> None:
        self._app = app
        self._floor = floor
        self._refusals = refusals
        self._open: set[asyncio.Timeout] = set()  # of requests without an answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; a request for as long as there is time for an answer."""
        if scope["type"] == "lifespan":
            watching = asyncio.create_task(self._watch())
            try:
                await self._app(scope, receive, send)
            finally:
                watching.cancel()
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _watch(self) -> None:
        await self._floor.until_stopping()
        for limit in self._open:
            limit.reschedule(_end())

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, limit = False, asyncio.timeout_at(_end() if self._floor.stopping else None)

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            if not limit.expired():
                limit.reschedule(None)
                self._open.discard(limit)
            await send(message)

        try:
            async with limit:
                self._open.add(limit)
                await self._app(scope, receive, noted)
        except TimeoutError:
            if begun or not limit.expired():
                raise
            self._refusals.count("stopping")
            await send_line(send, 503, STOPPING)
        finally:
            self._open.discard(limit)


def _end() -> float:
    """Until when a request may go on that is open now, by the loop's clock."""
    return asyncio.get_running_loop().time() + GRACE_S
