"""Faults that a replay venue commits on demand, so that tests can watch a client come back from each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from market.errors import ConfigError

ON_DEPTH: Final = ("gap", "malformed", "duplicate", "reorder")  # committed on the first depth message from then on
ON_TRADE: Final = ("trade_twice", "trade_late")  # likewise on the first message of trades
ON_ANY: Final = ("disconnect", "expire", "slow", "mute")
LASTING: Final = ("stall", "burst", "clock_step")  # these take seconds
REFUSALS: Final = ("refuse", "limit", "ban", "turn_away")  # these take a number of times
_WITH_AMOUNT: Final = (*LASTING, *REFUSALS)
_KINDS: Final = (*ON_DEPTH, *ON_TRADE, *ON_ANY, *_WITH_AMOUNT)
_NS_PER_S: Final = 1e9


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and when."""

    kind: str  # one of the kinds above
    at_s: float  # seconds of tape after its start
    amount: float = 0.0  # seconds of tape, or times
    at_count: int = 0  # instead of a time: the message, or the question, of that number; from 1


def parse_fault(text: str) -> Fault:
    """The fault that ``KIND:WHEN`` or ``KIND:WHEN:AMOUNT`` names; WHEN is seconds of tape, or ``#N``: the Nth message.

    disconnect drops every client, expire closes their lines as after a day, slow as if they read too slowly, mute
    says nothing on them any more, not even a pong; gap leaves out a depth message, malformed sends the first half of
    one before it, duplicate sends one twice, reorder swaps one with the next of its symbol; trade_twice and trade_late
    do that to a message of trades; stall sends nothing for AMOUNT seconds and then all at once, burst sends each depth
    message fifty times, clock_step moves the venue's clock;
    refuse, limit (429) and ban (418) answer AMOUNT questions for a book, turn_away as many handshakes.

    >>> parse_fault("stall:2.5:1")
    Fault(kind='stall', at_s=2.5, amount=1.0, at_count=0)
    >>> parse_fault("gap:#100")
    Fault(kind='gap', at_s=0.0, amount=0.0, at_count=100)

    Raises ConfigError for anything else.
    """
    kind, *numbers = text.split(":")
    if kind in _KINDS and len(numbers) == (2 if kind in _WITH_AMOUNT else 1):
        count = numbers[0].startswith("#") and numbers[0][1:].isdecimal()
        try:
            at_s, amount, *_ = map(float, ("0" if count else numbers[0], *numbers[1:], "0"))
        except ValueError:
            at_s, amount = -1.0, 0.0
        if at_s >= 0 and (kind == "clock_step" or amount >= 0):
            return Fault(kind, at_s, amount, int(numbers[0][1:]) if count else 0)
    raise ConfigError(
        f"fault={text!r} is not like KIND:WHEN with KIND one of {sorted((*ON_DEPTH, *ON_TRADE, *ON_ANY))}, "
        f"or KIND:WHEN:AMOUNT with KIND one of {sorted(_WITH_AMOUNT)}; WHEN is seconds at or above 0, or #N"
    )


def seeded_faults(seed: int, count: int, span_s: float, kinds: Sequence[str] = (*ON_DEPTH, *ON_ANY)) -> list[Fault]:
    """As many faults of these kinds, at random instants of a span; the same ones for the same seed.

    >>> seeded_faults(1, 3, 10.0) == seeded_faults(1, 3, 10.0)
    True
    """
    generator = np.random.default_rng(seed)
    instants = np.sort(generator.uniform(0.0, span_s, count))
    return [Fault(str(generator.choice(list(kinds))), round(float(at_s), 3)) for at_s in instants]


def scripted_faults(texts: Sequence[str], chaos: Sequence[float] | None) -> tuple[Fault, ...]:
    """Faults by name and, where ``chaos`` gives seed, count and span (seconds), as many more at random.

    Raises ConfigError if a text is no fault, or chaos is not three finite numbers at or above 0.
    """
    seed, count, span_s = chaos or (0, 0, 0.0)
    if not all(0 <= number < math.inf for number in (seed, count, span_s)):
        raise ConfigError(f"chaos={seed:g} {count:g} {span_s:g} must be finite and at least 0")
    return (*map(parse_fault, texts), *seeded_faults(int(seed), int(count), span_s))


class FaultPlan:
    """The faults that are still to come."""

    def __init__(self, faults: Sequence[Fault], start_ns: int) -> None:
        self._pending = [(_instant(fault, start_ns), fault) for fault in faults if fault.kind not in REFUSALS]
        self._refusals = [(_instant(fault, start_ns), fault) for fault in faults if fault.kind in REFUSALS]
        self._refused = dict.fromkeys((fault for _, fault in self._refusals), 0)
        self.asked = {"book": 0, "handshake": 0}  # questions so far

    def due(self, ts: int, count: int, depth: bool, trades: bool = False) -> list[Fault]:
        """The faults to commit on the message of that number, each handed out once.

        ts : ns UTC on the tape
        depth : it changes the book
        trades : it tells of trades
        """
        if not self._pending:
            return []
        due = [
            (at, fault) for at, fault in self._pending if _is_due(at, fault, ts, count) and _fits(fault, depth, trades)
        ]
        self._pending = [entry for entry in self._pending if entry not in due]
        return [fault for _, fault in due]

    def refusal(self, of: str, now: int) -> str:
        """What a question for a "book" or a "handshake" is refused with at an instant of the tape; empty: nothing."""
        self.asked[of] += 1
        for at, fault in self._refusals:
            concerned = (fault.kind == "turn_away") == (of == "handshake")
            if concerned and _is_due(at, fault, now, self.asked[of]) and self._refused[fault] < fault.amount:
                self._refused[fault] += 1
                return fault.kind
        return ""


def _instant(fault: Fault, start_ns: int) -> int:
    return start_ns + round(fault.at_s * _NS_PER_S)


def _is_due(at: int, fault: Fault, ts: int, count: int) -> bool:
    return count >= fault.at_count if fault.at_count else ts >= at or fault.at_s == 0  # also before the tape begins


def _fits(fault: Fault, depth: bool, trades: bool) -> bool:
    return (depth or fault.kind not in ON_DEPTH) and (trades or fault.kind not in ON_TRADE)
