"""Hand-made rows through ``decide``, for the tests of every policy."""

from typing import Any, Final, NamedTuple

import numpy as np

from tests.builders_market import COINM_BTC
from tests.builders_trading import TRADING
from trading import account as own
from trading import intents as sent
from trading import policy, view
from trading.account import Account, new_account
from trading.limits import limits_of
from trading.parameters import PolicyKind, TradingParameters

NOW: Final = 1_700_000_000_000_000_000
UP: Final = np.array([0.1, 0.1, 0.8, -2.0, 0.0, 2.0, 0.0])  # mean 1.4 bp
DOWN: Final = np.array([0.8, 0.1, 0.1, -2.0, 0.0, 2.0, 0.0])
FLAT: Final = np.array([0.1, 0.8, 0.1, -2.0, 0.0, 2.0, 0.0])


class Outcome(NamedTuple):
    """What one decision wrote."""

    reason: int
    intents: np.ndarray
    thoughts: np.ndarray


def row(**changes: int) -> np.ndarray:
    """A view of a deep book, a tick wide, at NOW; ``row(BEST_BID=499_990)`` changes places by name."""
    places = {
        "ROW_TS": NOW,
        "STATUS": 0,
        "BEST_BID": 500_000,
        "BEST_ASK": 500_001,
        "BID_QTY": 1_000,
        "ASK_QTY": 1_000,
        "DELAY_NS": 10_000_000,
    } | changes
    places.setdefault("INGEST_TS", places["ROW_TS"] - 1_000_000)
    seen = np.zeros(view.VIEW, np.int64)
    for name, value in places.items():
        seen[getattr(view, name)] = value
    return seen


def act(
    account: Account,
    forecast: np.ndarray = UP,
    seen: np.ndarray | None = None,
    parameters: TradingParameters = TRADING,
    kind: PolicyKind = "take",
    **state: Any,
) -> Outcome:
    """One decision, a millisecond after NOW unless ``now`` is given.

    Also in ``state``: ``instrument``, ``fees``, ``equity``, ``ready``.
    """
    intents = np.zeros((sent.MAX_INTENTS, sent.INTENT_COLUMNS), np.int64)
    thoughts = np.zeros(sent.THOUGHTS)
    limits = limits_of(parameters, state.get("instrument", COINM_BTC), kind, state.get("fees", (0.0, 0.0)))
    now, equity = state.get("now", NOW + 1_000_000), state.get("equity", 0.0)
    seen = row() if seen is None else seen
    reason = policy.decide(account, limits, forecast, seen, state.get("ready", True), equity, now, intents, thoughts)
    return Outcome(reason, intents[: int(thoughts[sent.COUNT])], thoughts)


def held(lots: int) -> Account:
    """An account that holds a position."""
    account = new_account()
    account[1][own.POSITION] = lots
    return account


def expects(mean_bp: float) -> np.ndarray:
    """A forecast of that mean, without doubt."""
    return np.array([0.3, 0.4, 0.3, mean_bp, mean_bp, mean_bp, 0.0])
