"""Which symbols run through the chain, and where their ticks lie."""

from dataclasses import dataclass
from typing import Final

from market.errors import ConfigError


@dataclass(frozen=True, slots=True)
class FileSource:
    """Files of a vendor or of ours; raw captures need no more than their names, see Source."""

    format: str  # how the files are read: a name in market/sources/formats.py
    path: str | tuple[str, ...]  # a folder of daily files, or the files; their names carry the dates

    def __post_init__(self) -> None:
        for key in ("format", "path"):
            if not getattr(self, key):
                raise ConfigError(f"{key} is empty; a source of files names both format and path")

    def __str__(self) -> str:
        return f"{self.format} files {self.path if isinstance(self.path, str) else ', '.join(self.path)}"


CAPTURE: Final = "capture"  # the format of recordings and of plain folders
Source = tuple[str, ...] | str | FileSource  # recordings of the catalogue, a folder of daily captures, or other files


@dataclass(frozen=True, slots=True)
class DataSettings:
    """Which symbols run through the chain, and where their captures lie."""

    symbols: tuple[str, ...]  # names of instruments, in the order they are run
    sources: dict[str, Source]  # symbol -> recordings, a folder of daily captures ..._YYYYMMDD.gz, or {format, path}
    hold_back_s: float  # seconds at the end of the newest day that the chain never sees: the live replay trades them
    max_bad_share: float  # share of malformed lines above which an import fails, 0 to 1
    leaders: dict[str, str]  # symbol -> the one, earlier in symbols, whose rows its own rows also see
    exchange_info: dict[str, str]  # venue -> file with its exchange-info answer, which must agree with `instruments`

    def __post_init__(self) -> None:
        if not self.symbols:
            raise ConfigError("symbols is empty; name at least one")
        if len(set(self.symbols)) < len(self.symbols):
            raise ConfigError(f"symbols={list(self.symbols)} names one twice")
        for symbol in self.symbols:
            if not self.sources.get(symbol):
                raise ConfigError(f"symbols names {symbol}, for which sources holds nothing")
        for follower, leader in self.leaders.items():
            if follower in self.symbols and leader not in self.symbols[: self.symbols.index(follower)]:
                raise ConfigError(f"leaders.{follower}={leader} must stand before it in symbols={list(self.symbols)}")
        if self.hold_back_s < 0:
            raise ConfigError(f"hold_back_s={self.hold_back_s} must be at least 0")
        if not 0 <= self.max_bad_share <= 1:
            raise ConfigError(f"max_bad_share={self.max_bad_share} must lie in 0 to 1")

    @property
    def recordings(self) -> tuple[str, ...]:
        """Recordings of the catalogue that the symbols need, in the order of their days."""
        sources = [self.sources[symbol] for symbol in self.symbols]
        return tuple(name for source in sources if isinstance(source, tuple) for name in source)

    def described(self, symbol: str) -> str:
        """Where a symbol's ticks come from, for people."""
        source = self.sources[symbol]
        if isinstance(source, tuple):
            return f"recording {', '.join(source)}"
        return f"daily files in {source}" if isinstance(source, str) else str(source)
