"""The lake behind an fsspec URL: objects by the hash in their names, the manifest put last, reads through a cache.

A store has no locks. Writers of one machine exclude each other by a lock in the cache; a writer of another machine is
noticed when the manifest has changed since the write began. Of two that commit in the same instant the later one wins,
whole: no write removes an object that another may be about to name.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import fsspec  # type: ignore[import-untyped]

from market.errors import LakeError
from storage.files import locked, publish, temporary_beside
from storage.locations import LOCK, MANIFEST, Proved, require_sha
from storage.manifest import Place

GRACE_S: Final = 86_400  # an object that no manifest names is left alone for so long: its writer may still be at work


class ObjectStore:
    """The lake behind an fsspec URL; ``cache`` is a folder of this machine, and may be emptied at any time."""

    def __init__(self, url: str, cache: Path, now: Callable[[], float] = time.time) -> None:
        self._files, self._root = _filesystem(url)
        self._cache, self._staging = cache / "files", cache / "writing"
        self._now = now
        self._proved = Proved()
        self._begun: dict[Place, bytes | None] = {}  # manifests as they were when a write began

    def committed(self, *names: str) -> list[Place]:
        """Partitions with a manifest."""
        pattern = "/".join([self._root, *names, *"***"[len(names) :], MANIFEST])
        self._files.invalidate_cache()
        return sorted(Place(*path.split("/")[-4:-1]) for path in self._files.glob(pattern))

    def manifest(self, place: Place) -> bytes | None:
        """The bytes of a partition's manifest."""
        try:
            return bytes(self._files.cat_file(self._path(place, MANIFEST)))
        except FileNotFoundError:
            return None

    @contextmanager
    def writing(self, place: Place) -> Iterator[Path]:
        """A folder of the cache, under its lock."""
        folder = self._staging.joinpath(*place)
        with locked(folder / LOCK, busy=LakeError(f"{place.name} is being written by another process")):
            self._begun[place] = self.manifest(place)
            try:
                yield folder
            finally:
                del self._begun[place]

    def commit(self, place: Place, files: dict[str, Path], manifest: bytes) -> None:
        """Put the files, then the manifest. Raises LakeError if another machine has committed since the write began."""
        for name, path in files.items():
            self._files.put_file(str(path), self._path(place, name))
            self._keep(path, name)
        if self.manifest(place) != self._begun[place]:
            raise LakeError(f"{place.name} was written by another machine meanwhile; that write stays")
        self._files.pipe_file(self._path(place, MANIFEST), manifest)

    def fetch(self, place: Place, file: str, sha256: str) -> Path:
        """The file in the cache, brought there if it is not yet."""
        if not self._files.exists(self._path(place, file)):
            raise LakeError(f"{place.name} is torn: {file} is missing")
        path = self._cache / file
        if not path.exists() or self._proved.sha256(path) != sha256:
            self._download(place, file, sha256)
        return path

    def sha256(self, place: Place, file: str) -> str | None:
        """Hash of an object's bytes, read from the store."""
        try:
            with self._files.open(self._path(place, file), "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            return None

    def sweep(self, place: Place, kept: set[str]) -> int:
        """Remove old objects that are not kept, and what a killed writer of this machine left."""
        stale = [path for path in self._objects(place) if self._is_stale(path, kept)]
        for path in stale:
            self._files.rm_file(path)
        folder = self._staging.joinpath(*place)
        left = [entry for entry in folder.iterdir() if entry.name != LOCK]
        for entry in left:
            entry.unlink(missing_ok=True)
        return len(stale) + len(left)

    def touched(self) -> list[Place]:
        """Every partition's prefix in the store or folder in the cache."""
        self._files.invalidate_cache()
        remote = {Place(*path.rstrip("/").split("/")[-3:]) for path in self._files.glob(f"{self._root}/*/*/*")}
        here = {Place(*path.parts[-3:]) for path in self._staging.glob("*/*/*") if path.is_dir()}
        return sorted(remote | here)

    def _path(self, place: Place, file: str) -> str:
        return "/".join([self._root, *place, file])

    def _objects(self, place: Place) -> list[str]:
        self._files.invalidate_cache()
        return [str(path) for path in self._files.glob(self._path(place, "*"))]

    def _is_stale(self, path: str, kept: set[str]) -> bool:
        if path.rsplit("/", 1)[-1] in {MANIFEST, *kept}:
            return False
        return self._now() - self._files.modified(path).timestamp() > GRACE_S

    def _download(self, place: Place, file: str, sha256: str) -> None:
        self._cache.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(self._cache / file)
        try:
            self._files.get_file(self._path(place, file), str(temporary))
            require_sha(place, file, self._proved.sha256(temporary), sha256)
            publish(temporary, self._cache / file)
        finally:
            temporary.unlink(missing_ok=True)

    def _keep(self, path: Path, name: str) -> None:
        self._cache.mkdir(parents=True, exist_ok=True)
        publish(path, self._cache / name)


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        files, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise LakeError(f"the lake's URL {url} cannot be used: {error}") from error
    return files, str(root).rstrip("/")
