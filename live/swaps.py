"""Models that wait for their desk to be flat; a desk is never forced, and a swap nobody waits for is forgotten."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from live.desk import Desk, Model
from market.errors import ModelError, StoppingError

STOPPING: Final = "the runner is stopping"


class _Waiting(NamedTuple):
    model: Model
    done: "asyncio.Future[str]"


class Swaps:
    """At most one waiting model a desk; each is swapped in at the first row that finds its desk flat."""

    def __init__(self, desks: Sequence[Desk], note: Callable[[Desk, int], None]) -> None:
        """``note`` writes down which model a desk decides with from a row (ns UTC) on."""
        self._desks = desks
        self._note = note
        self._waiting: dict[int, _Waiting] = {}
        self._stopped = False

    async def swap(self, place: int, model: Model, patience_s: float) -> str:
        """Wait for the desk to be flat and decide with ``model``; returns the sha that then decides.

        Raises ModelError if no row finds the desk flat within ``patience_s``, if another model waits for it, if there
        is no such desk, or if the runner stops.
        """
        desk = self._desk(place)
        if self._stopped:
            raise StoppingError(STOPPING)
        if place in self._waiting:
            raise ModelError("another model is waiting to be swapped in")
        waiting = _Waiting(model, asyncio.get_running_loop().create_future())
        self._waiting[place] = waiting
        try:
            await asyncio.wait([waiting.done], timeout=patience_s)
        finally:
            if self._waiting.get(place) is waiting:
                del self._waiting[place]
        if not waiting.done.done():
            held = desk.session.position
            raise ModelError(f"no row found the desk flat within {patience_s} s; it holds {held} lots")
        return waiting.done.result()

    async def roll_back(self, place: int, patience_s: float) -> str:
        """Swap the model back in that decided before, as ``swap`` does: it is still in memory, nothing is compiled.

        Raises ModelError as ``swap``, and if no other model decided before.
        """
        return await self.swap(place, self._previous(place), patience_s)

    def previous_sha(self, place: int) -> str:
        """Sha of the model that a rollback would bring back. Raises ModelError if there is none."""
        return self._previous(place).bundle_sha

    def at_row(self, row_ts: int) -> None:
        """Swap what waits for a desk that is flat and has this row to decide next."""
        for place, waiting in list(self._waiting.items()):
            desk = self._desks[place]
            if desk.session.next_row_ts != row_ts or not desk.session.flat:
                continue
            del self._waiting[place]
            desk.deploy(*waiting.model)
            self._note(desk, row_ts)
            waiting.done.set_result(waiting.model.bundle_sha)

    def stop(self) -> None:
        """Refuse whoever waits, and whoever comes."""
        self._stopped = True
        for waiting in self._waiting.values():
            waiting.done.set_exception(StoppingError(STOPPING))
        self._waiting.clear()

    def _previous(self, place: int) -> Model:
        previous = self._desk(place).previous
        if previous is None:
            raise ModelError("no other model has decided here before: there is nothing to roll back to")
        return previous

    def _desk(self, place: int) -> Desk:
        if place >= len(self._desks):
            raise ModelError("this runner has no desk for a challenger; live.challenger says so")
        return self._desks[place]
