"""The promotion ledger: who gave which model which alias, when and why; lines are added and never changed.

MLflow keeps no history of its aliases, so this file is what counts: an approval exists when its line is whole on disk.
Each line holds the hash of the line before it, and its own over all else that it says, so that an edit of any line
shows. No hash tells that whole lines were cut off the end.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from market.errors import RegistryError
from storage.files import locked

REJECTED: Final = "rejected"  # in place of an alias: the bundle may take no role until a later line gives it one
_START: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Promotion:
    """One alias given to one version of a model, or that version rejected."""

    when: str  # ISO 8601, UTC
    who: str
    model: str
    alias: str
    from_version: str | None  # the version that bore the alias before
    to_version: str
    bundle_sha: str
    gates: dict[str, str]  # gate -> "passed", "failed" or "insufficient data"
    reason: str


class PromotionLedger:
    """Promotions in one JSON-lines file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, promotion: Promotion) -> None:
        """Add one line and wait until the disk has it. Raises RegistryError if the ledger was edited or is full."""
        try:
            with locked(self.path.with_name(f".{self.path.name}.lock")):
                self._append(promotion)
        except OSError as error:
            raise RegistryError(f"cannot write the promotion ledger {self.path}: {error.strerror}") from error

    def promotions(self) -> list[Promotion]:
        """All promotions, oldest first; a last line that a kill cut short counts as never written.

        Raises RegistryError naming the first line that was changed after it was written.
        """
        return [promotion for promotion, _ in self._entries()]

    def newest(self, model: str, alias: str) -> Promotion | None:
        """The promotion in force for an alias of a model; None if there was none, or its bundle was rejected since."""
        found = [entry for entry in self.promotions() if (entry.model, entry.alias) == (model, alias)]
        return found[-1] if found and found[-1] in self.standing(model) else None

    def standing(self, model: str) -> list[Promotion]:
        """Every promotion of a model whose bundle was not rejected since, oldest first."""
        kept: list[Promotion] = []
        for entry in (one for one in self.promotions() if one.model == model):
            if entry.alias == REJECTED:
                kept = [one for one in kept if one.bundle_sha != entry.bundle_sha]
            else:
                kept.append(entry)
        return kept

    def rejection(self, bundle_sha: str, model: str) -> Promotion | None:
        """The line that rejects a bundle as a version of a model; None if none does, or a later one gives it a role."""
        lines = [one for one in self.promotions() if (one.bundle_sha, one.model) == (bundle_sha, model)]
        return lines[-1] if lines and lines[-1].alias == REJECTED else None

    def before(self, model: str, alias: str) -> Promotion | None:
        """Who bore an alias before whoever was given it last, going further back each time; None if nobody did.

        Whoever was rejected is passed over.
        """
        given = [entry for entry in self.promotions() if (entry.model, entry.alias) == (model, alias)]
        if not given:
            return None
        first = next(place for place, one in enumerate(given) if one.bundle_sha == given[-1].bundle_sha)
        standing = self.standing(model)
        earlier = [one for one in given[:first] if one in standing]
        return earlier[-1] if earlier else None

    def approves(self, bundle_sha: str, model: str, role: str = "champion") -> bool:
        """Whether a bundle was given the role as a version of a model, whose name says for which symbol, and kept it.

        Who was ever champion may be challenger as well; who was rejected since may be neither.
        """
        asked = {(bundle_sha, role), (bundle_sha, "champion")}
        return any((entry.bundle_sha, entry.alias) in asked for entry in self.standing(model))

    def _append(self, promotion: Promotion) -> None:
        previous = [digest for _, digest in self._entries()]
        content = {**asdict(promotion), "previous": previous[-1] if previous else _START}
        line = json.dumps({**content, "sha256": _digest(content)}, sort_keys=True)
        with self.path.open("ab") as stream:
            stream.truncate(self._whole_bytes())
            stream.write(f"{line}\n".encode())
            stream.flush()
            os.fsync(stream.fileno())

    def _entries(self) -> Iterator[tuple[Promotion, str]]:
        expected = _START
        for number, line in enumerate(self._lines(), 1):
            try:
                content = json.loads(line)
                own = content.pop("sha256")
                digest = _digest(content)
                previous = content.pop("previous")
                promotion = Promotion(**content)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise RegistryError(f"{self.path}, line {number} is no promotion: {error}") from error
            if own != digest:
                raise RegistryError(f"{self.path}: line {number} was changed after it was written")
            if previous != expected:
                raise RegistryError(f"{self.path}: line {number - 1} was changed after it was written, or removed")
            expected = hashlib.sha256(line).hexdigest()
            yield promotion, expected

    def _lines(self) -> list[bytes]:
        return self._content()[: self._whole_bytes()].splitlines()

    def _whole_bytes(self) -> int:
        return self._content().rfind(b"\n") + 1

    def _content(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""


def _digest(content: dict[str, object]) -> str:
    """Hex sha256 of what a line says: its promotion and the hash of the line before it."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
