"""What the runner asks of a connector: frames, stamped when they arrive, and news of the connection."""

from collections.abc import Callable
from typing import Protocol

from live.clock import Clock

OnFrame = Callable[[bytes, int], None]  # raw bytes of a stream message or REST snapshot, ingest_ts in ns UTC
OnConnection = Callable[[bool, int], None]  # up or down, ns UTC


class Feed(Protocol):
    """One symbol of one venue; both callbacks run inside the event loop, in the order of their stamps."""

    counts: dict[str, int]  # what happened on the line, since construction
    ended: bool  # the venue has closed the stream as complete (a replay came to its end)

    async def run(self, on_frame: OnFrame, on_connection: OnConnection, clock: Clock) -> None:
        """Deliver frames until cancelled, or until the stream has ended where the feed was built to stop there.

        A lost line is reported, taken up again and resynchronised; stamps never fall.
        """
        ...
