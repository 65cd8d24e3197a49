"""For how long a command has been at work, for the person who waits for it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final, TextIO

from storage.progress import CLEAR

EVERY_S: Final = 1.0
ENOUGH_S: Final = 3.0  # what ends sooner needs no word


@contextmanager
def at_work(
    name: str, stream: TextIO | None = None, every_s: float = EVERY_S, after_s: float = ENOUGH_S
) -> Iterator[None]:
    """Show name and seconds on a terminal's last line while the block runs; elsewhere nothing."""
    shown, ended = stream or sys.stderr, Event()
    if not shown.isatty():
        yield
        return
    thread = Thread(target=_show, args=(name, shown, every_s, after_s, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        shown.write(CLEAR)
        shown.flush()


def _show(name: str, stream: TextIO, every_s: float, after_s: float, ended: Event) -> None:
    begun = time.monotonic()
    while not ended.wait(every_s):
        if (seconds := time.monotonic() - begun) >= after_s:
            stream.write(f"{CLEAR}{name}, {seconds:.0f} s")
            stream.flush()
