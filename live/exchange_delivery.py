"""The last step of the replay venue: each message leaves to its subscribers, with the faults that befall it."""

import re
from typing import Final

from picows import WSCloseCode

from live.exchange_faults import Fault, FaultPlan
from live.exchange_sockets import Clients

_TRADES: Final = "rade"  # in the names of streams of trades: @trade, @aggTrade, publicTrade
_HELD: Final = frozenset(("reorder", "trade_late"))
_DOUBLED: Final = frozenset(("duplicate", "trade_twice"))
BURST: Final = 50  # times that each depth message leaves while a burst lasts
_STAMP: Final = re.compile(rb'"(E|T|ts|cts)":(\d{13})')
_OWN_STAMP: Final = re.compile(rb'"(E|ts)":(\d{13})')  # of mark prices: T is the next funding time


class Delivery:
    """Sends messages; ``stall`` asks the player to hold the tape for seconds of it."""

    def __init__(self, clients: Clients, plan: FaultPlan) -> None:
        self.count = 0  # messages that were to leave
        self.clock_step_ms = 0
        self.stall_s = 0.0  # that has been asked for, and is to be taken by the player
        self._clients = clients
        self._plan = plan
        self._burst_until = 0  # ns UTC on the tape
        self._held: dict[str, bytes] = {}  # by stream: what the next of its stream overtakes

    def deliver(self, ts: int, stream: str, data: bytes, depth: bool) -> int:
        """Let a message leave at an instant of the tape; how often somebody got it."""
        self.count += 1
        faults = self._plan.due(ts, self.count, depth, _TRADES in stream)
        for fault in faults:
            self._befall(fault, ts)
        if self.clock_step_ms:
            data = self._moved(stream, data)
        kinds = [fault.kind for fault in faults]
        return sum(self._clients.send(stream, message) for message in self._messages(kinds, ts, stream, data, depth))

    def _befall(self, fault: Fault, ts: int) -> None:
        """What a fault does beside the message that it falls on."""
        if fault.kind == "disconnect":
            self._clients.drop_all()
        elif fault.kind == "expire":
            self._clients.close_all(WSCloseCode.GOING_AWAY, b"24 hours are over")
        elif fault.kind == "slow":
            self._clients.close_all(WSCloseCode.POLICY_VIOLATION, b"client reads too slowly")
        elif fault.kind == "mute":
            self._clients.mute_all()
        elif fault.kind == "stall":
            self.stall_s = fault.amount
        elif fault.kind == "burst":
            self._burst_until = ts + round(fault.amount * 1e9)
        elif fault.kind == "clock_step":
            self.clock_step_ms += round(fault.amount * 1e3)

    def _messages(self, kinds: list[str], ts: int, stream: str, data: bytes, depth: bool) -> list[bytes]:
        """What goes over the line in place of one message."""
        if not _HELD.isdisjoint(kinds):
            self._held[stream] = data
            return []
        messages = [] if "gap" in kinds else [data] if _DOUBLED.isdisjoint(kinds) else [data, data]
        if depth and ts < self._burst_until:
            messages *= BURST
        if "malformed" in kinds:
            messages.insert(0, data[: len(data) // 2])
        if stream in self._held:
            messages.append(self._held.pop(stream))
        return messages

    def _moved(self, stream: str, data: bytes) -> bytes:
        stamps = _OWN_STAMP if "@markPrice" in stream else _STAMP
        return stamps.sub(lambda found: b'"%s":%d' % (found[1], int(found[2]) + self.clock_step_ms), data)
