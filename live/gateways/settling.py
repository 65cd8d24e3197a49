"""Sends and cancels orders at a venue, and asks about each until it is known what the venue has made of it."""

import asyncio
import time
from typing import Final

from live.gateways.client import DUPLICATE, UNKNOWN_ORDER
from live.gateways.life import OrderLife, Standing, Told
from live.gateways.line import Line
from live.gateways.orders import Orders
from live.gateways.renewing import wait_of
from market.errors import NoAnswer, OrderRefused, RefusedForNow, VenueError
from market.orders import ALREADY_DONE, NO_ANSWER, NO_MARGIN, VENUE_REFUSED, WOULD_CROSS
from market.orders import UNKNOWN_ORDER as NO_SUCH_ORDER

_REASONS: Final = {-2019: NO_MARGIN, -5022: WOULD_CROSS}  # Binance's codes of refused orders; others: VENUE_REFUSED


class Settling:
    """What goes to the venue about one order at a time, and what comes of it."""

    def __init__(self, line: Line, orders: Orders, counts: dict[str, int]) -> None:
        self.last_words = ""  # of a venue that did not say where an order stands
        self._line = line
        self._client = line.client
        self._orders = orders
        self._counts = counts
        self._cancelling: set[int] = set()

    def may_cancel(self, life: OrderLife) -> bool:
        """Whether to ask for a cancel now: one question about an order at a time."""
        if life.ended or life.order_id in self._cancelling:
            return False
        self._cancelling.add(life.order_id)
        return True

    def tell(self, told: list[Told]) -> None:
        """Have reports wait until they are handed out."""
        self._orders.tellings.tell(told, self._line.calls.now())

    def note_silence(self, silence: VenueError) -> None:
        """The venue did not answer, or not now."""
        self._counts["unasked"] += 1
        self.last_words = str(silence)

    def on_silence(self, silence: VenueError) -> float:
        """The same, and seconds to wait before it is asked again; who was sent away comes back in turn."""
        self.note_silence(silence)
        return max(self._line.patience.poll_s, self._client.turn_s(), wait_of(silence))

    async def place(self, life: OrderLife) -> None:
        """Send an order, and settle what comes of it."""
        self._counts["placed"] += 1
        try:
            standing = await self._client.place(life, self._line.client_id(life.order_id))
        except OrderRefused as refusal:
            await self._on_refused(life, refusal.code)
        except NoAnswer:
            self._counts["unanswered"] += 1
            await self.resolve(life)
        else:
            await self._take_patiently(life, standing)
        finally:
            self._orders.settle(life)  # also where an answer stops us: its cancel must not wait for ever

    async def cancel(self, life: OrderLife) -> None:
        """Cancel an order once its placement is settled and the venue hears us; after a ban, when its turn comes."""
        try:
            await self._orders.settled(life)
            while wait_s := self._client.turn_s():
                await asyncio.sleep(wait_s)
            if not life.ended:
                await self._ask_cancel(life)
        finally:
            self._cancelling.discard(life.order_id)

    async def resolve(self, life: OrderLife) -> None:
        """Ask until it is known where an order stands; one that the venue will never know is told as such."""
        while not life.ended:
            asked_s = time.monotonic()
            try:
                if await self.settle(life):
                    self._counts["resolved"] += 1
                    return
            except VenueError as error:
                await asyncio.sleep(self.on_silence(error))
                continue
            if not self._orders.expected(life, asked_s):
                self.tell(life.never(self._line.calls.now()))
                return
            await asyncio.sleep(self._line.patience.poll_s)

    async def settle(self, life: OrderLife) -> bool:
        """Ask where an order stands, and tell what is new; whether the venue knows it."""
        standing = await self._client.standing(self._line.client_id(life.order_id))
        if standing is None:
            return False
        await self._take(life, standing)
        return True

    async def watch_over(self) -> None:
        """Ask now and then about orders whose end was heard of before all of their fills."""
        while True:
            wait_s = self._line.patience.poll_s
            for life in [life for life in self._orders.alive if life.missing]:
                try:
                    await self.settle(life)
                except VenueError as error:
                    wait_s = self.on_silence(error)
            await asyncio.sleep(wait_s)

    async def _ask_cancel(self, life: OrderLife) -> None:
        self._counts["cancels"] += 1
        try:
            await self._take(life, await self._client.cancel(self._line.client_id(life.order_id)))
        except OrderRefused as refusal:
            await self._on_cancel_refused(life, refusal.code)
        except NoAnswer:
            self._counts["unanswered"] += 1
            await self.resolve(life)
            if not life.ended:
                self.tell(life.stands(NO_ANSWER, self._line.calls.now()))

    async def _on_refused(self, life: OrderLife, code: int) -> None:
        if code == DUPLICATE:  # it is there already: an order of ours, sent before
            self._counts["duplicates"] += 1
            await self.resolve(life)
            return
        self._counts["refused"] += 1
        self.tell(life.refused(_REASONS.get(code, VENUE_REFUSED), self._line.calls.now()))

    async def _on_cancel_refused(self, life: OrderLife, code: int) -> None:
        if code in UNKNOWN_ORDER:  # it is done, and we have not heard how
            await self.resolve(life)
        reason = ALREADY_DONE if life.ended else NO_SUCH_ORDER if code in UNKNOWN_ORDER else VENUE_REFUSED
        self.tell(life.stands(reason, self._line.calls.now()))

    async def _take(self, life: OrderLife, standing: Standing) -> None:
        """Tell a standing, and the fills that it counts and the stream has not brought."""
        self.tell(life.on_standing(standing))
        if standing.filled > life.filled:
            for trade in await self._client.trades(life.venue_id):
                self.tell(life.on_trade(trade))
            if not life.ended:
                self.tell(life.on_standing(standing))

    async def _take_patiently(self, life: OrderLife, standing: Standing) -> None:
        """The same; fills that the venue does not list now are asked for by the watch over orders."""
        try:
            await self._take(life, standing)
        except (NoAnswer, RefusedForNow) as silence:
            self.note_silence(silence)
