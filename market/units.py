"""How many of one unit are in another."""

from typing import Final

NS_PER_MS: Final = 1_000_000
