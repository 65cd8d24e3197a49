"""Tapes written by hand or drawn by hypothesis, and orders to send into them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from backtest.parameters import CROSSED_BOOKS, QUEUE_MODELS, VenueParameters
from backtest.reference import ReferenceVenue
from backtest.venue import SimulatedVenue
from market.events import BBO, BUY, EVENT, FIRST, GAP, LAST, LEVEL, MARK, NO_SIDE, SELL, SNAPSHOT, TRADE, Events
from market.instrument import Instrument
from market.latency import Legs
from market.orders import FILL, FOK, GTC, IOC, POST_ONLY, REPORT, Reports

MS: Final = 1_000_000
FOREVER: Final = 2**62
COIN: Final = Instrument("venue-coin", "venue", "coin", "inverse", 0.1, 1.0, 100.0, "BTC", "USD")
VENUE: Final = VenueParameters(
    order_latency_ms=2.0,
    ack_latency_ms=3.0,
    queue_model="risk_averse",
    queue_power=1.0,
    crossed_book="none",
    reject_share=0.0,
    cancel_reject_share=0.0,
    cancel_lost_share=0.0,
    reconcile_ms=20.0,
    fee_tier="",
    maker_fee=0.0,
    taker_fee=0.0,
    seed=0,
)

Row = tuple[int, int, int, int]  # kind, side, price, qty
Action = tuple[Any, ...]


def new_venue(**changes: Any) -> SimulatedVenue:
    """An empty venue at 2 ms, its reports another 3 ms away, with some of its parameters changed."""
    return SimulatedVenue(COIN, replace(VENUE, **changes))


def new_reference(**changes: Any) -> ReferenceVenue:
    """The plain venue at the same distance."""
    return ReferenceVenue(replace(VENUE, **changes))


class HashedLegs:
    """Legs of 0 to 5 ms, and as long again for the answer, that differ from request to request."""

    def legs_of(self, order_id: int, sent_ts: int) -> Legs:
        mixed = (order_id * 2_654_435_761 + sent_ts * 40_503) >> 7
        return Legs(0, 0, mixed % 6 * MS, (mixed >> 5) % 6 * MS)


@st.composite
def parameters(draw: st.DrawFn) -> dict[str, Any]:
    """Changes to the venue's parameters: every queue model, crossed book and kind of failure."""
    return {
        "queue_model": draw(st.sampled_from(sorted(QUEUE_MODELS))),
        "queue_power": draw(st.sampled_from([0.5, 1.0, 2.0, 3.0])),
        "crossed_book": draw(st.sampled_from(sorted(CROSSED_BOOKS))),
        "reject_share": draw(st.sampled_from([0.0, 0.2])),
        "cancel_reject_share": draw(st.sampled_from([0.0, 0.3])),
        "cancel_lost_share": draw(st.sampled_from([0.0, 0.4])),
        "seed": draw(st.integers(0, 3)),
    }


def message(at_ms: int, *rows: Row, delay_ms: int = 0, update_id: int = 0) -> Events:
    """One whole message received at ``at_ms``; its update id is that time where none is given."""
    events = np.zeros(len(rows), EVENT)
    for i, (kind, side, price, qty) in enumerate(rows):
        events[i]["kind"], events[i]["side"], events[i]["price"], events[i]["qty"] = kind, side, price, qty
    events["ingest_ts"], events["delay_ns"] = at_ms * MS, delay_ms * MS
    events["update_id"] = update_id or at_ms
    events["flags"][0] |= FIRST
    events["flags"][-1] |= LAST
    return events


def snapshot(at_ms: int, bids: dict[int, int], asks: dict[int, int], **more: int) -> Events:
    """A full book as one message."""
    rows = [(SNAPSHOT, BUY, price, qty) for price, qty in bids.items()]
    return message(at_ms, *rows, *((SNAPSHOT, SELL, price, qty) for price, qty in asks.items()), **more)


def trade(at_ms: int, aggressor: int, price: int, qty: int, **more: int) -> Events:
    """One print."""
    return message(at_ms, (TRADE, aggressor, price, qty), **more)


def level(at_ms: int, side: int, price: int, qty: int, **more: int) -> Events:
    """One level set."""
    return message(at_ms, (LEVEL, side, price, qty), **more)


def tape(*messages: Events) -> Events:
    """Messages in a row."""
    return np.concatenate([np.zeros(0, EVENT), *messages], dtype=EVENT)


def opened(at_ms: int = 1) -> Events:
    """A book of 10 lots on each of five levels a side, 96 to 100 against 101 to 105."""
    return snapshot(at_ms, dict.fromkeys(range(100, 95, -1), 10), dict.fromkeys(range(101, 106), 10))


def fills(reports: Reports) -> list[tuple[int, int, int]]:
    """(order id, price, lots) of each fill."""
    made = reports[reports["kind"] == FILL]
    return [(int(row["order_id"]), int(row["price"]), int(row["qty"])) for row in made]


def act(venue: SimulatedVenue | ReferenceVenue, actions: Iterable[Action]) -> Reports:
    """Do each action on a venue: (method, arguments...); all reports that it handed out, in that order."""
    handed = [np.zeros(0, REPORT)]
    for name, *arguments in actions:
        answer = getattr(venue, name)(*arguments)
        if name == "reports":
            handed.append(answer)
    return np.concatenate(handed, dtype=REPORT)


_SIDES = st.sampled_from([BUY, SELL])
_PRICES = st.integers(98, 103)


def _rows(kind: int, most: int) -> st.SearchStrategy[list[Row]]:
    row = st.tuples(st.just(kind), _SIDES, _PRICES, st.integers(0, 12))
    return st.lists(row, min_size=1, max_size=most)


_BOOKS = st.integers(98, 103).map(
    lambda mid: (
        [(SNAPSHOT, BUY, price, 6) for price in range(mid - 1, mid - 5, -1)]
        + [(SNAPSHOT, SELL, price, 7) for price in range(mid + 1, mid + 5)]
    )
)
_PRINTS = st.tuples(st.just(TRADE), st.sampled_from([BUY, SELL, SELL, BUY, NO_SIDE]), _PRICES, st.integers(1, 25))
_MESSAGES = st.one_of(
    _PRINTS.map(lambda row: [row]),
    _rows(LEVEL, 4),
    _PRINTS.map(lambda row: [row]),
    _rows(BBO, 2),
    _BOOKS,
    st.sampled_from([[(GAP, NO_SIDE, 0, 0)], [(MARK, NO_SIDE, 5, 5)]]),
)


@st.composite
def messages(draw: st.DrawFn, most: int = 40) -> list[Events]:
    """A book and what comes after it, in the order received; delays of -1 to 4 ms put the venue's order out of ours."""
    out, now = [opened(10)], 10
    for rows in draw(st.lists(_MESSAGES, min_size=draw(st.sampled_from([0, 10, 20])), max_size=most)):
        now += draw(st.integers(0, 3))
        out.append(
            message(now, *rows, delay_ms=draw(st.integers(-1, 4)), update_id=draw(st.integers(now - 2, now + 2)))
        )
    return out


def by_venue_time(parts: list[Events]) -> list[Events]:
    """Messages in the order of aligned_ts."""
    return sorted(parts, key=lambda part: int(part[0]["ingest_ts"] - part[0]["delay_ns"]))


@st.composite
def sends(draw: st.DrawFn, now_ns: int, newest: int) -> list[Action]:
    """A few orders and cancels sent at ``now_ns`` or a little later, some of them flawed, some ids used before."""
    order = st.tuples(
        st.just("place"),
        st.integers(newest - 1, newest + 8),
        st.sampled_from([BUY, SELL] * 12 + [0]),
        st.one_of([_PRICES] * 12 + [st.sampled_from([0, -3, 2**50])]),
        st.one_of([st.integers(1, 30)] * 12 + [st.sampled_from([0, -1])]),
        st.sampled_from([POST_ONLY] * 6 + [GTC] * 5 + [IOC] * 4 + [FOK, FOK, 9]),
        st.integers(0, 3).map(lambda late: now_ns + late * MS // 2),
    )
    cancel = st.tuples(
        st.just("cancel"),
        st.integers(newest - 12, newest + 2),
        st.integers(0, 3).map(lambda late: now_ns + late * MS // 2),
    )
    modify = st.tuples(
        st.just("modify"),
        st.integers(newest - 6, newest + 2),
        st.one_of([_PRICES] * 6 + [st.sampled_from([0, 2**50])]),
        st.one_of([st.integers(1, 30)] * 6 + [st.just(0)]),
        st.integers(0, 3).map(lambda late: now_ns + late * MS // 2),
    )
    return draw(st.lists(st.one_of(order, order, order, cancel, modify), max_size=4))


@st.composite
def sessions(draw: st.DrawFn, aligned: bool = False) -> list[Action]:
    """Orders sent into a tape: actions for ``act``, the tape in the order received or, ``aligned``, of the venue."""
    actions: list[Action] = []
    parts, newest = draw(messages()), 1
    for part in by_venue_time(parts) if aligned else parts:
        now_ns = int(part[0]["ingest_ts"] - part[0]["delay_ns"] if aligned else part[0]["ingest_ts"])
        actions.append(("match_research", part, now_ns) if aligned else ("on_events", part))
        sent = draw(sends(now_ns, newest))
        newest = max([newest, *(action[1] for action in sent if action[0] == "place")])
        actions += sent
        actions.append(("reports", now_ns))
    end_ns = now_ns + 100 * MS
    actions.append(("match_research", tape(), end_ns) if aligned else ("on_events", level(end_ns // MS, BUY, 50, 1)))
    return [*actions, ("reports", FOREVER)]


def told_by(reports: Reports) -> list[tuple[int, int, int]]:
    """Order, kind and reason of each report."""
    return [(int(row["order_id"]), int(row["kind"]), int(row["reason"])) for row in reports]


def resting_bid(qty: int = 5, **changes: Any) -> SimulatedVenue:
    """A venue where order 1 bids 100 behind 10 displayed lots, accepted at 10 ms."""
    venue = new_venue(**changes)
    venue.place(1, BUY, 100, qty, POST_ONLY, 1 * MS)
    venue.on_events(tape(opened(), level(10, BUY, 90, 1)))
    return venue
