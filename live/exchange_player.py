"""Lets the frames of a tape leave when they are due, and remembers how late they were."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from live.clock import ReplayClock
from live.exchange_tape import TapeFrame

Send = Callable[[TapeFrame], tuple[int, float]]  # how often somebody got it, and seconds of tape to be silent from then

_REMEMBERED: Final = 100_000  # frames whose lateness is kept
_BURST: Final = 64  # frames that leave before other work of the loop gets its turn
_MS: Final = 1_000_000  # ns


class Player:
    """Plays a tape once."""

    def __init__(self, frames: Iterator[TapeFrame], end_ns: int, send: Send) -> None:
        self.finished = False
        self.frames_sent = 0  # messages that a subscriber got
        self.lateness_ns: deque[int] = deque(maxlen=_REMEMBERED)  # how long after it was due each frame left
        self._frames = frames
        self._end_ns = end_ns
        self._send = send
        self._stalled_until = 0  # monotonic ns

    def skip(self, start_ns: int, passed: Callable[[TapeFrame], None]) -> None:
        """Go to the first frame at or after ``start_ns``, which the tape must hold; ``passed`` gets those before."""
        for frame in self._frames:
            if frame.ts >= start_ns:
                self._frames = itertools.chain([frame], self._frames)
                return
            passed(frame)

    async def play(self, clock: ReplayClock) -> None:
        """Let every frame up to the end leave at its time on the clock."""
        for count, frame in enumerate(self._frames):
            if frame.ts > self._end_ns:
                break
            due = clock.due(frame.ts)
            await _until(max(due, self._stalled_until), yielding=count % _BURST == 0)
            self.lateness_ns.append(time.monotonic_ns() - due)
            sent, stall_s = self._send(frame)
            self.frames_sent += sent
            if stall_s:
                self._stalled_until = clock.due(frame.ts + round(stall_s * 1e9))
        self.finished = True

    def progress(self) -> dict[str, Any]:
        """How far the tape has come, and how late its frames left, ms."""
        late = sorted(self.lateness_ns)
        return {
            "frames_sent": self.frames_sent,
            "finished": self.finished,
            "late_p50_ms": late[len(late) // 2] / _MS if late else None,
            "late_p95_ms": late[len(late) * 95 // 100] / _MS if late else None,
        }


async def _until(monotonic_ns: int, yielding: bool) -> None:
    """Return at that reading of the monotonic clock; where it has passed, after one turn of the loop or at once."""
    left = monotonic_ns - time.monotonic_ns()
    if left > 0 or yielding:
        await asyncio.sleep(max(0, left) / 1e9)
