"""The trial ledger of a search: every trial that ended, one line each, for the statistics of multiple testing."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from market.errors import DataError
from storage.files import locked

if TYPE_CHECKING:
    from modeling.search import Trial


def append_trial(path: Path, trial: "Trial") -> bool:
    """Add a trial to the ledger, one JSON line; whether it was not there yet.

    Many processes may write one ledger. A line that a kill tore is closed off first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f".{path.name}.lock")):
        if path.exists() and (trial.study, trial.number) in {(t["study"], t["number"]) for t in read_trials(path)}:
            return False
        line = json.dumps(asdict(trial), sort_keys=True).encode() + b"\n"
        with path.open("ab") as stream:
            if stream.tell() and not _ends_whole(path):
                line = b"\n" + line
            stream.write(line)
    return True


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
