"""Tapes and drivers that the tests of the feature step build on."""

import numpy as np

from features.batch import Rows, divide, feature_rows
from features.layout import ALONE, LeaderRows
from features.parameters import FeatureParameters, TradingSession
from features.step import new_state
from features.stream import FeatureStream, dump_state, load_state
from market.events import (
    BBO,
    BUY,
    FIRST,
    FUNDING,
    GAP,
    INDEX,
    LAST,
    LEVEL,
    LIQUIDATION,
    MARK,
    NO_VENUE_TIME,
    SELL,
    SNAPSHOT,
    TRADE,
    Events,
    empty_events,
)

PARAMETERS = FeatureParameters(
    row_interval_ms=20,
    windows_ms=(50, 250, 1_000),
    normalizer_window_s=6,
    normalizer_sample_ms=200,
    normalizer_min_samples=4,
    normalizer_clip=8.0,
    max_silence_ms=500,
    max_funding_age_s=0,
    liquidation_reach_bp=50.0,
    liquidation_halflife_s=2.0,
    burst_deviations=1.0,
    session_flag_minutes=1,
    sessions={
        "evening": TradingSession("America/New_York", "17:14", "23:00"),
        "night": TradingSession("Asia/Tokyo", "01:00", "07:15"),
    },
    leader="",
    phased=False,
    phase_ms=0,
)
START = 1_700_000_034_000_000_000  # 22:13:54 UTC, 6 s before a session opens and another is about to close
MS = 1_000_000


def message(ingest_ts: int, update_id: int, *changes: tuple[int, int, int, int], delay_ns: int = 0) -> Events:
    """One message of events given as (kind, side, price, qty)."""
    events = empty_events(len(changes))
    for place, (kind, side, price, qty) in enumerate(changes):
        events[place]["kind"], events[place]["side"] = kind, side
        events[place]["price"], events[place]["qty"] = price, qty
    events["ingest_ts"], events["update_id"], events["delay_ns"] = ingest_ts, update_id, delay_ns
    events["flags"][0] |= FIRST
    events["flags"][-1] |= LAST
    return events


def snapshot(ingest_ts: int, update_id: int, mid: int = 1_000) -> Events:
    """A whole book of 15 levels a side, 10 lots each, a tick on either side of ``mid``."""
    bids = [(SNAPSHOT, BUY, mid - 1 - depth, 10) for depth in range(15)]
    asks = [(SNAPSHOT, SELL, mid + 1 + depth, 10) for depth in range(15)]
    return message(ingest_ts, update_id, *bids, *asks)


def synthetic_events(seed: int, messages: int = 3_000) -> Events:
    """A hostile tape: depth, touches and trades, with gaps, silences, a thin book and stamps that step back."""
    random = np.random.default_rng(seed)
    ts, tape = START + int(random.integers(0, 50 * MS)), []
    tape.append(snapshot(ts, 1))
    for update_id in range(2, messages + 2):
        ts += int(random.exponential(2 * MS)) if random.random() < 0.997 else int(random.integers(0, 1_500 * MS))
        stamp = ts - (3 * MS if random.random() < 0.01 else 0)
        tape.append(_random_message(random, stamp, update_id))
        if random.random() < 0.001:
            tape.append(message(stamp, update_id, (GAP, 0, 0, 0)))
            tape.append(snapshot(ts + 40 * MS, update_id))
            ts += 40 * MS
    return np.concatenate(tape)


def _random_message(random: np.random.Generator, ts: int, update_id: int) -> Events:
    delay_ns = int(random.normal(5 * MS, MS))
    if random.random() < 0.0005:
        return message(ts, update_id, *[(LEVEL, SELL, price, 0) for price in range(990, 1_030)])
    kind = random.choice([LEVEL, BBO, TRADE, MARK], p=[0.54, 0.2, 0.2, 0.06])
    if kind == LEVEL:
        worst = -2 if random.random() < 0.002 else 1
        changes = [_random_level(random, worst) for _ in range(random.integers(1, 6))]
        return message(ts, update_id, *changes, delay_ns=delay_ns)
    if kind == BBO:
        mid = 1_000 + int(random.integers(-1, 2))
        bid, ask = (BBO, BUY, mid - 1, int(random.integers(1, 20))), (BBO, SELL, mid + 1, int(random.integers(1, 20)))
        return message(ts, update_id, bid, ask, delay_ns=delay_ns)
    side = BUY if random.random() < 0.5 else SELL
    if kind == MARK:
        return _random_word(random, ts, update_id, side)
    lots = int(random.integers(1, 9)) * (300 if random.random() < 0.01 else 1)
    return message(ts, update_id, (TRADE, side, 1_000 + side, lots), delay_ns=delay_ns)


def _random_word(random: np.random.Generator, ts: int, update_id: int, side: int) -> Events:
    """Mark, index and funding, or a forced order near the mid or far from it; half of them without a venue time."""
    price = 10**11
    if random.random() < 0.5:
        forced = (LIQUIDATION, side, 1_000 + side * int(random.integers(0, 9)), int(random.integers(1, 30)))
        return message(ts, update_id, forced)
    mark, index = (price + int(random.integers(-(10**7), 10**7)) for _ in range(2))
    funding = (FUNDING, 0, int(random.normal(10**8, 10**7)), ts + int(random.integers(-(10**9), 10**13)))
    events = message(ts, update_id, (MARK, 0, mark, 0), (INDEX, 0, index, 0), funding)
    events["flags"] |= NO_VENUE_TIME * int(random.random() < 0.5)
    return events


def _random_level(random: np.random.Generator, worst: int) -> tuple[int, int, int, int]:
    side = BUY if random.random() < 0.5 else SELL
    qty = 0 if random.random() < 0.4 else int(random.integers(1, 30))
    return LEVEL, side, 1_000 - side * int(random.integers(worst, 15)), qty


def batch_rows(events: Events, parameters: FeatureParameters = PARAMETERS, leader: LeaderRows = ALONE) -> Rows:
    """All rows of a tape from a new state."""
    return feature_rows(events, new_state(parameters), parameters, int(events["ingest_ts"].max()), leader)


def leader_tape(seed: int, seconds: int = 20, start: int = START) -> LeaderRows:
    """Rows of another market over the same seconds: a wandering mid, a stretch that is not valid, and a silence."""
    random = np.random.default_rng(seed + 100)
    row_ts = start // (20 * MS) * 20 * MS + 20 * MS * np.arange(1, 50 * seconds)
    mid2 = 4_000 + np.cumsum(random.integers(-2, 3, row_ts.size))
    lost = int(random.integers(150, 250))
    mid2[lost : lost + 5] = 0
    heard = (row_ts < row_ts[lost + 100]) | (row_ts > row_ts[lost + 130])
    return row_ts[heard], mid2[heard], random.uniform(-1, 1, row_ts.size)[heard]


def streamed_rows(
    events: Events, cuts: list[int], parameters: FeatureParameters = PARAMETERS, leader: LeaderRows = ALONE
) -> Rows:
    """The same rows one by one: events pushed in pieces, the state dumped and loaded at every cut."""
    stream, closed, start, ahead = FeatureStream(parameters), [], 0, leader
    newest = np.maximum.accumulate(events["ingest_ts"])
    first = parameters.row_at_or_after(int(newest[0]))
    for row_ts in range(first, int(newest[-1]) + 1, parameters.row_interval_ms * MS):
        stop = _first_later(events, start, row_ts)
        for piece in np.split(events[start:stop], [cut - start for cut in cuts if start < cut < stop]):
            stream.push(piece)
            stream = FeatureStream(parameters, load_state(dump_state(stream.state))) if piece.size and cuts else stream
        led, ahead = divide(ahead, row_ts)
        stream.follow(led)
        closed.append(stream.close(row_ts))
        start = stop
    columns = [np.array([row[field] for row in closed]) for field in range(4)]
    raw, values = np.stack([row.raw for row in closed]), np.stack([row.values for row in closed])
    return Rows(columns[0], columns[1].astype(np.uint8), columns[2], columns[3], raw, values)


def _first_later(events: Events, start: int, row_ts: int) -> int:
    later = np.flatnonzero(events["ingest_ts"][start:] > row_ts)
    return start + int(later[0]) if later.size else events.size


def same_bytes(left: Rows, right: Rows) -> bool:
    """Whether two lots of rows are equal to the last bit."""
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(left, right, strict=True))
