"""Checks of raw ticks: messages arrive in order, once, whole, and could be read."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from assets.checks import DAY_NS, MOST_SHOWN, Fact, Verdict, day_start
from assets.plots import markdown_table, utc_time
from assets.time_slots import SLOTS, chart_of_counts, slots_of
from market.events import FIRST, GAP, KIND_NAMES, LAST, LEVEL, SNAPSHOT, Events, empty_events

STEP_BACK_LIMIT_MS: Final = 50.0  # of the receive clock; what counts as a step of a clock (clock.step_threshold_ms)
REPEATED_SHARE_LIMIT: Final = 0.0001  # of the messages that bear an id; no real capture that we hold repeats any
GAP_SHARE_LIMIT: Final = 0.01  # of the update ids, and of the time covered
UNKNOWN_SHARE_LIMIT: Final = 0.25  # of the messages; 0.17 in the recorded session that holds most candles and replies
MEMORY: Final = 1 << 18  # messages that a repeated one is looked for among, about
_IDENTITY: Final = ("kind", "side", "exchange_ts", "price", "qty", "update_id")


class Ordered:
    """Events are there, arrive in order, belong to their UTC date, and the receive clock was never set back far."""

    def __init__(self, date: str, clock_backwards: int, worst_step_back_ns: int) -> None:
        self._date, self._clock_backwards, self._worst_ms = date, clock_backwards, worst_step_back_ns / 1e6
        self._newest = 0
        self._events = self._backwards = self._outside = 0
        self._arrivals = np.zeros(SLOTS, np.int64)

    def add(self, events: Events) -> None:
        """Count what is out of order or off the day; see EventCheck."""
        if not events.size:
            return
        stamps, start = events["ingest_ts"], day_start(self._date)
        self._backwards += int(np.count_nonzero(np.diff(stamps, prepend=self._newest or stamps[0]) < 0))
        self._outside += int(np.count_nonzero((stamps < start) | (stamps >= start + DAY_NS)))
        self._events += events.size
        self._newest = int(stamps[-1])
        self._arrivals += np.bincount(slots_of(events, self._date), minlength=SLOTS)

    def verdict(self) -> Verdict:
        """See EventCheck."""
        facts: dict[str, Fact] = {
            "events": self._events,
            "backward_steps": self._backwards,
            "outside_the_day": self._outside,
            "clock_backwards": self._clock_backwards,
            "worst_step_back_ms": self._worst_ms,
        }
        in_order = self._events > 0 and self._backwards == 0 and self._outside == 0
        page = {"arrivals": chart_of_counts("events received per second", self._date, self._arrivals)}
        return Verdict("ordered", in_order and self._worst_ms <= STEP_BACK_LIMIT_MS, facts, page)


class Duplicates:
    """Hardly any message arrives twice: the same events under the same id, among the newest 260,000 messages or so."""

    def __init__(self) -> None:
        self._known = np.zeros(MEMORY, np.uint64)  # newest message at each place of a hash
        self._broken_off = empty_events(0)  # beginning of a message whose end is in the next batch
        self._judged = self._repeated = 0
        self._rows: list[tuple[object, ...]] = []

    def add(self, events: Events) -> None:
        """Look for each message among those before it; see EventCheck."""
        events = self._whole(events)
        firsts = np.flatnonzero(events["flags"] & FIRST)
        if not firsts.size:
            return
        keys = np.add.reduceat(_mixed(events), firsts)
        heads = events[firsts]
        judged = (heads["update_id"] != 0) & (heads["kind"] != SNAPSHOT) & (heads["kind"] != GAP)
        keys, heads = keys[judged], heads[judged]
        repeated = heads[self._seen(keys)]
        self._judged += keys.size
        self._repeated += repeated.size
        for event in repeated[: MOST_SHOWN - len(self._rows)]:
            kind = KIND_NAMES.get(int(event["kind"]), str(event["kind"]))
            at = utc_time(int(event["ingest_ts"]))
            self._rows.append((at, kind, int(event["update_id"]), int(event["price"]), int(event["qty"])))

    def verdict(self) -> Verdict:
        """See EventCheck."""
        share = self._repeated / self._judged if self._judged else 0.0
        facts: dict[str, Fact] = {"messages": self._judged, "repeated": self._repeated, "share": share}
        page = markdown_table(("at (UTC)", "kind", "id", "price, ticks", "quantity, lots"), self._rows)
        return Verdict("duplicates", share <= REPEATED_SHARE_LIMIT, facts, {"repeated_messages": page})

    def _whole(self, events: Events) -> Events:
        """These events from the message that the last batch broke off, without the one that this batch breaks off."""
        events = np.concatenate([self._broken_off, events])
        lasts = np.flatnonzero(events["flags"] & LAST)
        end = int(lasts[-1]) + 1 if lasts.size else 0
        self._broken_off = events[end:].copy()
        return events[:end]

    def _seen(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which keys are known, or stand in ``keys`` before; afterwards all are known."""
        _, first = np.unique(keys, return_index=True)
        seen = np.ones(keys.size, np.bool_)
        places = keys[first] & np.uint64(MEMORY - 1)
        seen[first] = self._known[places] == keys[first]
        self._known[places] = keys[first]
        return seen


class GapRatio:
    """Less than 1 % of the update ids, and of the time, lies between a gap and the snapshot that mends it.

    The ids counted as missing are those from the last before a gap to the snapshot's: what the
    tape cannot show one by one. A gap that nothing mends lasts until the last event. The wait for
    the first snapshot of a cold start is none; ``opens_closed`` says that the day before ended in one.
    """

    def __init__(self, opens_closed: bool) -> None:
        self._closed = opens_closed
        self._closed_since = self._gap_id = 0
        self._first = self._last = self._newest_id = 0
        self._gaps = self._closed_ns = self._ids = self._missing_ids = 0
        self._rows: list[tuple[object, ...]] = []

    def add(self, events: Events) -> None:
        """Follow the sequence; see EventCheck."""
        if not events.size:
            return
        if self._first == 0:
            self._first = self._closed_since = int(events["ingest_ts"][0])
        self._last = int(events["ingest_ts"][-1])
        depth = events[np.isin(events["kind"], (LEVEL, SNAPSHOT)) & (events["update_id"] != 0)]
        if depth.size:
            ids = depth["update_id"]
            steps = np.diff(ids, prepend=self._newest_id or ids[0])
            self._ids += int(steps[steps > 0].sum())
            self._newest_id = int(ids[-1])
        mended = (events["kind"] == SNAPSHOT) & (events["flags"] & LAST > 0)
        for event in events[(events["kind"] == GAP) | mended]:
            self._turn(event)

    def verdict(self) -> Verdict:
        """See EventCheck."""
        open_ns = self._last - self._closed_since if self._closed else 0
        covered_ns, closed_ns = self._last - self._first, self._closed_ns + open_ns
        time_share = closed_ns / covered_ns if covered_ns else 0.0
        id_share = self._missing_ids / self._ids if self._ids else 0.0
        facts: dict[str, Fact] = {
            "gaps": self._gaps,
            "missing_id_share": id_share,
            "closed_share": time_share,
            "closed_ms": closed_ns / 1e6,
        }
        rows = [*self._rows, self._row(self._last, "not mended", open_ns)] if self._closed else self._rows
        header = ("from (UTC)", "to (UTC)", "closed, ms", "last id before", "id of the snapshot")
        holds = id_share < GAP_SHARE_LIMIT and time_share < GAP_SHARE_LIMIT
        return Verdict("gap_ratio", holds, facts, {"gaps_by_time": markdown_table(header, rows)})

    def _turn(self, event: np.void) -> None:
        """A gap closes the book, unless it is closed; a whole snapshot opens it."""
        stamp, update_id = int(event["ingest_ts"]), int(event["update_id"])
        if event["kind"] == GAP:
            self._gaps += 1
            if not self._closed:
                self._closed, self._closed_since, self._gap_id = True, stamp, update_id
        elif self._closed:
            self._closed = False
            self._closed_ns += stamp - self._closed_since
            self._missing_ids += max(0, update_id - self._gap_id) if self._gap_id else 0
            if len(self._rows) < MOST_SHOWN:
                self._rows.append(self._row(stamp, update_id, stamp - self._closed_since))

    def _row(self, end: int, mended_by: object, closed_ns: int) -> tuple[object, ...]:
        return (
            utc_time(self._closed_since),
            utc_time(end),
            closed_ns / 1e6,
            self._gap_id or "of the day before",
            mended_by,
        )


def unparsed_share(
    account: dict[str, int], quarantine: Sequence[tuple[str, int, str, str]], bad_limit: float
) -> Verdict:
    """No more lines than allowed could not be read, and most came on streams that a reader knows.

    account : lines, quarantined and, where the decoder counts them, unknown
    quarantine : file, line number, reason and text of the first lines that could not be read
    """
    lines, bad, unknown = account["lines"], account["quarantined"], account.get("unknown", 0)
    bad_share, unknown_share = (bad / lines, unknown / lines) if lines else (0.0, 0.0)
    facts: dict[str, Fact] = {
        "lines": lines,
        "quarantined": bad,
        "quarantined_share": bad_share,
        "unknown_stream_share": unknown_share,
    }
    page = markdown_table(("file", "line", "reason", "text"), quarantine[:MOST_SHOWN])
    holds = bad_share <= bad_limit and unknown_share <= UNKNOWN_SHARE_LIMIT
    return Verdict("unparsed_share", holds, facts, {"quarantine": page})


def _mixed(events: Events) -> NDArray[np.uint64]:
    """A hash of what makes each event the one that it is; the sum over a message is that message's."""
    mixed = np.zeros(events.size, np.uint64)
    for name in _IDENTITY:
        mixed ^= events[name].astype(np.int64).view(np.uint64)
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed
