"""The floor: the runners of all symbols on one event loop, whose rows close oldest first, whoever's they are."""

import asyncio
import gc
import heapq
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

from live.feed import Feed
from live.figures import FeedFigures
from live.runner import CATCH_UP_ROWS, FOREVER, Runner
from market.errors import BackgroundError, JournalError
from market.units import NS_PER_MS

LOG: Final = logging.getLogger(__name__)
STAND_DOWN_S: Final = 1.0  # how long cancels may take to be acknowledged at a shutdown
COLLECT_S: Final = 60.0  # between two garbage collections, each right after a row
STANDSTILL_S: Final = 5.0  # of our own time without a row, though one is open ...
STANDSTILL_LOOKS: Final = 100  # ... and looks at the clock, as a loop that was held up has not looked
AWAKE_SHARE: Final = 0.25  # of the time, at most, that is spent awake for rows to come; more symbols sleep


class Floor:
    """Runners side by side, one a symbol; nothing but the loop is shared.

    awake_s : how long before a row's instant the loop stays awake, takes in what has come by then, and rehearses the
        forecast; a sleeping core wakes late and with cold caches
    """

    def __init__(self, runners: Sequence[Runner], awake_s: float = 0.0) -> None:
        self.runners = tuple(runners)
        self._by_symbol = {runner.plan.instrument.name: runner for runner in runners}
        self._due: list[tuple[int, int]] = []  # heap of open rows, ns of the first's clock, and their places
        self._shift_ns = [_shift_ns(runners[0], runner) for runner in runners]  # to the clock of the first
        self._silent = set(range(len(self.runners)))  # places of those that no event has reached
        self._row_ns = min(runner.plan.features.row_interval_ms for runner in runners) * NS_PER_MS
        self._awake_s = awake_s
        self._stopping = asyncio.Event()
        self._failure: BackgroundError | None = None  # what has ended that trading rests on
        self._started = time.monotonic()
        self._row_s = self._started  # when a row last closed, or none was open
        self._looks = 0  # at the clock since

    def __getitem__(self, symbol: str) -> Runner:
        """The runner of a symbol. Raises KeyError if there is none."""
        return self._by_symbol[symbol]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the instruments, in the order of their runners."""
        return tuple(self._by_symbol)

    @property
    def connected(self) -> bool:
        """Whether every symbol has a line to its venue."""
        return all(runner.connected for runner in self.runners)

    def close_due(self, until: int = FOREVER - 1) -> int:
        """Close rows whose instant has passed, up to ``until``, oldest first and ``CATCH_UP_ROWS`` at most.

        Returns how many it closed.

        until : ns of the first runner's clock
        """
        self._admit()
        closed = 0
        while self._due and closed < CATCH_UP_ROWS and self._due[0][0] <= until:
            place = self._due[0][1]
            runner, shift_ns = self.runners[place], self._shift_ns[place]
            following = min([until, *(row_ts for row_ts, _ in self._due[1:3])])  # the heap's second oldest row
            count = runner.close_due(following - shift_ns, CATCH_UP_ROWS - closed)
            if not count:
                break
            heapq.heapreplace(self._due, (runner.next_row_ts + shift_ns, place))
            closed += count
        if closed or not self._due:
            self._row_s, self._looks = time.monotonic(), 0
        return closed

    async def run(self, feeds: Mapping[str, Feed], speed: float, until_end: bool) -> None:
        """Trade until ``stop``, or until every feed has ended where ``until_end`` says so; then cancel, flush, close.

        feeds : one for each symbol
        speed : how fast the clock runs against ours, 1 for wall time
        """
        listening = [asyncio.create_task(self._listen(symbol, feed)) for symbol, feed in feeds.items()]
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            await self._trade(feeds, speed, until_end, listening)
        except JournalError:
            await self._fail_closed()
            raise
        finally:
            gc.enable()
            self.stop()
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)
            self._close_journals()

    def stop(self) -> None:
        """Ask ``run`` to come to its end; models that wait to be swapped in are refused."""
        self._stopping.set()
        for runner in self.runners:
            runner.stop()

    @property
    def stopping(self) -> bool:
        """Whether ``run`` is coming to its end."""
        return self._stopping.is_set()

    async def until_stopping(self) -> None:
        """Return once ``run`` is coming to its end."""
        await self._stopping.wait()

    def fail(self, error: BackgroundError) -> None:
        """Have ``run`` cancel in order and come to its end with ``error``."""
        self._failure = self._failure or error
        self.stop()

    def status(self) -> dict[str, Any]:
        """Where things stand, JSON-able; ``symbols`` in the order of the runners."""
        return {
            "connected": self.connected,
            "uptime_s": round(time.monotonic() - self._started, 3),
            "symbols": [runner.status() for runner in self.runners],
        }

    async def _listen(self, symbol: str, feed: Feed) -> None:
        runner = self._by_symbol[symbol]
        shift_ns = self._shift_ns[self.runners.index(runner)]
        FeedFigures(runner.meters, feed.counts)

        def on_frame(frame: bytes, ingest_ts: int, connection: int = 0) -> None:
            if self._due and self._due[0][0] < ingest_ts + shift_ns:
                self.close_due(ingest_ts + shift_ns - 1)  # no row waits for a burst that came after its instant
            runner.on_frame(frame, ingest_ts, connection)

        await feed.run(on_frame, runner.on_connection, runner.stamps)

    def _admit(self) -> None:
        for place in tuple(self._silent):
            runner = self.runners[place]
            runner.journal.flush()
            if runner.next_row_ts:
                self._silent.remove(place)
                heapq.heappush(self._due, (runner.next_row_ts + self._shift_ns[place], place))

    async def _trade(
        self, feeds: Mapping[str, Feed], speed: float, until_end: bool, listening: Sequence["asyncio.Task[None]"]
    ) -> None:
        try:
            await self._turn_rows(feeds, speed, until_end, listening)
        except BackgroundError as death:
            self.fail(death)
        await self._stand_down(speed)
        if self._failure is not None:
            raise self._failure

    async def _turn_rows(
        self, feeds: Mapping[str, Feed], speed: float, until_end: bool, listening: Sequence["asyncio.Task[None]"]
    ) -> None:
        collected = time.monotonic()
        while not self._stopping.is_set():
            closed = self.close_due()
            self._require_time_to_pass()
            behind = closed == CATCH_UP_ROWS
            for task in listening:
                if task.done():
                    task.result()
            if until_end and not behind and all(feed.ended for feed in feeds.values()):
                return
            if time.monotonic() - collected > COLLECT_S:
                gc.collect()
                collected = time.monotonic()
            await self._wait_for_row(speed)

    def _require_time_to_pass(self) -> None:
        """Raises BackgroundError where rows stand still: the clock was set back, and nobody looks at any gate."""
        self._looks += 1
        if time.monotonic() - self._row_s > STANDSTILL_S and self._looks > STANDSTILL_LOOKS:
            raise BackgroundError(f"no row has closed for {STANDSTILL_S:g} s: the clock was set back")

    async def _wait_for_row(self, speed: float) -> None:
        asleep_s = self._ahead_s(speed) - self._awake_s
        if not self._due or asleep_s <= 0 or not self._may_stay_awake(speed):
            await asyncio.sleep(self._ahead_s(speed))
            return
        await asyncio.sleep(asleep_s)
        self.runners[self._due[0][1]].look_ahead()
        until_s = time.monotonic() + 2 * self._awake_s  # the clock may be set back meanwhile
        while self._ahead_s(speed) > 0 and time.monotonic() < until_s:
            await asyncio.sleep(0)

    def _ahead_s(self, speed: float) -> float:
        """Until the oldest open row closes, seconds of our own time; an interval at most."""
        ahead = self._row_ns
        if self._due:
            row_ts, place = self._due[0]
            ahead = row_ts - self._shift_ns[place] - self.runners[place].stamps.now()
        return min(max(ahead, 0), self._row_ns) / 1e9 / speed

    def _may_stay_awake(self, speed: float) -> bool:
        return 0 < self._awake_s * len(self.runners) <= AWAKE_SHARE * self._row_ns / 1e9 / speed

    async def _stand_down(self, speed: float) -> None:
        self.stop()
        deadline = time.monotonic() + STAND_DOWN_S
        while time.monotonic() < deadline and not all(runner.idle for runner in self.runners):
            await self._wait_for_row(speed)
            self.close_due()
        for runner in self.runners:
            if not runner.idle:
                LOG.warning("%s: cancels were not acknowledged within %s s", runner.plan.instrument.name, STAND_DOWN_S)

    async def _fail_closed(self) -> None:
        """No order leaves without its record: take all back, by cancels that nobody can write down, and end."""
        self._stopping.set()
        with ExitStack() as closing:  # one that fails keeps no other from it
            for runner in reversed(self.runners):
                closing.callback(runner.fail_closed)
                closing.callback(runner.meters.count, "journal_failures", float(runner.journal.failed))
        deadline = time.monotonic() + STAND_DOWN_S
        while time.monotonic() < deadline and not all(runner.idle for runner in self.runners):
            await asyncio.sleep(self._row_ns / 1e9)
            for runner in self.runners:
                runner.hear()

    def _close_journals(self) -> None:
        with ExitStack() as closing:
            for runner in self.runners:
                closing.callback(runner.close)


def _shift_ns(first: Runner, runner: Runner) -> int:
    """What brings the stamps of a runner to the clock of the first: venues that play recordings have each their own."""
    return 0 if runner.clock is first.clock else first.clock.now() - runner.clock.now()
