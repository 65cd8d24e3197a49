"""How a runner comes back: from the newest snapshot that holds, and what its journal says after it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from live.desk import Desk, Model
from live.plan import LivePlan, desks_of, header_of, reader_of
from live.replay import Playback, Strategies, resume
from market.errors import DataError, JournalError, ModelError
from market.reader import FrameReader
from storage.journal import Position, read_journal
from storage.snapshots import Arrays, position_of, read_snapshot, snapshots
from trading.strategy import is_missing

VERSION: Final = 3  # of what a snapshot holds
TAIL_BYTES: Final = 4_096  # of the journal before a snapshot's position, by which it knows its own
OnIgnored = Callable[[str], None]


class Resumed(NamedTuple):
    """Reader and desks as they stand where the journal ends."""

    reader: FrameReader
    desks: list[Desk]
    replayed: int  # decisions that were made again
    newest: int  # stamp of all that the journal holds, ns UTC


def state_of(reader: FrameReader, desks: list[Desk], plan: LivePlan, newest: int, tail: str) -> Arrays:
    """Everything that a runner knows, as arrays by name.

    newest : stamp of all that it has seen, ns UTC
    tail : of the journal that it wrote
    """
    models = [[desk.bundle_sha, desk.previous.bundle_sha if desk.previous else "", desk.stood_aside] for desk in desks]
    told = {"version": VERSION, "plan": plan_sha(plan), "tail": tail, "newest": newest, "models": models}
    parts: dict[str, Mapping[str, NDArray[Any]]] = {"reader": reader.dump()}
    for desk in desks:
        parts[f"session{desk.place}"] = desk.session.dump()
        parts[f"gateway{desk.place}"] = desk.gateway.dump()
    arrays = {f"{part}/{name}": array for part, named in parts.items() for name, array in named.items()}
    return arrays | {"told": np.frombuffer(json.dumps(told).encode(), np.uint8)}


def tail_of(journal: Path, position: Position) -> str:
    """Sha256 of the journal's bytes just before a position; of fewer where the segment ends before it."""
    with (journal / position.segment).open("rb") as segment:
        start = max(0, position.offset - TAIL_BYTES)
        segment.seek(start)
        return hashlib.sha256(segment.read(position.offset - start)).hexdigest()


def plan_sha(plan: LivePlan) -> str:
    """Sha256 of everything that decides what a frame leads to."""
    return hashlib.sha256(json.dumps(header_of(plan), sort_keys=True).encode()).hexdigest()


def resumed(plan: LivePlan, journal: Path, strategies: Strategies, on_ignored: OnIgnored) -> Resumed:
    """Come back to where a journal ends; ``on_ignored`` hears why a snapshot was passed over.

    Raises JournalError if the journal is damaged or comes out differently.
    """
    for path in snapshots(journal):
        try:
            playback = _restored(plan, journal, path, strategies)
        except (JournalError, DataError, ModelError, OSError) as error:
            on_ignored(str(error))
            continue
        return _followed(journal, position_of(path), playback)
    return _followed(journal, None, Playback(reader_of(plan), desks_of(plan), strategies))


def playback_since(
    plan: LivePlan, journal: Path, row_ts: int, strategies: Strategies
) -> tuple[Playback, Position | None]:
    """A playback that stands at ``row_ts`` (ns UTC) or earlier, and where in the journal it goes on; None: its start.

    A snapshot that does not hold is passed over, as at a restart.
    """
    for path in snapshots(journal):
        try:
            playback = _restored(plan, journal, path, strategies)
        except (JournalError, DataError, ModelError, OSError):
            continue
        if max(desk.session.next_row_ts for desk in playback.desks) <= row_ts:
            return playback, position_of(path)
    return Playback(reader_of(plan), desks_of(plan), strategies), None


def _followed(journal: Path, since: Position | None, playback: Playback) -> Resumed:
    replayed = resume(playback, read_journal(journal, since))
    return Resumed(playback.reader, playback.desks, replayed, playback.newest)


def _restored(plan: LivePlan, journal: Path, path: Path, strategies: Strategies) -> Playback:
    arrays, position = read_snapshot(path), position_of(path)
    told = json.loads(arrays["told"].tobytes())
    expected = {"version": VERSION, "plan": plan_sha(plan), "tail": tail_of(journal, position)}
    for name, value in expected.items():
        if told[name] != value:
            raise JournalError(f"snapshot {path} is of another {name}")
    reader, desks = reader_of(plan), desks_of(plan)
    reader.load(_part(arrays, "reader"))
    for desk, (sha, previous_sha, aside) in zip(desks, told["models"], strict=True):
        strategy = strategies(sha) if sha else desk.idle
        desk.bundle_sha, desk.previous, desk.stood_aside = sha, _kept(previous_sha, strategies), aside
        load = desk.session.load_without_model if is_missing(strategy) else desk.session.load
        load(_part(arrays, f"session{desk.place}"), strategy)
        desk.gateway.load(_part(arrays, f"gateway{desk.place}"))
    return Playback(reader, desks, strategies, told["newest"])


def _kept(sha: str, strategies: Strategies) -> Model | None:
    """The model that decided before, unless there is none or its bundle is gone."""
    if not sha:
        return None
    strategy = strategies(sha)
    return None if is_missing(strategy) else Model(strategy, sha)


def _part(arrays: Arrays, part: str) -> Arrays:
    return {name.removeprefix(f"{part}/"): array for name, array in arrays.items() if name.startswith(f"{part}/")}
