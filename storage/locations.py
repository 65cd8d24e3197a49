"""Where the lake's bytes lie: a folder of this machine, or an object store behind an fsspec URL.

Both keep ``dataset/symbol/key/`` with data files that bear their own hash in their names and one ``manifest.json`` that
names them. Replacing the manifest is the one act that commits a write.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from market.errors import LakeError
from storage.files import file_sha256, locked, publish, replace_file
from storage.manifest import Place

MANIFEST: Final = "manifest.json"
LOCK: Final = ".lock"


class Location(Protocol):
    """What the lake asks of the place that its bytes lie at."""

    def committed(self, *names: str) -> list[Place]:
        """Partitions with a manifest, below a dataset, symbol and key as far as given, in order."""

    def manifest(self, place: Place) -> bytes | None:
        """The bytes of a partition's manifest; None where there is none."""

    def writing(self, place: Place) -> AbstractContextManager[Path]:
        """A folder of this machine to make a partition's files in, held against other writers.

        Raises LakeError at once if another process holds it.
        """

    def commit(self, place: Place, files: dict[str, Path], manifest: bytes) -> None:
        """Move finished files to their names, then put the manifest that names them. Call it within ``writing``."""

    def fetch(self, place: Place, file: str, sha256: str) -> Path:
        """A data file on this machine, its hash proved. Raises LakeError if it is missing or torn."""

    def sha256(self, place: Place, file: str) -> str | None:
        """Hash of a data file's bytes as they lie there now; None where it is missing."""

    def sweep(self, place: Place, kept: set[str]) -> int:
        """Remove every file of a partition but ``kept``, as far as nobody may still need it; returns how many."""

    def touched(self) -> list[Place]:
        """Every partition that was ever begun, committed or not."""


class Proved:
    """Hashes of files of this machine, taken once for each size and time of change."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int, str]] = {}

    def sha256(self, path: Path) -> str:
        """Hash of a file. Raises FileNotFoundError."""
        stat = path.stat()
        known = self._known.get(path)
        if known is None or known[:2] != (stat.st_size, stat.st_mtime_ns):
            known = self._known[path] = (stat.st_size, stat.st_mtime_ns, file_sha256(path))
        return known[2]


class Folder:
    """The lake in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._proved = Proved()

    def committed(self, *names: str) -> list[Place]:
        """Partitions with a manifest."""
        pattern = "/".join([*names, *"***"[len(names) :], MANIFEST])
        return [_place(path.parent) for path in sorted(self._root.glob(pattern))]

    def manifest(self, place: Place) -> bytes | None:
        """The bytes of a partition's manifest."""
        try:
            return (self._folder(place) / MANIFEST).read_bytes()
        except FileNotFoundError:
            return None

    @contextmanager
    def writing(self, place: Place) -> Iterator[Path]:
        """The partition's own folder, under its lock."""
        folder = self._folder(place)
        with locked(folder / LOCK, busy=LakeError(f"{place.name} is being written by another process")):
            yield folder

    def commit(self, place: Place, files: dict[str, Path], manifest: bytes) -> None:
        """Rename within the folder, then replace the manifest."""
        folder = self._folder(place)
        for name, path in files.items():
            publish(path, folder / name)
        replace_file(folder / MANIFEST, manifest)

    def fetch(self, place: Place, file: str, sha256: str) -> Path:
        """The file where it lies."""
        path = self._folder(place) / file
        try:
            found = self._proved.sha256(path)
        except FileNotFoundError as error:
            raise LakeError(f"{place.name} is torn: {file} is missing") from error
        require_sha(place, file, found, sha256)
        return path

    def sha256(self, place: Place, file: str) -> str | None:
        """Hash of a file as it lies there now."""
        try:
            return file_sha256(self._folder(place) / file)
        except FileNotFoundError:
            return None

    def sweep(self, place: Place, kept: set[str]) -> int:
        """Remove what is not kept: whoever has a file open reads on."""
        stale = [entry for entry in self._folder(place).iterdir() if entry.name not in {MANIFEST, LOCK, *kept}]
        for entry in stale:
            entry.unlink(missing_ok=True)
        return len(stale)

    def touched(self) -> list[Place]:
        """Every partition's folder."""
        return [_place(path) for path in sorted(self._root.glob("*/*/*")) if path.is_dir()]

    def _folder(self, place: Place) -> Path:
        return self._root.joinpath(*place)


def require_sha(place: Place, file: str, found: str, promised: str) -> None:
    """Raises LakeError if a file's hash is not the promised one."""
    if found != promised:
        raise LakeError(f"{place.name} is torn: {file} has sha256 {found[:12]}, promised {promised[:12]}")


def _place(folder: Path) -> Place:
    return Place(*folder.parts[-3:])
