"""Where compiled kernels are kept: a folder for each state of a kernel's file and of all that it imports.

numba's own cache does not see an edit in a function that a cached one calls in another file, and then runs stale code
in silence. A folder named after the sha of every source that a kernel can reach cannot be stale, and an edit
recompiles what it can reach and nothing else.
"""

import functools
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
KERNEL_ROOMS: Final = ("market", "features", "labeling", "modeling", "trading", "backtest", "monitoring")
LOCATORS: Final = "market.kernel_cache.KernelLocator,UserProvidedCacheLocator,InTreeCacheLocator,UserWideCacheLocator"
_NUMBA: Final = re.compile(r"^\s*(?:from|import) numba\b", re.MULTILINE)
_ROOM: Final = rf"(?:{'|'.join(KERNEL_ROOMS)})"
_FROM: Final = re.compile(rf"^\s*from ({_ROOM}[\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)
_IMPORT: Final = re.compile(rf"^\s*import ({_ROOM}\.[\w.]+)", re.MULTILINE)


def var_folder() -> Path:
    """The only folder that the program writes to: ``TICKLOOP_VAR``, by default ``var`` in the repository."""
    return ROOT / os.environ.get("TICKLOOP_VAR", "var")


def kernel_sources(root: Path = ROOT) -> list[Path]:
    """The files of the pure rooms that import numba and, because kernels freeze constants, all that those import."""
    paths = (path for room in KERNEL_ROOMS for path in (root / room).rglob("*.py"))
    return reachable(root, (path for path in paths if _NUMBA.search(path.read_text())))


def reachable(root: Path, start: Iterable[Path]) -> list[Path]:
    """Some files and all files of the pure rooms that they import, those of the imported included, in order."""
    known: set[Path] = set()
    found = set(start)
    while found:
        known |= found
        found = {module for path in found for module in _imported(root, path)} - known
    return sorted(known)


def _imported(root: Path, path: Path) -> list[Path]:
    source = path.read_text()
    modules = [match[1] for match in _IMPORT.finditer(source)]
    for match in _FROM.finditer(source):
        modules += [match[1], *(f"{match[1]}.{name}" for name in re.findall(r"\w+", match[2]))]
    files = [root / f"{module.replace('.', '/')}{ending}" for module in modules for ending in (".py", "/__init__.py")]
    return [file for file in files if file.is_file()]


def kernel_sha(root: Path = ROOT) -> str:
    """First 16 hex digits of the sha256 over names and bytes of the kernel sources."""
    return _sha(root, kernel_sources(root))


def _sha(root: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def cache_folder(path: Path, root: Path = ROOT) -> str:
    """Name of the folder that holds what was compiled from one file: its name and the sha of all it can reach."""
    return f"{'.'.join(path.relative_to(root).with_suffix('').parts)}-{_sha(root, reachable(root, [path]))}"


class KernelLocator:
    """Tells numba where the kernels of one of our files are kept; see ``cache_folder``."""

    def __init__(self, function: Callable[..., Any], path: Path) -> None:
        self._folder = Path(os.environ["NUMBA_CACHE_DIR"]) / cache_folder(path)
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> "KernelLocator | None":
        """None for what is no file of this repository: numba's own locators come after."""
        path = Path(file)
        ours = path.is_file() and path.is_relative_to(ROOT) and "site-packages" not in path.parts
        return cls(function, path) if ours else None

    def ensure_cache_path(self) -> None:
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        """The folder."""
        return str(self._folder)

    def get_source_stamp(self) -> str:
        """What a cached kernel must have been made from; the folder's name says it."""
        return self._folder.name

    def get_disambiguator(self) -> str:
        """The line, for kernels of one name in one file."""
        return str(self._line)


def use_kernel_cache() -> str:
    """Point numba at our folder and locator; returns the folder.

    A ``NUMBA_CACHE_DIR`` already in the environment is respected; child processes inherit ours.
    """
    folder = os.environ.setdefault("NUMBA_CACHE_DIR", str(var_folder() / "numba"))
    os.environ["NUMBA_CACHE_LOCATOR_CLASSES"] = LOCATORS
    if "numba" in sys.modules:  # it read the environment when it was imported
        config = sys.modules["numba"].config
        config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = folder, LOCATORS
    return folder
