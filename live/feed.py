"""What the runner asks of a connector: frames, stamped when they arrive, and news of the connection."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from live.clock import Clock
from market.instrument import Instrument


class OnFrame(Protocol):
    """Takes a frame in; where it raises, the feed of that symbol ends with what it raised."""

    def __call__(self, frame: bytes, ingest_ts: int, connection: int = 0, /) -> None:
        """Raw bytes of a stream message or REST snapshot, ns UTC, and which of the symbol's sockets brought it."""
        ...


OnConnection = Callable[[bool, int], None]  # every socket of the symbol is up, or one is lost; ns UTC


class Subscription(NamedTuple):
    """A symbol to listen to."""

    instrument: Instrument
    needs_snapshot: Callable[[], bool]  # whether the book waits for one


class Feed(Protocol):
    """One symbol of one venue; both callbacks run inside the event loop, in the order of their stamps."""

    counts: dict[str, int]  # what happened on the symbol's lines, since construction
    ended: bool  # the venue has closed the stream as complete (a replay came to its end)

    async def run(self, on_frame: OnFrame, on_connection: OnConnection, clock: Clock) -> None:
        """Deliver frames until cancelled, or until the stream has ended where the feed was built to stop there.

        A lost line is reported, taken up again and resynchronised; stamps never fall.
        """
        ...
