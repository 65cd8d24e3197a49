"""The model that stands in on the champion's desk: kept hot beside it, it decides where no champion can."""

from collections.abc import Callable
from typing import Final

from live.desk import Desk, Model
from trading.account import DEGENERATE

UNFIT: Final = ("corrupt", "catalogue", "model", "slow")  # refusals of an approved bundle that cannot serve here


class Fallback:
    """Takes the desk over once its champion was refused while no other decided, or its forecasts have latched it.

    Never before the desk is flat, and never past a kill.
    """

    def __init__(self, desk: Desk, note: Callable[[Desk, int], None]) -> None:
        """``note`` writes down which model the desk decides with from a row (ns UTC) on."""
        self._desk = desk
        self._note = note
        self._model: Model | None = None
        self._refused = False

    @property
    def bundle_sha(self) -> str:
        """Of the model that is kept, empty while there is none."""
        return self._model.bundle_sha if self._model else ""

    def keep(self, model: Model) -> None:
        """Keep a model hot in place of the one before."""
        self._model = model

    def champion_refused(self, code: str) -> None:
        """Learn that a champion was pushed and refused, and why; one that never was ours to serve changes nothing."""
        self._refused = self._refused or code in UNFIT

    def at_row(self, row_ts: int) -> None:
        """Take the desk over from this row on, if it is called for; without a model the desk stands aside."""
        desk, model = self._desk, self._model
        if model is None or not self._called_for() or desk.session.next_row_ts != row_ts or not desk.session.flat:
            return
        self._refused = False
        desk.deploy(*model)
        self._note(desk, row_ts)

    def _called_for(self) -> bool:
        if not self._desk.bundle_sha:
            return self._refused
        return bool(self._desk.session.account[1][DEGENERATE]) and self._desk.bundle_sha != self.bundle_sha
