"""What an exchange gateway is opened with: who speaks with the venue, whom it tells, and how long it waits for what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from live.gateways.client import VenueClient


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the gateway waits for what."""

    recv_window_s: float  # after which the venue takes no request of ours any more
    poll_s: float  # between two questions about an order that is unknown, or unheard of
    open_s: float  # for the account stream at the start, and for cancels at the end
    dead_man_s: float = 0.0  # after which without us the venue cancels what works; 0: it does not


class Calls(NamedTuple):
    """What a gateway asks its runner for, and tells it."""

    now: Callable[[], int]  # the runner's clock, ns UTC: reports become visible by it
    died: Callable[[str, BaseException], None]  # a task of the gateway has ended by a fault


class Line(NamedTuple):
    """What a gateway is opened with."""

    client: VenueClient
    ws_url: str  # of the account's stream
    session: str  # names the journal, so that order ids of two runs never meet
    calls: Calls
    patience: Patience
    generator: np.random.Generator  # spreads retries
    adopts: bool = False  # what an account holds before the journal has told anything

    def client_id(self, order_id: int) -> str:
        """The id that the venue knows an order by: the same whenever it is asked for, so that a second one is seen."""
        return f"tl{self.session}-{order_id}"

    def is_ours(self, client_id: str) -> bool:
        """Whether an order is of this journal."""
        return client_id.rpartition("-")[0] == f"tl{self.session}"

    def number_of(self, client_id: str) -> int:
        """Our number of an order, -1 where the id is not ours."""
        number = client_id.rpartition("-")[2]
        return int(number) if self.is_ours(client_id) and number.isdigit() else -1
