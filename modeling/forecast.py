"""What a forecast holds and where: the cells, the classes and the fixed layout that every model writes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.errors import ModelError

Floats = NDArray[np.float32]

DOWN: Final = 0  # place of a class in a forecast: the label's code plus one
NO_TRADE: Final = 1
UP: Final = 2
CLASSES: Final = 3


class Cell(NamedTuple):
    """One question asked of a model: does a trade pay this round-trip fee over this horizon?"""

    horizon_ms: int
    budget_bp: float

    @property
    def name(self) -> str:
        """Short and safe for file names and metrics.

        >>> Cell(250, 3.4).name
        'h250_b3.4'
        """
        return f"h{self.horizon_ms}_b{self.budget_bp:g}"


@dataclass(frozen=True)
class ForecastShape:
    """Layout of a forecast: three probabilities a cell, three conditional returns a horizon [bp], a spread a cell [bp],
    then ready (1 or 0).

    Classes come as DOWN, NO_TRADE, UP. A horizon's classes are those of its cheapest cell. A spread is the standard
    deviation, over the members of an ensemble, of the return that each expects; 0 where one model speaks alone.
    Where ``ready`` is 0 every other number is 0 as well and means nothing.
    """

    cells: tuple[Cell, ...]

    def __post_init__(self) -> None:
        if not self.cells or len(set(self.cells)) != len(self.cells):
            raise ModelError(f"cells={[cell.name for cell in self.cells]} must be distinct, and at least one")

    @cached_property
    def horizons_ms(self) -> tuple[int, ...]:
        """The horizons of the cells, shortest first."""
        return tuple(sorted({cell.horizon_ms for cell in self.cells}))

    @cached_property
    def anchors(self) -> tuple[int, ...]:
        """For each horizon the place of its cheapest cell, whose classes condition its returns."""
        by_budget = sorted(range(len(self.cells)), key=lambda place: self.cells[place].budget_bp, reverse=True)
        cheapest = {self.cells[place].horizon_ms: place for place in by_budget}
        return tuple(cheapest[horizon] for horizon in self.horizons_ms)

    @cached_property
    def horizon_of_cell(self) -> tuple[int, ...]:
        """For each cell the place of its horizon."""
        return tuple(self.horizons_ms.index(cell.horizon_ms) for cell in self.cells)

    @property
    def size(self) -> int:
        """Numbers in one forecast."""
        return self._spreads + len(self.cells) + 1

    @property
    def _spreads(self) -> int:
        """Place of the first spread, behind the returns."""
        return CLASSES * (len(self.cells) + len(self.horizons_ms))

    def probability_at(self, cell: Cell) -> int:
        """Place of a cell's first probability.

        Raises ModelError if the model does not answer for that cell.
        """
        if cell not in self.cells:
            raise ModelError(f"no cell {cell.name} in this model; it has {[known.name for known in self.cells]}")
        return CLASSES * self.cells.index(cell)

    def return_at(self, horizon_ms: int) -> int:
        """Place of a horizon's first conditional return.

        Raises ModelError if the model does not answer for that horizon.
        """
        if horizon_ms not in self.horizons_ms:
            raise ModelError(f"no horizon {horizon_ms} ms in this model; it has {list(self.horizons_ms)}")
        return CLASSES * (len(self.cells) + self.horizons_ms.index(horizon_ms))

    def spread_at(self, cell: Cell) -> int:
        """Place of a cell's spread.

        Raises ModelError if the model does not answer for that cell.
        """
        return self._spreads + self.probability_at(cell) // CLASSES

    def probabilities(self, forecasts: Floats) -> Floats:
        """Probabilities of a table of forecasts, shape (rows, cells, 3)."""
        return forecasts[:, : CLASSES * len(self.cells)].reshape(len(forecasts), len(self.cells), CLASSES)

    def returns_bp(self, forecasts: Floats) -> Floats:
        """Conditional gross returns of a table of forecasts, shape (rows, horizons, 3)."""
        table = forecasts[:, CLASSES * len(self.cells) : self._spreads]
        return table.reshape(len(forecasts), len(self.horizons_ms), CLASSES)

    def spreads_bp(self, forecasts: Floats) -> Floats:
        """How far the members of a table of forecasts are apart, shape (rows, cells)."""
        return forecasts[:, self._spreads : -1]

    def ready(self, forecasts: Floats) -> NDArray[np.bool_]:
        """Which rows of a table of forecasts may be used."""
        return forecasts[:, -1] == 1.0

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, the inverse of ``from_dict``."""
        return {"cells": [[cell.horizon_ms, cell.budget_bp] for cell in self.cells]}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "ForecastShape":
        """The shape that ``as_dict`` wrote."""
        return cls(tuple(Cell(int(horizon), float(budget)) for horizon, budget in stored["cells"]))
