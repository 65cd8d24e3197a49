"""What a session works with: a model, books, a venue, and the strategy that names them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from market.events import Events
from market.orders import Reports
from modeling.certainty import Certainty

Now = Callable[[], int]  # this instant, ns UTC: a clock, or what a journal or a latency model says


class Forecaster(Protocol):
    """A model that is shown one row at a time; the last place of a forecast says whether it may be used."""

    receptive_rows: int  # consecutive rows that a forecast depends on

    def new_state(self) -> Any:
        """Memory before the first row."""

    def step(self, state: Any, values: NDArray[np.float32], valid: bool) -> NDArray[np.float32]:
        """Forecast after one more row."""


class Books(Protocol):
    """Where fills become money; ``backtest.ledger.Ledger`` is one."""

    @property
    def cash(self) -> float:
        """Settlement currency, the position not valued."""

    @property
    def funding(self) -> float:
        """Paid less received so far, settlement currency."""

    def on_events(self, events: Events) -> None:
        """Book what the market's events bring: funding."""

    def book_fill(self, side: int, price_ticks: int, lots: int, fee_fraction: float) -> None:
        """Book one fill."""

    def equity(self, mark_ticks: float) -> float:
        """Settlement currency, the position valued at a mark in ticks."""

    def dump(self) -> dict[str, NDArray[Any]]:
        """The whole state as arrays."""

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a ``dump``."""


class Gateway(Protocol):
    """Where orders go and reports come from: the simulated venue, a paper account, an exchange."""

    def on_events(self, events: Events) -> None:
        """What the market did; a real venue knows it already."""

    def reports(self, until: int) -> Reports:
        """Reports that are visible by ``until`` (ns UTC), each handed out once."""

    def place(self, order_id: int, side: int, price: int, qty: int, tif: int, sent_ts: int) -> None:
        """Send an order."""

    def cancel(self, order_id: int, sent_ts: int) -> None:
        """Ask for an order to be cancelled."""


class Strategy(NamedTuple):
    """Who decides: a model, where its traded cell lies in the forecast, the rules, the fees of our tier, and how sure
    the model was of that cell when it was made."""

    forecaster: Forecaster
    columns: NDArray[np.intp]  # shape (7,): probabilities of down, none, up, the return of each, the members' spread
    limits: NDArray[np.float64]  # see trading/limits.py
    maker_fee: float  # fractions of notional
    taker_fee: float
    certainty: Certainty | None = None
