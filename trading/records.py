"""What a decision leaves behind: its record, its orders, and the reason codes in words."""

import struct
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DECISION: Final = np.dtype(
    [
        ("decision_id", "i8"),
        ("row_ts", "i8"),  # the row it was decided on, ns UTC
        ("infer_ts", "i8"),  # when we decided, ns UTC
        ("exchange_ts", "i8"),  # newest venue stamp known by then, the venue's clock
        ("ingest_ts", "i8"),  # newest receive stamp known by then
        ("reason", "u1"),
        ("halvings", "u1"),  # how often a gate halved the target
        ("capped", "u1"),  # 1: the risk cap or the visible depth bound, not the edge
        ("ready", "u1"),  # 1: the forecast saw a whole window of valid rows
        ("orders", "u4"),  # intents that go with it
        ("best_bid", "i8"),  # ticks
        ("best_ask", "i8"),
        ("position", "i8"),  # lots, acknowledged
        ("target", "i8"),  # lots
        ("delay_ns", "i8"),  # of the newest event
        ("mu_bp", "f8"),  # expected gross return over the horizon
        ("sigma_bp", "f8"),
        ("spread_bp", "f8"),  # of the members' expected returns; NaN where nothing is forecast, as the next two
        ("lower_bp", "f8"),  # of the conformal interval of the gross return
        ("upper_bp", "f8"),
        ("classes", "u1"),  # of the conformal set: 1 down, 2 no trade, 4 up, added
        ("cost_bp", "f8"),  # of a round trip: spread and fees
        ("p_down", "f8"),
        ("p_none", "f8"),
        ("p_up", "f8"),
        ("equity", "f8"),  # settlement currency, marked at mid
    ]
)
INTENT: Final = np.dtype(
    [
        ("decision_id", "i8"),
        ("order_id", "i8"),
        ("sent_ts", "i8"),
        ("verb", "u1"),  # PLACE or CANCEL
        ("side", "i1"),
        ("tif", "u1"),
        ("slot", "u1"),
        ("price", "i8"),
        ("qty", "i8"),
    ]
)
NO_INTENTS: Final = np.zeros(0, INTENT)

_FORMATS: Final = {"i8": "q", "u4": "I", "u1": "B", "f8": "d"}
_pack: Final = struct.Struct("<" + "".join(_FORMATS[DECISION[name].str[1:]] for name in DECISION.names or ())).pack


def record_of(fields: Iterable[Any]) -> NDArray[np.void]:
    """A DECISION of all its fields in order, shape (1,); six times as fast as numpy makes one of a tuple."""
    return np.frombuffer(bytearray(_pack(*fields)), DECISION)


WRITTEN: Final = ("verb", "order_id", "side", "tif", "slot", "price", "qty")  # as ``decide`` writes its columns

PLACE: Final = 1
CANCEL: Final = 2

# Reasons. Those from DELAYED on are gates: they stop new risk, never a cancel.
ACTED: Final = 0
AT_TARGET: Final = 1
ORDER_PENDING: Final = 2
NO_EDGE: Final = 3
LOW_CONFIDENCE: Final = 4
ROW_INVALID: Final = 5
NOT_READY: Final = 6
BAD_INPUT: Final = 7
DELAYED: Final = 8
LATE_DECISION: Final = 9
THIN_BOOK: Final = 10
LOSS_STREAK: Final = 11
DRAWDOWN: Final = 12
KILLED: Final = 13
RATE: Final = 14
EXPOSURE: Final = 15
STOOD_DOWN: Final = 16  # trading is being stopped: cancels only
SILENT: Final = 17  # a gate like DELAYED

# Reasons of the quoting and the executing policy.
PULLED: Final = 18  # the forecast runs against a quote
LEFT_INVENTORY: Final = 19
NO_PARENT: Final = 20  # none given, not begun, or past its end
PARENT_DONE: Final = 21
ON_SCHEDULE: Final = 22
WAITING: Final = 23  # the forecast says that it gets cheaper
TOOK_EDGE: Final = 24
TOOK_BEHIND: Final = 25
SWEPT: Final = 26

SKIPPED: Final = 27  # a newer row was due already: closed and forecast, not decided

# Gates of later date.
DEGENERATE: Final = 28  # the model forecasts what no working model does; latched until another one is deployed
KILL_UNVERIFIED: Final = 29  # killed, and an order may still be alive at the venue

REASON_NAMES: Final = (
    "acted",
    "at target",
    "order pending",
    "no edge after cost",
    "low confidence",
    "row invalid",
    "model warming up",
    "input missing or not finite",
    "feed delayed",
    "decision late",
    "book too thin",
    "losing streak",
    "drawdown",
    "kill switch",
    "order rate",
    "exposure cap",
    "standing down",
    "feed silent",
    "quote pulled",
    "inventory left",
    "no parent order in its window",
    "parent order done",
    "on schedule",
    "waiting for a better price",
    "taken before it runs away",
    "taken to catch up",
    "swept before the end",
    "skipped for want of time",
    "forecast degenerate",
    "kill switch, unverified",
)
