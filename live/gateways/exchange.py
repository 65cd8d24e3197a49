"""The exchange gateway: orders leave in tasks of their own, reports come back once each, in an order a desk can follow.

Until it is opened it only remembers: a journal that is replayed tells it what was sent and heard. Nothing leaves while
the account stream is down, and what rests is cancelled then. What the venue does not answer is asked for until it is
known. A contradiction between venue and journal stops trading.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from live.gateways.account_stream import AccountStream
from live.gateways.client import DUPLICATE, UNKNOWN_ORDER, Holding, VenueClient, on_grid
from live.gateways.dead_man import Guard, keep_renewing
from live.gateways.life import OVER, OrderLife, Standing, Told, Trade
from live.gateways.news import OrderNews
from live.gateways.permission import require_harmless
from live.gateways.renewing import Insistence, Lapsed, wait_of
from live.gateways.tellings import Tellings
from live.gateways.venue_clock import VenueClock
from market.errors import BackgroundError, NoAnswer, OrderRefused, RefusedForNow, TickloopError, VenueError
from market.events import BUY, SELL, Events
from market.instrument import Instrument
from market.orders import (
    ALREADY_DONE,
    LINE_DOWN,
    NO_ANSWER,
    NO_MARGIN,
    NO_REASON,
    OPENING,
    VENUE_REFUSED,
    WOULD_CROSS,
    Reports,
)
from market.orders import (
    UNKNOWN_ORDER as NO_SUCH_ORDER,
)

LOG: Final = logging.getLogger(__name__)
REMEMBERED: Final = 4_096  # orders
_MS: Final = 1_000_000  # ns
_REASONS: Final = {-2019: NO_MARGIN, -5022: WOULD_CROSS}  # Binance's codes of refused orders; others: VENUE_REFUSED
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


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the gateway waits for what."""

    recv_window_s: float  # after which the venue takes no request of ours any more
    poll_s: float  # between two questions about an order that is unknown, or unheard of
    open_s: float  # for the account stream at the start, and for cancels at the end
    dead_man_s: float = 0.0  # after which without us the venue cancels what works; 0: it does not


class Calls(NamedTuple):
    """What a gateway asks its runner for, and tells it."""

    now: Callable[[], int]  # the runner's clock, ns UTC: reports become visible by it
    died: Callable[[str, BaseException], None]  # a task of the gateway has ended by a fault


class Line(NamedTuple):
    """What a gateway is opened with."""

    client: VenueClient
    ws_url: str  # of the account's stream
    session: str  # names the journal, so that order ids of two runs never meet
    calls: Calls
    patience: Patience
    generator: np.random.Generator  # spreads retries
    adopts: bool = False  # what an account holds before the journal has told anything


class ExchangeGateway:
    """One desk's orders at an exchange."""

    def __init__(self, instrument: Instrument) -> None:
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.last_words = ""  # of a venue that did not say where an order stands
        self._reconciled = False  # the account's stream is up, and venue and journal agree
        self._guarded = True  # the venue's countdown runs, where there is one
        self._instrument = instrument
        self._line: Line | None = None
        self._lives: dict[int, OrderLife] = {}
        self._deadlines: dict[int, float] = {}  # monotonic s, when an order that is unknown can no longer arrive
        self._answered: dict[int, asyncio.Event] = {}  # the venue, or our asking, has settled its placement
        self._cancelling: set[int] = set()
        self._tellings = Tellings()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stream: AccountStream | None = None
        self._reconciling: asyncio.Task[None] | None = None  # with the connection that is up
        self._failure: BaseException | None = None

    def client_id(self, order_id: int) -> str:
        """The id that the venue knows an order by: the same whenever it is asked for, so that a second one is seen."""
        return f"tl{self._open.session}-{order_id}"

    @property
    def _open(self) -> Line:
        """Raises VenueError while nothing is open."""
        if self._line is None:
            raise VenueError("the exchange gateway has not been opened")
        return self._line

    @property
    def alive(self) -> list[OrderLife]:
        """Orders whose end has not been told."""
        return [life for life in self._lives.values() if not life.ended]

    @property
    def unsettled(self) -> int:
        """Orders of which we do not know what the venue made of them: unanswered, or with fills still missing."""
        return sum(life.missing or not self._answered[life.order_id].is_set() for life in self.alive)

    @property
    def position(self) -> int:
        """Lots, the sum of all fills told."""
        return self._tellings.position

    @property
    def up(self) -> bool:
        """Whether orders may leave."""
        return self._reconciled and self._guarded and not self._open.client.quiet_s

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
        for report in reports:
            life = self._lives.get(int(report["order_id"]))
            if life is not None:  # None: its end was handed out before the snapshot that we go on from
                life.remember(report)
        self._tellings.hear(reports)

    def reports(self, until: int) -> Reports:
        """Reports that are visible by ``until``, ns UTC, each handed out once.

        Raises what stopped the gateway: a venue that contradicts us, or a fault of ours.
        """
        if self._failure is not None:
            raise self._failure
        return self._tellings.hand_out(until)

    def place(self, order_id: int, side: int, price: int, qty: int, tif: int, sent_ts: int) -> None:
        """Send an order, in a task; before ``open`` it is only remembered."""
        self._forget()
        life = self._lives[order_id] = OrderLife(order_id, side, price, qty, tif)
        self._tellings.follow(OrderLife(order_id, side, price, qty, tif))
        self._answered[order_id] = asyncio.Event()
        if self._line is None:
            return
        self._deadlines[order_id] = time.monotonic() + self._line.patience.recv_window_s
        if not self.up:
            self._tell(life.refused(LINE_DOWN, sent_ts))
            self._answered[order_id].set()
            return
        self._begin(self._place(self._line.client, life))

    def cancel(self, order_id: int, sent_ts: int) -> None:
        """Ask for an order to be cancelled, in a task; one question about an order at a time.

        An order that never came here, as it could not be written down, has nothing to cancel.
        """
        life = self._lives.get(order_id)
        if life is None or self._line is None or life.ended or order_id in self._cancelling:
            return
        self._cancelling.add(order_id)
        self._begin(self._cancel(self._line.client, life))

    async def open(self, line: Line) -> None:
        """Connect, and settle with the venue what the journal leaves open, before the first decision.

        Raises ConfigError if the key may do more than trade, VenueError if the venue cannot be reached, or holds a
        position or an order that the journal does not explain.
        """
        await line.client.open()
        if not line.client.test_network:  # which has nothing to withdraw, and no answer to that question
            require_harmless(await line.client.restrictions(), line.client.may_trade)
        await line.client.take_stock(self._tellings.told == 0)
        self._line = line
        for life in self.alive:
            self._deadlines[life.order_id] = time.monotonic() + line.patience.recv_window_s
        await self._arm(line)
        self._stream = stream = AccountStream(line.client, line.ws_url, self._on_news, line.generator)
        connected = asyncio.Event()
        self._begin(_lasting("account stream", stream.run(lambda: self._on_up(connected), self._on_down)))
        self._begin(_lasting("watch over orders", self._watch_over(line.patience.poll_s)))
        self._begin(_lasting("venue clock", line.client.clock.keep_learning(self._on_silence)))
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
            for life in self.alive:
                self.cancel(life.order_id, self._line.calls.now())
            await asyncio.sleep(self._line.patience.poll_s)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._disarm(self._line)
        await self._line.client.close()

    def dump(self) -> dict[str, NDArray[np.int64]]:
        """What a snapshot beside the journal has to keep."""
        return self._tellings.dump()

    def load(self, arrays: dict[str, NDArray[np.int64]]) -> None:
        """Go on from a ``dump``, as if the journal up to there had been heard."""
        self._tellings.load(arrays["totals"])
        for order_id, side, price, qty, tif, acked, filled in arrays["orders"].tolist():
            self.place(order_id, side, price, qty, tif, 0)
            for life in (self._lives[order_id], self._tellings.seen(order_id)):
                life.acked, life.filled = bool(acked), filled
        for order_id, price, qty in arrays["fills"].tolist():
            for life in (self._lives[order_id], self._tellings.seen(order_id)):
                life.journalled.append((price, qty))
                life.fills.append((price, qty))

    def _forget(self) -> None:
        """Let go of orders long done."""
        if len(self._lives) < REMEMBERED:
            return
        done = [order_id for order_id, life in self._lives.items() if life.ended][: REMEMBERED // 2]
        for order_id in done:
            for table in (self._lives, self._answered, self._deadlines):
                table.pop(order_id, None)

    async def _arm(self, line: Line) -> None:
        """Begin the venue's countdown, and keep it from its end. Raises VenueError if the venue does not take it."""
        if line.patience.dead_man_s:
            countdown_s = line.patience.dead_man_s
            await line.client.cancel_all_after(countdown_s)
            if line.client.renews:
                insistence = Insistence(line.generator, self._on_unrenewed)
                guard, begin = (
                    Guard(self._on_lapse, self._on_guarded),
                    lambda: line.client.cancel_all_after(countdown_s),
                )
                self._begin(_lasting("dead man's switch", keep_renewing(begin, countdown_s, insistence, guard)))

    async def _disarm(self, line: Line) -> None:
        """End the countdown where nothing of ours works any more: it would take the orders of whoever comes next."""
        if line.patience.dead_man_s and not self.alive:
            try:
                await line.client.cancel_all_after(0.0)
            except VenueError as error:
                self._on_silence(error)

    def _on_silence(self, silence: VenueError) -> float:
        """Seconds to wait before the venue is asked again."""
        self.counts["unasked"] += 1
        self.last_words = str(silence)
        return max(self._open.patience.poll_s, wait_of(silence))

    def _on_unrenewed(self, silence: VenueError) -> None:
        self.counts["unrenewed"] += 1
        self.last_words = str(silence)

    def _on_lapse(self, lapse: Lapsed) -> None:
        """The venue has cancelled what rested, or will have; nothing leaves until it watches over our orders again."""
        self.counts["lapsed"] += 1
        self.last_words = f"dead man's switch: {lapse}"
        LOG.warning("%s: %s", self._instrument.name, self.last_words)
        self._guarded = False
        self._cancel_alive()

    def _on_guarded(self) -> None:
        self._guarded = True

    async def _place(self, client: VenueClient, life: OrderLife) -> None:
        self.counts["placed"] += 1
        try:
            standing = await client.place(life, self.client_id(life.order_id))
        except OrderRefused as refusal:
            await self._on_refused(life, refusal.code)
        except NoAnswer:
            self.counts["unanswered"] += 1
            await self._resolve(life)
        else:
            await self._take_patiently(life, standing)
        finally:
            self._answered[life.order_id].set()  # also where an answer stops us: its cancel must not wait for ever

    async def _on_refused(self, life: OrderLife, code: int) -> None:
        if code == DUPLICATE:  # it is there already: an order of ours, sent before
            self.counts["duplicates"] += 1
            await self._resolve(life)
            return
        self.counts["refused"] += 1
        self._tell(life.refused(_REASONS.get(code, VENUE_REFUSED), self._open.calls.now()))

    async def _cancel(self, client: VenueClient, life: OrderLife) -> None:
        try:
            await self._answered[life.order_id].wait()
            while quiet_s := client.quiet_s:
                await asyncio.sleep(quiet_s)
            if life.ended:
                return
            self.counts["cancels"] += 1
            try:
                await self._take(life, await client.cancel(self.client_id(life.order_id)))
            except OrderRefused as refusal:
                await self._on_cancel_refused(life, refusal.code)
            except NoAnswer:
                self.counts["unanswered"] += 1
                await self._resolve(life)
                if not life.ended:
                    self._tell(life.stands(NO_ANSWER, self._open.calls.now()))
        finally:
            self._cancelling.discard(life.order_id)

    async def _on_cancel_refused(self, life: OrderLife, code: int) -> None:
        if code in UNKNOWN_ORDER:  # it is done, and we have not heard how
            await self._resolve(life)
        reason = ALREADY_DONE if life.ended else NO_SUCH_ORDER if code in UNKNOWN_ORDER else VENUE_REFUSED
        self._tell(life.stands(reason, self._open.calls.now()))

    async def _resolve(self, life: OrderLife) -> None:
        """Ask until it is known where an order stands; one that the venue will never know is told as such."""
        while not life.ended:
            asked = time.monotonic()
            try:
                if await self._settle(life):
                    self.counts["resolved"] += 1
                    return
            except VenueError as error:
                await asyncio.sleep(self._on_silence(error))
                continue
            if asked > self._deadlines[life.order_id]:
                self._tell(life.never(self._open.calls.now()))
                return
            await asyncio.sleep(self._open.patience.poll_s)

    async def _settle(self, life: OrderLife) -> bool:
        """Ask where an order stands, and tell what is new; whether the venue knows it."""
        standing = await self._open.client.standing(self.client_id(life.order_id))
        if standing is None:
            return False
        await self._take(life, standing)
        return True

    async def _take(self, life: OrderLife, standing: Standing) -> None:
        """Tell a standing, and the fills that it counts and the stream has not brought."""
        self._tell(life.on_standing(standing))
        if standing.filled > life.filled:
            for trade in await self._open.client.trades(life.venue_id):
                self._tell(life.on_trade(trade))
            if not life.ended:
                self._tell(life.on_standing(standing))

    async def _take_patiently(self, life: OrderLife, standing: Standing) -> None:
        """The same; fills that the venue does not list now are asked for by the watch over orders."""
        try:
            await self._take(life, standing)
        except (NoAnswer, RefusedForNow) as silence:
            self._on_silence(silence)

    async def _watch_over(self, poll_s: float) -> None:
        """Ask now and then about orders whose end was heard of before all of their fills."""
        while True:
            wait_s = poll_s
            for life in [life for life in self.alive if life.missing]:
                try:
                    await self._settle(life)
                except VenueError as error:
                    wait_s = self._on_silence(error)
            await asyncio.sleep(wait_s)

    def _on_up(self, connected: asyncio.Event) -> None:
        async def reconcile() -> None:
            try:
                await self._reconcile_patiently()
            except VenueError as error:
                self._fail(error)
            else:
                self._reconciled = self._failure is None
            connected.set()

        self._reconciling = self._begin(reconcile())

    def _on_down(self) -> None:
        self._reconciled = False
        if self._reconciling is not None:
            self._reconciling.cancel()  # it would say that orders may leave
        self._cancel_alive()

    def _cancel_alive(self) -> None:
        for life in self.alive:
            self.cancel(life.order_id, self._open.calls.now())

    async def _reconcile_patiently(self) -> None:
        """Reconcile; where the venue does not answer, from the beginning again."""
        while True:
            try:
                return await self._reconcile()
            except (NoAnswer, RefusedForNow) as silence:
                await asyncio.sleep(self._on_silence(silence))

    async def _reconcile(self) -> None:
        """Settle every order whose end is open; then orders and position must be those that we know of.

        Raises VenueError if they are not.
        """
        client = self._open.client
        for life in self.alive:
            await self._resolve(life)
            self._answered[life.order_id].set()
        known = {self.client_id(life.order_id) for life in self.alive}  # one whose end was told must not work there
        foreign = [order.client_id for order in await client.open_orders() if order.client_id not in known]
        if foreign:
            raise VenueError(f"{len(foreign)} orders work in {self._instrument.name} that the journal does not know")
        holding, before = await client.holding(), self.position
        if self._open.adopts and self._tellings.told == 0 and holding.lots:
            self._adopt(holding)
        held = holding.lots
        for life in self.alive:
            await self._settle(life)
        if held not in (before, self.position):
            raise VenueError(
                f"the venue holds {held} lots of {self._instrument.name}, the journal {self.position}; "
                "a new journal takes a position over with --adopt-position"
            )
        self.counts["reconciled"] += 1

    def _adopt(self, holding: Holding) -> None:
        """Tell of the position as it was found; the journal's first report, so that a replay begins with it."""
        side, lots = (BUY, holding.lots) if holding.lots > 0 else (SELL, -holding.lots)
        now = self._open.calls.now()
        self._tell([Told(0, holding.entry_price, lots, 0, now, OPENING, NO_REASON, side, 0)])

    def _on_news(self, news: OrderNews) -> None:
        life, number = self._life_of(news.c), self._number_of(news.c)
        if number in self._tellings.given_up and (news.X not in OVER or float(news.z) > 0):
            self._fail(VenueError(f"order {number} was given up as never arrived, and stands at the venue as {news.X}"))
            return
        if life is None and self._is_ours(news.c.rpartition("-")[0]):
            self.counts["duplicates"] += 1  # of an order long done
            return
        if life is None:
            if news.s == self._instrument.venue_symbol.upper():
                self.counts["foreign"] += 1
                if news.x == "TRADE":
                    self._fail(VenueError(f"an order in {self._instrument.name} that is not ours was filled"))
            return
        tick, lot, venue_ts = self._instrument.tick_size, self._instrument.lot_size, news.T * _MS
        before = self._tellings.told
        if news.x == "TRADE":
            trade = Trade(news.t, on_grid(news.L, tick), on_grid(news.l, lot), news.m, venue_ts)
            self._tell(life.on_trade(trade))
        self._tell(life.on_standing(Standing(news.X, on_grid(news.z, lot), venue_ts, news.i)))
        if self._tellings.told == before:
            self.counts["duplicates"] += 1

    def _life_of(self, client_id: str) -> OrderLife | None:
        return self._lives.get(self._number_of(client_id))

    def _number_of(self, client_id: str) -> int:
        """Our number of an order, -1 where the id is not ours."""
        prefix, _, number = client_id.rpartition("-")
        return int(number) if self._is_ours(prefix) and number.isdigit() else -1

    def _is_ours(self, prefix: str) -> bool:
        return prefix == f"tl{self._open.session}"

    def _tell(self, told: list[Told]) -> None:
        self._tellings.tell(told, self._open.calls.now())

    def _begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is None:
            return
        self._open.calls.died("orders", fault)
        if not isinstance(fault, TickloopError):  # its text may hold an address with a signature
            fault = BackgroundError(f"a task of the order gateway has ended: {type(fault).__name__}")
        self._fail(fault)

    def _fail(self, error: BaseException | None) -> None:
        self._reconciled = False
        self._failure = self._failure or error


async def _lasting(name: str, work: Coroutine[Any, Any, None]) -> None:
    """Work without an end. Raises BackgroundError if it has one."""
    await work
    raise BackgroundError(f"the {name} of the order gateway has ended")
