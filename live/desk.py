"""A desk: one strategy's session with its account at a venue, turned row by row, written down before it acts."""

from typing import Any, NamedTuple, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from market.orders import Reports
from trading import account as own
from trading.decisions import Turn
from trading.ports import Gateway, Now, Strategy
from trading.session import Session, close_row, skip_row, take_ahead
from trading.strategy import is_missing


class Notes(Protocol):
    """Where a desk writes down what it saw and decided; ``storage.journal.JournalWriter`` is one."""

    def decision(self, desk: int, row_ts: int, record: NDArray[np.void], intents: NDArray[np.void]) -> None:
        """Note a decision and its orders."""

    def reports(self, desk: int, row_ts: int, reports: Reports) -> None:
        """Note the reports that a row saw."""

    def flush(self) -> None:
        """Return when the kernel has everything noted so far."""


class Recalling(Protocol):
    """A gateway whose reports come from outside: a replay tells it those of the journal."""

    def hear(self, reports: Reports) -> None:
        """Take reports that were heard before."""


def recalls(gateway: Gateway) -> TypeGuard[Recalling]:
    """Whether a gateway is one of these; by name, since a replay asks at every row and ``isinstance`` takes 10 us."""
    return hasattr(gateway, "hear")


class Model(NamedTuple):
    """A bundle that is ready to decide: read, proved and warm."""

    strategy: Strategy
    bundle_sha: str


class DeskGateway(Gateway, Protocol):
    """A gateway whose state is kept with its desk's."""

    def dump(self) -> dict[str, NDArray[Any]]:
        """The whole state as arrays."""

    def load(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Go on from a ``dump``."""


class Desk:
    """One strategy of the runner; ``place`` is its number in the journal."""

    def __init__(self, name: str, place: int, session: Session, gateway: DeskGateway) -> None:
        self.name = name
        self.place = place
        self.session = session
        self.gateway = gateway
        self.idle = session.strategy  # decides where no model does
        self.bundle_sha = ""  # of the model in force, empty where there is none
        self.stood_aside = False  # its model is gone, and no other has decided since
        self.previous: Model | None = None  # what decided before it, kept hot for a rollback

    @property
    def resting(self) -> bool:
        """Whether an order waits at the venue that we have not asked to be cancelled."""
        return bool((self.session.account[0][:, own.STATE] == own.RESTING).any())

    def deploy(self, strategy: Strategy, bundle_sha: str) -> None:
        """Decide with another model from the next row on. Raises ModelError unless flat."""
        before = Model(self.session.strategy, self.bundle_sha)
        self.session.swap(strategy)
        if before.bundle_sha not in ("", bundle_sha):
            self.previous = None if is_missing(before.strategy) else before
        self.bundle_sha = bundle_sha
        self.stood_aside = False

    def stand_aside(self) -> None:
        """Decide without a model from the next row on, whatever is held."""
        self.session.stand_aside(self.idle)
        self.bundle_sha = ""
        self.stood_aside = True

    def cancel_unrecorded(self, ts: int) -> None:
        """Ask for every working order to be cancelled, though nobody can write that down any more."""
        orders = self.session.account[0]
        for order_id in orders[orders[:, own.STATE] != own.FREE, own.ORDER_ID].tolist():
            self.gateway.cancel(order_id, ts)

    def recall(self, reports: Reports) -> None:
        """Let the next row see the journal's reports where they cannot be made again: an exchange told them."""
        if recalls(self.gateway):
            self.gateway.hear(reports)

    def look_ahead(self) -> None:
        """Take in what has come of the open row, and forecast once for nothing, so that its close finds all at hand."""
        take_ahead(self.session, self.gateway)
        self.session.forecasting.rehearse()

    def turn(self, row_ts: int, now: Now, notes: Notes) -> Turn:
        """Close one row; what it brought is written down before an order leaves."""
        return close_row(self.session, self.gateway, row_ts, now, lambda turn: self._note(turn, row_ts, notes))

    def skip(self, row_ts: int, now: Now, notes: Notes) -> Turn:
        """Close one row without a decision, for want of time; that is written down, too."""
        return skip_row(self.session, self.gateway, row_ts, now, lambda turn: self._note(turn, row_ts, notes))

    def _note(self, turn: Turn, row_ts: int, notes: Notes) -> None:
        if turn.reports.size:
            notes.reports(self.place, row_ts, turn.reports)
        notes.decision(self.place, row_ts, turn.decision.record, turn.decision.intents)
        if turn.decision.intents.size:
            notes.flush()
