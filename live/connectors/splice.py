"""A new line joined to an old one: what the new one says beyond the last message that both have brought."""

from collections import deque
from typing import Final

from live.connectors.line import Deliver

_REMEMBERED: Final = 4_096  # messages of a stream that the old line brought
_HELD: Final = 65_536  # messages of a stream that the new line may be ahead by


class _Joint:
    """One stream."""

    def __init__(self) -> None:
        self.seen: deque[int] = deque(maxlen=_REMEMBERED)  # hashes of what the old line brought
        self.held: list[tuple[bytes, bool]] = []  # what the new line brought beyond the newest shared message
        self.joined = False

    def hear_old(self, message: bytes) -> None:
        """The old line brought a message: what the new one brought before it is known."""
        place = next((at for at, (held, _) in enumerate(self.held) if held == message), None)
        if place is None:
            self.seen.append(hash(message))
        else:
            del self.held[: place + 1]
            self.joined = True

    def hear_new(self, message: bytes, depth: bool) -> None:
        """The new line brought a message: where the old one has as well, so it did all before it."""
        if hash(message) in self.seen:
            self.held.clear()
            self.joined = True
        elif len(self.held) < _HELD:
            self.held.append((message, depth))

    @property
    def torn(self) -> bool:
        """Both lines spoke, and never said the same; or the new one is too far ahead."""
        return bool(self.seen and self.held and not self.joined) or len(self.held) == _HELD


class Splice:
    """The streams of one symbol over two lines, which number their messages alike."""

    def __init__(self) -> None:
        self._joints: dict[bytes, _Joint] = {}

    def hear_old(self, message: bytes) -> None:
        """The old line has brought a message."""
        self._joint(message).hear_old(message)

    def hear_new(self, message: bytes, depth: bool) -> None:
        """The new line has brought a message."""
        self._joint(message).hear_new(message, depth)

    @property
    def torn(self) -> bool:
        """Whether something may be missing between the two lines."""
        return any(joint.torn for joint in self._joints.values())

    def release(self, deliver: Deliver) -> None:
        """Hand on what only the new line has brought, stream by stream."""
        for joint in self._joints.values():
            for message, depth in joint.held:
                deliver(message, depth)

    def _joint(self, message: bytes) -> _Joint:
        return self._joints.setdefault(message[: message.index(b",")], _Joint())
