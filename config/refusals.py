"""Starts that were refused for a key: a process that refuses itself ends before anybody asks, so a file counts."""

from collections import Counter
from pathlib import Path

from market.errors import ConfigError


class RefusedKey(ConfigError):
    """A key to an exchange, or another secret, is where it may not be, may do what it must not, or is too short."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason  # a few words, the same for all faults of a kind


def note_refusal(path: Path, refused: RefusedKey) -> None:
    """Count one more: a line of an append-only file, whole whoever else writes there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(f"{refused.reason}\n".encode())


def refusals_in(path: Path) -> Counter[str]:
    """How many starts were refused so far, by reason."""
    return Counter(path.read_text().splitlines()) if path.exists() else Counter()
