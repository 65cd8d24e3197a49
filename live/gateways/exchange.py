"""The exchange gateway: orders leave in tasks of their own, reports come back once each, in an order a desk can follow.

Until it is opened it only remembers: a journal that is replayed tells it what was sent and heard. Nothing leaves while
the account stream is down, and what rests is cancelled then. What the venue does not answer is asked for until it is
known. A contradiction between venue and journal stops trading.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from live.gateways.account_stream import AccountStream
from live.gateways.dead_man import Guard, keep_renewing
from live.gateways.hearing import Hearing
from live.gateways.life import OrderLife
from live.gateways.line import Line
from live.gateways.news import OrderNews
from live.gateways.orders import Orders
from live.gateways.permission import require_harmless
from live.gateways.reconciling import Reconciling
from live.gateways.renewing import Insistence, Lapsed
from live.gateways.settling import Settling
from live.gateways.tasks import Tasks
from live.gateways.venue_clock import VenueClock
from market.errors import VenueError
from market.events import Events
from market.instrument import Instrument
from market.orders import LINE_DOWN, Reports

LOG: Final = logging.getLogger(__name__)
_COUNTS: Final = (
    "placed",
    "refused",
    "unanswered",
    "cancels",
    "duplicates",
    "foreign",
    "unasked",
    "unrenewed",
    "lapsed",
    "resolved",
    "reconciled",
)


class ExchangeGateway:
    """One desk's orders at an exchange."""

    def __init__(self, instrument: Instrument) -> None:
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.orders = Orders()
        self._reconciled = False  # the account's stream is up, and venue and journal agree
        self._guarded = True  # the venue's countdown runs, where there is one
        self._instrument = instrument
        self._line: Line | None = None
        self._settling: Settling | None = None
        self._tasks = Tasks(self._on_fault)
        self._stream: AccountStream | None = None
        self._reconciling: asyncio.Task[None] | None = None  # with the connection that is up
        self._failure: BaseException | None = None

    @property
    def _open(self) -> Line:
        """Raises VenueError while nothing is open."""
        if self._line is None:
            raise VenueError("the exchange gateway has not been opened")
        return self._line

    @property
    def _asking(self) -> Settling:
        """Raises VenueError while nothing is open."""
        if self._settling is None:
            raise VenueError("the exchange gateway has not been opened")
        return self._settling

    def client_id(self, order_id: int) -> str:
        """The id that the venue knows an order by."""
        return self._open.client_id(order_id)

    @property
    def alive(self) -> list[OrderLife]:
        """Orders whose end has not been told."""
        return self.orders.alive

    @property
    def unsettled(self) -> int:
        """Orders of which we do not know what the venue made of them."""
        return self.orders.unsettled

    @property
    def position(self) -> int:
        """Lots, the sum of all fills told."""
        return self.orders.tellings.position

    @property
    def up(self) -> bool:
        """Whether orders may leave."""
        return self._reconciled and self._guarded and not self._open.client.quiet_s

    @property
    def last_words(self) -> str:
        """Of a venue that did not say where an order stands."""
        return self._asking.last_words

    @property
    def stream_counts(self) -> Mapping[str, int]:
        """What befell the account's stream; nothing before it is opened."""
        return self._stream.counts if self._stream else {}

    @property
    def clock(self) -> VenueClock | None:
        """Ours against the venue's; None before the gateway is opened."""
        return self._line.client.clock if self._line else None

    def on_events(self, events: Events) -> None:
        """The venue knows the market."""

    def hear(self, reports: Reports) -> None:
        """Take reports out of the journal: they are handed out next, as they were then."""
        self.orders.hear(reports)

    def reports(self, until: int) -> Reports:
        """Reports that are visible by ``until``, ns UTC, each handed out once.

        Raises what stopped the gateway: a venue that contradicts us, or a fault of ours.
        """
        if self._failure is not None:
            raise self._failure
        return self.orders.tellings.hand_out(until)

    def place(self, order_id: int, side: int, price: int, qty: int, tif: int, sent_ts: int) -> None:
        """Send an order, in a task; before ``open`` it is only remembered."""
        life = self.orders.add(order_id, side, price, qty, tif)
        if self._line is None:
            return
        self.orders.expect(life, self._line.patience.recv_window_s)
        if not self.up:
            self._asking.tell(life.refused(LINE_DOWN, sent_ts))
            self.orders.settle(life)
            return
        self._tasks.begin(self._asking.place(life))

    def cancel(self, order_id: int, sent_ts: int) -> None:
        """Ask for an order to be cancelled, in a task; one question about an order at a time.

        An order that never came here, as it could not be written down, has nothing to cancel.
        """
        life = self.orders.life(order_id)
        if life is not None and self._settling is not None and self._settling.may_cancel(life):
            self._tasks.begin(self._settling.cancel(life))

    async def open(self, line: Line) -> None:
        """Connect, and settle with the venue what the journal leaves open, before the first decision.

        Raises ConfigError if the key may do more than trade, VenueError if the venue cannot be reached, or holds a
        position or an order that the journal does not explain.
        """
        await line.client.open()
        if not line.client.test_network:  # which has nothing to withdraw, and no answer to that question
            require_harmless(await line.client.restrictions(), line.client.may_trade)
        await line.client.take_stock(self.orders.tellings.told == 0)
        self._line, self._settling = line, Settling(line, self.orders, self.counts)
        for life in self.alive:
            self.orders.expect(life, line.patience.recv_window_s)
        await self._arm(line)
        connected = self._listen(line, self._settling)
        try:
            async with asyncio.timeout(line.patience.open_s):
                await connected.wait()
        except TimeoutError:
            raise VenueError(f"no account stream within {line.patience.open_s} s {self.last_words}".rstrip()) from None
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Cancel what works, wait for its end as long as patience allows, and let go of the venue."""
        if self._line is None:
            return
        self._reconciled = False
        deadline = time.monotonic() + self._line.patience.open_s
        while self.alive and time.monotonic() < deadline:
            self._cancel_alive()
            await asyncio.sleep(self._line.patience.poll_s)
        await self._tasks.end()
        await self._disarm(self._line)
        await self._line.client.close()

    def dump(self) -> dict[str, NDArray[np.int64]]:
        """What a snapshot beside the journal has to keep."""
        return self.orders.dump()

    def load(self, arrays: dict[str, NDArray[np.int64]]) -> None:
        """Go on from a ``dump``, as if the journal up to there had been heard."""
        self.orders.load(arrays)

    def _listen(self, line: Line, settling: Settling) -> asyncio.Event:
        """Begin all that goes on beside the orders; set once the stream was up and the first settlement is over."""
        connected = asyncio.Event()
        hearing = Hearing(self._instrument, line, self.orders, settling, self.counts)
        reconciling = Reconciling(self._instrument, line, self.orders, settling)

        def on_news(news: OrderNews) -> None:
            try:
                hearing.on_news(news)
            except VenueError as error:
                self._fail(error)

        self._stream = stream = AccountStream(line.client, line.ws_url, on_news, line.generator)
        on_up = lambda: self._on_up(reconciling, connected)  # noqa: E731
        self._tasks.begin_lasting("account stream", stream.run(on_up, self._on_down))
        self._tasks.begin_lasting("watch over orders", settling.watch_over())
        self._tasks.begin_lasting("venue clock", line.client.clock.keep_learning(settling.note_silence))
        return connected

    async def _arm(self, line: Line) -> None:
        """Begin the venue's countdown, and keep it from its end. Raises VenueError if the venue does not take it."""
        countdown_s = line.patience.dead_man_s
        if not countdown_s:
            return
        await line.client.cancel_all_after(countdown_s)
        if line.client.renews:
            insistence = Insistence(line.generator, self._on_unrenewed)
            guard = Guard(self._on_lapse, self._on_guarded)
            renewing = keep_renewing(lambda: line.client.cancel_all_after(countdown_s), countdown_s, insistence, guard)
            self._tasks.begin_lasting("dead man's switch", renewing)

    async def _disarm(self, line: Line) -> None:
        """End the countdown where nothing of ours works any more: it would take the orders of whoever comes next."""
        if line.patience.dead_man_s and not self.alive:
            try:
                await line.client.cancel_all_after(0.0)
            except VenueError as error:
                self._asking.note_silence(error)

    def _on_unrenewed(self, silence: VenueError) -> None:
        self.counts["unrenewed"] += 1
        self._asking.last_words = str(silence)

    def _on_lapse(self, lapse: Lapsed) -> None:
        """The venue has cancelled what rested, or will have; nothing leaves until it watches over our orders again."""
        self.counts["lapsed"] += 1
        self._asking.last_words = f"dead man's switch: {lapse}"
        LOG.warning("%s: %s", self._instrument.name, self.last_words)
        self._guarded = False
        self._cancel_alive()

    def _on_guarded(self) -> None:
        self._guarded = True

    def _on_up(self, reconciling: Reconciling, connected: asyncio.Event) -> None:
        async def reconcile() -> None:
            try:
                await reconciling.patiently()
            except VenueError as error:
                self._fail(error)
            else:
                self.counts["reconciled"] += 1
                self._reconciled = self._failure is None
            connected.set()

        self._reconciling = self._tasks.begin(reconcile())

    def _on_down(self) -> None:
        self._reconciled = False
        if self._reconciling is not None:
            self._reconciling.cancel()  # it would say that orders may leave
        self._cancel_alive()

    def _cancel_alive(self) -> None:
        for life in self.alive:
            self.cancel(life.order_id, self._open.calls.now())

    def _on_fault(self, fault: BaseException, told: BaseException) -> None:
        self._open.calls.died("orders", fault)
        self._fail(told)

    def _fail(self, error: BaseException) -> None:
        self._reconciled = False
        self._failure = self._failure or error
