"""Faults that a replay venue commits on demand, so that tests can watch a client come back from each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from live.connectors.binance_api import is_depth
from live.exchange_tape import TapeFrame
from market.errors import ConfigError

_ON_DEPTH: Final = ("gap", "malformed", "duplicate")  # committed on the first depth message from that instant on
_ON_ANY: Final = ("disconnect", "stall")
_NS_PER_S: Final = 1e9


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and when on the tape."""

    kind: str  # one of the kinds below
    at_s: float  # seconds of tape after its start
    duration_s: float = 0.0  # of a stall, seconds of tape


def parse_fault(text: str) -> Fault:
    """The fault that ``kind:at_s`` or ``stall:at_s:duration_s`` names.

    disconnect drops every client, gap leaves out a depth message, malformed sends the first half of one
    before it, duplicate sends one twice, stall sends nothing and then all at once.

    >>> parse_fault("stall:2.5:1")
    Fault(kind='stall', at_s=2.5, duration_s=1.0)

    Raises ConfigError for anything else.
    """
    kind, *numbers = text.split(":")
    if kind in (*_ON_DEPTH, *_ON_ANY) and len(numbers) == (2 if kind == "stall" else 1):
        try:
            fault = Fault(kind, *map(float, numbers))
        except ValueError:
            fault = None
        if fault and fault.at_s >= 0 and fault.duration_s >= 0:
            return fault
    raise ConfigError(
        f"fault={text!r} is not like stall:AT_S:DURATION_S or KIND:AT_S with KIND one of "
        f"{sorted((*_ON_DEPTH, 'disconnect'))} and seconds at or above 0"
    )


class FaultPlan:
    """The faults that are still to come."""

    def __init__(self, faults: Sequence[Fault], start_ns: int) -> None:
        self._pending = [(start_ns + round(fault.at_s * _NS_PER_S), fault) for fault in faults]

    def due(self, frame: TapeFrame) -> list[Fault]:
        """The faults to commit on this frame, each handed out once."""
        if not self._pending:
            return []
        due = [(at, fault) for at, fault in self._pending if at <= frame.ts and _fits(fault, frame)]
        self._pending = [entry for entry in self._pending if entry not in due]
        return [fault for _, fault in due]


def _fits(fault: Fault, frame: TapeFrame) -> bool:
    return fault.kind in _ON_ANY or is_depth(frame.stream)


def messages_with(kinds: Sequence[str], data: bytes) -> list[bytes]:
    """What goes over the line in place of one message that suffers these kinds of fault."""
    messages = [] if "gap" in kinds else [data, data] if "duplicate" in kinds else [data]
    return [data[: len(data) // 2], *messages] if "malformed" in kinds else messages
