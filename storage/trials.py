"""Where a search keeps its trials: the study's journal, to resume from, and the ledger that statistics read."""

import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from market.errors import DataError
from storage.files import locked

if TYPE_CHECKING:
    import optuna

    from modeling.search import Trial


def study_journal(path: Path) -> "optuna.storages.JournalStorage":
    """Storage of studies in one append-only file."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_FileLock(path)))


class _FileLock:
    """Optuna's lock by the system's, which a killed process cannot leave behind (Optuna's own waits 30 s for one)."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f".{path.name}.lock")
        self._held = ExitStack()

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._held.enter_context(locked(self._path))
        return True

    def release(self) -> None:
        """Give it back."""
        self._held.close()


def append_trial(path: Path, trial: "Trial") -> None:
    """Add a trial to the ledger, one JSON line; a line that a kill tore is closed off first."""
    line = json.dumps(asdict(trial), sort_keys=True).encode() + b"\n"
    with locked(path.with_name(f".{path.name}.lock")), path.open("ab+") as stream:
        if stream.tell() and not _ends_whole(path):
            line = b"\n" + line
        stream.write(line)


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read() == b"\n"


def read_trials(path: Path) -> list[dict[str, object]]:
    """Every trial of the ledger in order; a torn line is passed over.

    Raises DataError if there is no ledger.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"no trial ledger at {path}") from error
    return [trial for line in lines if (trial := _parsed(line)) is not None]


def _parsed(line: bytes) -> dict[str, object] | None:
    try:
        return dict(json.loads(line))
    except ValueError:
        return None
