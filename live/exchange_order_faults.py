"""Faults of a replay venue's order side, committed on demand, each as often as it is asked for."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal

from market.errors import ConfigError

Verb = Literal["place", "cancel", "renew"]  # of a listen key and of the countdown
KINDS: Final = ("unanswered", "executed unanswered", "reject", "limit")


@dataclass
class OrderFaults:
    """What goes wrong next."""

    answer_delay_s: float = 0.0  # acknowledgements over REST, which the stream then overtakes
    duplicate: bool = False  # every message of the account stream comes twice
    backwards: bool = False  # what the account stream has to say after one message of the market, the last first
    split_fills: bool = False  # a fill of several lots comes in two
    mute: bool = False  # the account stream says nothing
    reject_all: bool = False
    retry_after_s: int = 0  # how long a "limit" sends the client away
    clock_s: float = 0.0  # by which the venue's clock is ahead of ours
    _next: dict[str, deque[str]] = field(default_factory=dict)

    def plan(self, verb: Verb, kind: str, times: int = 1) -> None:
        """Commit a kind of fault on the next requests of that verb.

        Raises ConfigError for a kind that there is not.
        """
        if kind not in KINDS:
            raise ConfigError(f"fault={kind!r} of an order is not one of {', '.join(KINDS)}")
        self._next.setdefault(verb, deque()).extend([kind] * times)

    def take(self, verb: Verb) -> str:
        """The fault of a request, empty for none."""
        if self.reject_all and verb == "place":
            return "reject"
        planned = self._next.get(verb)
        return planned.popleft() if planned else ""
