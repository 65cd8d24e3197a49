"""Where compiled kernels are kept: one folder per state of the kernel sources, read by numba.

numba's own cache does not see an edit in a function that a cached one calls in another file, and
then runs stale code in silence. A folder named after the sha of all sources cannot be stale.
"""

import hashlib
import os
import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
KERNEL_ROOMS: Final = ("market", "features", "labeling", "modeling", "trading", "backtest", "monitoring")
_NUMBA: Final = re.compile(r"^\s*(?:from|import) numba\b", re.MULTILINE)
_IMPORT: Final = re.compile(rf"^\s*(?:from|import) ((?:{'|'.join(KERNEL_ROOMS)})\.[\w.]+)", re.MULTILINE)


def var_folder() -> Path:
    """The only folder that the program writes to: ``TICKLOOP_VAR``, by default ``var`` in the repository."""
    return ROOT / os.environ.get("TICKLOOP_VAR", "var")


def kernel_sources(root: Path = ROOT) -> list[Path]:
    """The files of the pure rooms that import numba and, because kernels freeze constants, all that those import."""
    known: set[Path] = set()
    found = {path for room in KERNEL_ROOMS for path in (root / room).rglob("*.py") if _NUMBA.search(path.read_text())}
    while found:
        known |= found
        found = {module for path in found for module in _imported(root, path)} - known
    return sorted(known)


def _imported(root: Path, path: Path) -> list[Path]:
    names = (match[1].replace(".", "/") for match in _IMPORT.finditer(path.read_text()))
    return [root / f"{name}.py" for name in names if (root / f"{name}.py").is_file()]


def kernel_sha(root: Path = ROOT) -> str:
    """First 16 hex digits of the sha256 over names and bytes of the kernel sources."""
    digest = hashlib.sha256()
    for path in kernel_sources(root):
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def use_kernel_cache() -> str:
    """Point numba at the folder of the present sources and return it.

    A ``NUMBA_CACHE_DIR`` already in the environment is respected; child processes inherit ours.
    """
    folder = os.environ.setdefault("NUMBA_CACHE_DIR", str(var_folder() / "numba" / kernel_sha()))
    if "numba" in sys.modules:  # it read the environment when it was imported
        sys.modules["numba"].config.CACHE_DIR = folder
    return folder
