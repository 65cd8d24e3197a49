"""How far a download has come, for the person who waits for it."""

import sys
from typing import Final

from storage.download import Progress

WIDTH: Final = 30  # characters of the bar


def bar(have: int, total: int) -> str:
    """A bar with the share in percent and the size in MB.

    >>> bar(1_000_000, 4_000_000)
    '[#######.......................]  25 % of 4.0 MB'
    """
    share = min(1.0, have / max(total, 1))
    filled = int(share * WIDTH)
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {100 * share:3.0f} % of {total / 1e6:.1f} MB"


def progress_of(name: str) -> Progress:
    """What prints the bar of ``name`` to stderr, in place, and ends its line when all has come."""

    def show(have: int, total: int) -> None:
        sys.stderr.write(f"\r{name} {bar(have, total)}{chr(10) if have >= total else ''}")
        sys.stderr.flush()

    return show
