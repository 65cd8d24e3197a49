"""File formats that a source may be of: one importer each, by the name that configuration calls it."""

from collections.abc import Callable
from typing import Final

from market.errors import ConfigError
from market.instrument import Instrument
from market.sources import decoder_for
from market.sources.capture import split_line
from market.sources.importing import Importer, LineImporter


def _capture(instrument: Instrument) -> Importer:
    return LineImporter(decoder_for(instrument), split_line)


FORMATS: Final[dict[str, Callable[[Instrument], Importer]]] = {
    "capture": _capture,  # <local receive time> <raw frame> a line
}
MANY_FILES_A_DAY: Final = frozenset[str]()  # formats that spread a day over several files


def importer_for(format: str, instrument: Instrument) -> Importer:
    """A fresh importer of a format.

    Raises ConfigError if the format is unknown, or no decoder is registered for the instrument's venue.
    """
    if format not in FORMATS:
        raise ConfigError(f"format={format!r} of {instrument.name} is not one of {sorted(FORMATS)}")
    return FORMATS[format](instrument)
