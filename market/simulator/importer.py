"""Format "simulation": a file says what market to simulate and which part of a date; importing it makes the events."""

import base64
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, cast

import msgspec
import numpy as np

from market.errors import ConfigError, DataError
from market.events import EVENT, KIND_NAMES, LAST, Events, empty_events
from market.instrument import Instrument
from market.simulator.parameters import SimulationParameters, parameters_from
from market.simulator.path import DAY_S
from market.simulator.tape import SimulatedTape
from market.sources.decoder import DecoderState
from market.sources.importing import Account, InputFile

_KEYS: Final = {"date": str, "from_s": float, "seconds": float, "parameters": dict}


@dataclass(frozen=True, slots=True)
class Simulation:
    """What one file asks for: the events received in [start_ts, end_ts), ns UTC."""

    start_ts: int
    end_ts: int
    parameters: SimulationParameters


def read_simulation(file: InputFile) -> Simulation:
    """A file of JSON: ``date`` (UTC), ``from_s`` (0) and ``seconds`` (the rest of it), ``parameters`` (the defaults).

    Raises DataError naming the file for what is no such thing: an unknown key, a value out of its range.
    """
    with file.open() as stream:
        content = stream.read()
    try:
        return _simulation(msgspec.json.decode(content))
    except (msgspec.DecodeError, ConfigError, ValueError) as error:
        raise DataError(f"{file.name}: {error}") from error


def _simulation(values: Any) -> Simulation:
    if not isinstance(values, dict) or "date" not in values:
        raise ConfigError("a simulation is a mapping with a date")
    for key, value in values.items():
        if key not in _KEYS:
            raise ConfigError(f"{key} is not one of {sorted(_KEYS)}")
        if isinstance(value, bool) or not isinstance(value, (int, float) if _KEYS[key] is float else _KEYS[key]):
            raise ConfigError(f"{key}={value!r} is of the wrong type")
    from_s = float(values.get("from_s", 0.0))
    seconds = float(values.get("seconds", DAY_S - from_s))
    if not (0 <= from_s < DAY_S and 0 < seconds <= DAY_S - from_s):
        raise ConfigError(f"from_s={from_s:g} and seconds={seconds:g} must lie within one day")
    midnight = datetime.combine(date.fromisoformat(values["date"]), datetime.min.time(), UTC)
    start_ts = int(midnight.timestamp()) * 1_000_000_000 + round(from_s * 1e9)
    return Simulation(start_ts, start_ts + round(seconds * 1e9), parameters_from(values.get("parameters", {})))


class SimulationImporter:
    """Importer of simulations; see ``market.sources.importing.Importer``.

    A file that begins where the last one ended goes on with its market, restored or not, and has no snapshot.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.account = Account()
        self._tape: SimulatedTape | None = None
        self._end_ts = 0  # of what was simulated last
        self._late = empty_events(0)  # received at or after that
        self._restored: DecoderState | None = None

    def batches(self, files: Sequence[InputFile], until: int | None = None) -> Iterator[Events]:
        """Events received within each file's span, one file after the other; constant memory."""
        for file in files:
            simulation = read_simulation(file)
            for events in self._simulate(file.name, simulation):
                seen = events if until is None else events[: np.searchsorted(events["ingest_ts"], until, "right")]
                if seen.size:
                    self._count(seen)
                    yield seen
                if seen.size < events.size:
                    return

    def newest_ts(self, files: Sequence[InputFile]) -> int:
        """The end of the last span, ns UTC: nothing is received later. 0 of no files."""
        return max((read_simulation(file).end_ts - 1 for file in files), default=0)

    def state(self) -> DecoderState:
        """Where the market stands; {} before there was one."""
        if self._tape is None:
            return self._restored or {}
        late = base64.b64encode(zlib.compress(self._late.tobytes(), 1)).decode()
        return {"end_ts": self._end_ts, "late": late, "market": _identity(self._tape.parameters), **self._tape.state()}

    def restore(self, state: DecoderState) -> None:
        """Go on where ``state`` was taken."""
        self._restored, self._tape = state or None, None

    def _simulate(self, name: str, simulation: Simulation) -> Iterator[Events]:
        tape = self._tape_for(name, simulation)
        early, self._late = self._late, empty_events(0)
        self._end_ts = simulation.end_ts
        if early.size:
            yield early
        for events in tape.batches(simulation.end_ts):
            inside = int(np.searchsorted(events["ingest_ts"], simulation.end_ts, "left"))
            if inside < events.size:
                self._late = np.concatenate([self._late, events[inside:]])
            if inside:
                yield events[:inside]

    def _tape_for(self, name: str, simulation: Simulation) -> SimulatedTape:
        """The market at the beginning of a span: the one that stands there, or a new one."""
        if self._restored is not None:
            self._resume(name, simulation, self._restored)
        if self._tape is None:
            self._tape = SimulatedTape(simulation.parameters, self.instrument, simulation.start_ts)
        elif (self._end_ts, self._tape.parameters) != (simulation.start_ts, simulation.parameters):
            raise DataError(f"{name}: a span must begin where the one before ended, with the same parameters")
        return self._tape

    def _resume(self, name: str, simulation: Simulation, state: DecoderState) -> None:
        if state["market"] != _identity(simulation.parameters):
            raise DataError(f"{name}: the day before was simulated with other parameters")
        self._tape = SimulatedTape(simulation.parameters, self.instrument, simulation.start_ts)
        self._tape.restore(state)
        self._end_ts, self._restored = cast(int, state["end_ts"]), None
        late = zlib.decompress(base64.b64decode(cast(str, state["late"])))
        self._late = np.frombuffer(late, EVENT).copy()

    def _count(self, events: Events) -> None:
        account = self.account
        account.events += events.size
        account.lines += int(np.count_nonzero(events["flags"] & LAST))
        kinds = events["kind"][(events["flags"] & LAST) != 0]
        for kind, count in zip(*np.unique(kinds, return_counts=True), strict=True):
            name = KIND_NAMES[int(kind)]
            account.counts[name] = account.counts.get(name, 0) + int(count)


def _identity(parameters: SimulationParameters) -> str:
    return msgspec.json.encode(parameters, order="deterministic").decode()
