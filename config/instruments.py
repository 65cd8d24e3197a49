"""Instruments of a profile: as configured, and as the venues' saved exchange-info answers describe them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.typed import build
from market.errors import ConfigError, DataError
from market.exchange_info import instrument_from, reconciled
from market.instrument import Instrument


def instruments_of(values: Mapping[str, Any]) -> dict[str, Instrument]:
    """Every instrument that a profile's values name.

    A symbol of a venue in ``data.exchange_info`` needs no entry of its own: its name is ``<venue>-<the venue's
    symbol>``. Raises ConfigError for a wrong entry, a file that cannot be read, or a contradiction of the two.
    """
    named = values.get("instruments", {})
    entries = {name: _named(name, entry) for name, entry in named.items()} if isinstance(named, Mapping) else named
    instruments: dict[str, Instrument] = build(dict[str, Instrument], entries, "instruments")
    bodies = _bodies(_mapping(values, "data").get("exchange_info", {}))
    used = [*_mapping(values, "data").get("symbols", ()), _mapping(values, "live").get("symbol", "")]
    for name in dict.fromkeys(map(str, used)):
        told = _told(name, instruments.get(name), bodies)
        if told is not None:
            instruments[name] = told
    return instruments


def _bodies(files: Any) -> dict[str, bytes]:
    paths: dict[str, str] = build(dict[str, str], files, "data.exchange_info")
    try:
        return {venue: Path(path).read_bytes() for venue, path in paths.items()}
    except OSError as failed:
        raise ConfigError(f"data.exchange_info: {failed.filename}: {failed.strerror}") from failed


def _told(name: str, configured: Instrument | None, bodies: Mapping[str, bytes]) -> Instrument | None:
    """The instrument as its venue describes it; None where no description is given."""
    if configured is not None and configured.synthetic:
        return None
    venues = [venue for venue in bodies if name.startswith(f"{venue}-")] if configured is None else [configured.venue]
    if not venues or venues[0] not in bodies:
        return None
    venue = max(venues, key=len)
    symbol = name.removeprefix(f"{venue}-") if configured is None else configured.venue_symbol
    try:
        told = instrument_from(venue, name, symbol, bodies[venue])
        return told if configured is None else reconciled(configured, told)
    except (ConfigError, DataError) as refused:
        raise ConfigError(f"data.exchange_info.{venue}: {refused}") from refused


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = values.get(key, {})
    return section if isinstance(section, Mapping) else {}


def _named(name: str, entry: Any) -> Any:
    return {"name": name, **entry} if isinstance(entry, Mapping) else entry
