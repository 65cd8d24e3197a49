"""The mirror of the features against the compiled step itself, run on a mirrored market."""

import numpy as np

from features.batch import feature_rows
from features.catalogue import VALID, feature_names
from features.mirror import mirrored_places, mirrored_signs
from features.step import new_state
from market.events import BUY, LEVEL, SELL, TRADE, Events
from tests.builders_features import MS, PARAMETERS, START, message, snapshot

NAMES = tuple(feature_names(PARAMETERS))
MID = 10_000  # far from 0, so that a bp is nearly the same on both sides of it


def _market(turn: bool) -> Events:
    """Levels that come and go, and trades at the touch, seen as they are or in the mirror."""
    rng = np.random.default_rng(5)
    tape = [_seen(snapshot(START, 10, MID), turn)]
    for number in range(1_500):
        side, away, qty = (BUY, SELL)[rng.integers(2)], int(rng.integers(1, 9)), int(rng.integers(1, 90))
        level = (LEVEL, side, MID - side * away, qty if rng.random() < 0.6 else 0)
        trade = (TRADE, (BUY, SELL)[rng.integers(2)], MID + int(rng.integers(-3, 4)), qty)
        told = message(START + (number + 1) * 7 * MS, 11 + number, level if rng.random() < 0.8 else trade, delay_ns=MS)
        tape.append(_seen(told, turn))
    return np.concatenate(tape)


def _seen(events: Events, turn: bool) -> Events:
    if not turn:
        return events
    turned = events.copy()
    turned["side"] = -events["side"]
    turned["price"] = 2 * MID - events["price"]
    return turned


def test_mirrored_rows_are_the_rows_of_the_mirrored_market():
    rows, mirrored = (
        feature_rows(events, new_state(PARAMETERS), PARAMETERS, int(events["ingest_ts"][-1]))
        for events in (_market(turn=False), _market(turn=True))
    )
    valid = (rows.status == VALID) & (mirrored.status == VALID)
    assert valid.sum() > 200
    places, signs = list(mirrored_places(NAMES)), np.array(mirrored_signs(NAMES), np.float32)
    expected, found = rows.values[valid][:, places] * signs, mirrored.values[valid]
    moving = [name for place, name in enumerate(NAMES) if np.ptp(rows.values[valid, place]) > 0.1]
    assert {"queue_imbalance", "log_bid_size_1", "sqrt_ask_offset_2", "momentum_250ms"} <= set(moving)
    off = {
        name: float(np.abs(expected[:, place] - found[:, place]).max())
        for place, name in enumerate(NAMES)
        if np.abs(expected[:, place] - found[:, place]).max() > 0.05
    }
    assert not off


def test_a_mirror_undoes_itself():
    places, signs = np.array(mirrored_places(NAMES)), np.array(mirrored_signs(NAMES))
    assert np.array_equal(places[places], np.arange(len(NAMES)))
    assert np.array_equal(signs[places] * signs, np.ones(len(NAMES)))
    assert (signs < 0).sum() > 10
    assert (places != np.arange(len(NAMES))).sum() >= 20
