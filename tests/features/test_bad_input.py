"""Bad input by name: each kind turns rows invalid with its reason, they recover, and every number stays finite."""

from dataclasses import replace

import numpy as np
import pytest

from features.batch import feature_rows
from features.catalogue import (
    BOOK_CLOSED,
    LATE_FUNDING,
    NO_LEADER,
    ONE_SIDED,
    SILENT,
    VALID,
    WARMING_UP,
    feature_names,
)
from features.layout import ALONE
from features.step import new_state
from market.events import BBO, BUY, FUNDING, GAP, LEVEL, SELL, TRADE
from tests.builders_features import MS, PARAMETERS, START, message, snapshot

QUICK = replace(PARAMETERS, normalizer_sample_ms=20, normalizer_min_samples=2, max_silence_ms=500)
STRICT = replace(QUICK, max_funding_age_s=1)
LED = replace(QUICK, leader="the-leader")
NAMES = feature_names(QUICK)
FAULT = START + 1_500 * MS  # window and normaliser are warm
END = START + 6_000 * MS
LONGEST_MS = QUICK.windows_ms[-1]
ASKS = range(1_001, 1_016)


def heartbeat(*silence):
    """A trade every 100 ms, funding with it, but for what lies within [from, to)."""
    for at in range(START + 10 * MS, END, 100 * MS):
        if not (silence and silence[0] <= at < silence[1]):
            yield message(at, at // MS, (TRADE, BUY if at // MS % 3 else SELL, 1_001, 2))


def funding(*stamps):
    return [message(at, at // MS, (FUNDING, 0, 10**8, END)) for at in stamps]


def rows_of(messages, parameters=QUICK, leader=ALONE):
    tape = np.concatenate(sorted([snapshot(START, 1), *messages], key=lambda each: int(each["ingest_ts"][0])))
    rows = feature_rows(tape, new_state(parameters), parameters, END, leader)
    assert np.isfinite(rows.raw).all()
    assert np.isfinite(rows.values).all()
    assert not rows.raw[rows.status != VALID].any()
    assert not rows.values[rows.status != VALID].any()
    return rows


def spells_of(rows):
    """(status, ms after the fault when it begins) from the last row before the fault on."""
    seen = rows.row_ts >= FAULT - 20 * MS
    status, at = rows.status[seen], (rows.row_ts[seen] - FAULT) // MS
    starts = np.flatnonzero(np.diff(status, prepend=np.uint8(255)))
    return [(int(status[start]), int(at[start])) for start in starts]


def test_an_empty_stretch_is_silent_and_warms_up_after_the_next_event():
    rows = rows_of(heartbeat(FAULT, FAULT + 1_000 * MS))
    silent = -90 + QUICK.max_silence_ms  # the newest trade came 90 ms before the fault
    assert spells_of(rows) == [(VALID, -20), (SILENT, silent + 10), (WARMING_UP, 1_020), (VALID, 1_000 + LONGEST_MS)]


def test_a_one_sided_book_is_invalid_and_warms_up_when_the_side_is_back():
    gone = message(FAULT - MS, 2, *[(LEVEL, SELL, price, 0) for price in ASKS])
    back = message(FAULT + 99 * MS, 3, (LEVEL, SELL, 1_002, 7))
    spells = spells_of(rows_of([*heartbeat(), gone, back]))
    assert spells == [(VALID, -20), (ONE_SIDED, 0), (WARMING_UP, 100), (VALID, 100 + LONGEST_MS)]


def test_a_gap_inside_a_window_leaves_nothing_of_itself_in_the_rows_after_it():
    gap, again = message(FAULT - MS, 2, (GAP, 0, 0, 0)), snapshot(FAULT + 99 * MS, 3, mid=3_000)
    rows = rows_of([*heartbeat(), gap, again])
    assert spells_of(rows) == [(VALID, -20), (BOOK_CLOSED, 0), (WARMING_UP, 100), (VALID, 100 + LONGEST_MS)]
    first = dict(zip(NAMES, rows.raw[rows.row_ts == FAULT + (100 + LONGEST_MS) * MS][0].tolist(), strict=True))
    for name in ("momentum", "realized_volatility", "order_flow_imbalance", "order_flow_imbalance_5"):
        assert first[f"{name}_{LONGEST_MS}ms"] == 0, name
    assert first[f"log_touch_churn_{LONGEST_MS}ms"] == 0


def test_late_funding_is_named_and_ends_with_the_next_rate():
    messages = [*heartbeat(), *funding(START + 10 * MS, FAULT - 990 * MS, FAULT + 499 * MS, FAULT + 1_400 * MS)]
    spells = spells_of(rows_of(messages, STRICT))
    assert spells[:3] == [(VALID, -20), (LATE_FUNDING, 20), (VALID, 500)]


def test_a_leader_that_stops_is_named_and_warms_up_when_it_goes_on():
    row_ts = np.arange(START, END, 20 * MS)
    heard = (row_ts < FAULT) | (row_ts >= FAULT + 1_000 * MS)
    leader = row_ts[heard], np.where(row_ts > FAULT, 9_000, 4_000)[heard], np.zeros(int(heard.sum()))
    rows = rows_of(heartbeat(), LED, leader)
    back = (1_000, 1_000 + LONGEST_MS)  # until the longest window holds rows of the leader alone
    assert spells_of(rows) == [(VALID, -20), (NO_LEADER, QUICK.max_silence_ms), (VALID, back[1])]


def test_invalid_rows_of_a_leader_are_no_leader():
    row_ts = np.arange(START, END, 20 * MS)
    mid2 = np.where((row_ts >= FAULT) & (row_ts < FAULT + 100 * MS), 0, 4_000)
    spells = spells_of(rows_of(heartbeat(), LED, (row_ts, mid2, np.zeros(row_ts.size))))
    assert spells == [(VALID, -20), (NO_LEADER, 0), (VALID, 100 + LONGEST_MS)]


@pytest.mark.parametrize(
    "change",
    [(LEVEL, BUY, 999, 0), (LEVEL, BUY, 600, 0), (BBO, BUY, 999, 0), (TRADE, SELL, 999, 0)],
    ids=["of a level", "of a level that is not there", "of a best bid", "of a trade"],
)
def test_a_quantity_of_zero_makes_no_row_invalid_and_no_number_infinite(change):
    rows = rows_of([*heartbeat(), message(FAULT - MS, 2, change)])  # alone in the shortest window
    assert spells_of(rows) == [(VALID, -20)]
    assert rows.best_bid[rows.row_ts == FAULT] == (998 if change == (LEVEL, BUY, 999, 0) else 999)


def test_a_snapshot_with_empty_levels_has_none_of_them():
    tape = snapshot(START, 1)
    tape["qty"][[0, 20]] = 0  # the best bid and an ask
    rows = feature_rows(tape, new_state(QUICK), QUICK, START + 100 * MS)
    assert (rows.best_bid[-1], rows.best_ask[-1]) == (998, 1_001)
    assert np.isfinite(rows.raw).all()


def test_a_symbol_that_stops_for_good_stays_silent_to_the_end():
    rows = rows_of(heartbeat(FAULT, END))
    assert spells_of(rows)[-1][0] == SILENT
    assert rows.row_ts[-1] == END
