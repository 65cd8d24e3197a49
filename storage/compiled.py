"""A compiled stretch of market as plain files that processes map into memory, so that all of them share one copy."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from backtest.compiled import Compiled, Rows
from backtest.mids import MidPath
from modeling.forecast import Floats

FORECASTS: Final = "forecasts"
_BOOK: Final = ("ladder", "spill", "head")
_END: Final = "end.json"


def write_compiled(folder: Path, compiled: Compiled, forecasts: Floats) -> None:
    """One ``.npy`` an array, below ``folder``, which is made."""
    folder.mkdir(parents=True)
    groups = {
        "venue": compiled.venue,
        "book": dict(zip(_BOOK, compiled.book, strict=True)),
        "rows": compiled.rows._asdict(),
        "mids": {"ts": compiled.mids.ts, "mid": compiled.mids.mid},
        "": {"tape": compiled.tape, FORECASTS: forecasts},
    }
    for group, arrays in groups.items():
        for name, array in arrays.items():
            np.save(folder / f"{group}.{name}.npy", array, allow_pickle=False)
    (folder / _END).write_text(json.dumps(compiled.mids.end))


def read_compiled(folder: Path) -> tuple[Compiled, Floats]:
    """What ``write_compiled`` was given, mapped: pages are read when touched, and shared with whoever maps them too."""
    groups: dict[str, dict[str, NDArray[Any]]] = {}
    for path in folder.glob("*.npy"):
        group, name = path.stem.split(".")
        groups.setdefault(group, {})[name] = np.load(path, mmap_mode="c", allow_pickle=False)
    book = tuple(groups["book"][name] for name in _BOOK)
    mids = MidPath(**groups["mids"], end=json.loads((folder / _END).read_text()))
    top, rows = groups[""], Rows(**groups["rows"])
    return Compiled(top["tape"], groups["venue"], book, rows, mids), top[FORECASTS]  # type: ignore[arg-type]
