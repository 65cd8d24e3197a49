"""A desk: one strategy's session with its account at a venue, turned row by row, written down before it acts."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from market.orders import Reports
from trading.session import Gateway, Now, Session, Strategy, Turn, close_row


class Notes(Protocol):
    """Where a desk writes down what it saw and decided; ``storage.journal.JournalWriter`` is one."""

    def decision(self, desk: int, row_ts: int, record: NDArray[np.void], intents: NDArray[np.void]) -> None:
        """Note a decision and its orders."""

    def reports(self, desk: int, row_ts: int, reports: Reports) -> None:
        """Note the reports that a row saw."""

    def flush(self) -> None:
        """Return when the kernel has everything noted so far."""


class Model(NamedTuple):
    """A bundle that is ready to decide: read, proved and warm."""

    strategy: Strategy
    bundle_sha: str


class Desk:
    """One strategy of the runner; ``place`` is its number in the journal."""

    def __init__(self, name: str, place: int, session: Session, gateway: Gateway) -> None:
        self.name = name
        self.place = place
        self.session = session
        self.gateway = gateway
        self.bundle_sha = ""  # of the model in force, empty before the first
        self.previous: Model | None = None  # what decided before it, kept hot for a rollback

    def deploy(self, strategy: Strategy, bundle_sha: str) -> None:
        """Decide with another model from the next row on. Raises ModelError unless flat."""
        before = Model(self.session.strategy, self.bundle_sha)
        self.session.swap(strategy)
        if before.bundle_sha not in ("", bundle_sha):
            self.previous = before
        self.bundle_sha = bundle_sha

    def turn(self, row_ts: int, now: Now, notes: Notes) -> Turn:
        """Close one row; what it brought is written down before an order leaves."""

        def note(turn: Turn) -> None:
            if turn.reports.size:
                notes.reports(self.place, row_ts, turn.reports)
            notes.decision(self.place, row_ts, turn.decision.record, turn.decision.intents)
            if turn.decision.intents.size:
                notes.flush()

        return close_row(self.session, self.gateway, row_ts, now, note)
