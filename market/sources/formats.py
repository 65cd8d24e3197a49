"""File formats that a source may be of: one importer each, by the name that configuration calls it."""

from collections.abc import Callable
from typing import Final

from market.errors import ConfigError
from market.instrument import Instrument
from market.simulator.importer import SimulationImporter
from market.sources import decoder_for
from market.sources.capture import split_line
from market.sources.decoder import ScansLines
from market.sources.hftbacktest_file import HftbacktestImporter
from market.sources.importing import BlockImporter, Importer, LineImporter
from market.sources.journal_source import JournalImporter
from market.sources.session import SessionImporter
from market.sources.tardis import TardisImporter


def _capture(instrument: Instrument) -> Importer:
    decoder = decoder_for(instrument)
    if isinstance(decoder, ScansLines):
        return BlockImporter(decoder, decoder, split_line)
    return LineImporter(decoder, split_line)


def _session(instrument: Instrument) -> Importer:
    return SessionImporter(decoder_for(instrument))


FORMATS: Final[dict[str, Callable[[Instrument], Importer]]] = {
    "session": _session,  # recorded WebSocket and HTTP sessions
    "capture": _capture,  # <local receive time> <raw frame> a line
    "simulation": SimulationImporter,  # JSON: which market to simulate
    "hftbacktest": HftbacktestImporter,  # npz or npy of its event array
    "journal": JournalImporter,  # segments of a recorder's journal
    "tardis": TardisImporter,  # Tardis CSV, a file for each data type and day
}
MANY_FILES_A_DAY: Final = frozenset({"journal", "tardis"})  # formats that spread a day over several files


def importer_for(format: str, instrument: Instrument) -> Importer:
    """A fresh importer of a format.

    Raises ConfigError if the format is unknown, or no decoder is registered for the instrument's venue.
    """
    if format not in FORMATS:
        raise ConfigError(f"format={format!r} of {instrument.name} is not one of {sorted(FORMATS)}")
    return FORMATS[format](instrument)
