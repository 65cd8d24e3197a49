"""One account over many instruments: cash by settlement currency, and the margin that orders and positions need."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from backtest.latency import LatencyModel
from backtest.ledger import Ledger
from backtest.parameters import VenueParameters
from backtest.venue import SimulatedVenue
from market.book import BEST_ASK, BEST_BID, VALID
from market.errors import BacktestError
from market.events import BUY, Events
from market.instrument import Instrument
from market.orders import ENDED, FILL, NO_MARGIN, NO_REASON, Reports


@dataclass
class Holding:
    """What the account knows of one instrument: acknowledged fills, and orders not known to be done."""

    instrument: Instrument
    ledger: Ledger
    margin: float  # initial margin, fraction of notional
    working: dict[int, tuple[int, int]] = field(default_factory=dict)  # order id -> side, lots that may still fill
    mark_ticks: float = 0.0

    def most_lots(self, side: int = 0, qty: int = 0) -> int:
        """Lots of the largest position that working orders, and one more order, could still lead to."""
        orders = [*self.working.values(), (side, qty)]
        bought = sum(lots for way, lots in orders if way == BUY)
        sold = sum(lots for way, lots in orders if way == -BUY)
        return max(abs(self.ledger.position + bought), abs(self.ledger.position - sold))

    def margin_for(self, lots: int, ticks: float) -> float:
        """Initial margin of a position, settlement currency."""
        return self.margin * self.instrument.notional(ticks, lots) if lots else 0.0


class Portfolio:
    """Deposits, and a ledger for each instrument that was opened.

    Spot is bought, and sold short, against its whole value: its margin is 1, whatever the others' is.
    """

    def __init__(self, deposits: Mapping[str, float], initial_margin: float) -> None:
        """``deposits`` by settlement currency; ``initial_margin`` a fraction of notional in (0, 1], of derivatives.

        Raises BacktestError if either is out of its range.
        """
        if not 0 < initial_margin <= 1:
            raise BacktestError(f"initial_margin={initial_margin} is outside (0, 1]")
        for currency, amount in deposits.items():
            if not 0 <= amount < float("inf"):
                raise BacktestError(f"a deposit of {amount} {currency} is below 0 or not finite")
        self.deposits = dict(deposits)
        self.holdings: dict[str, Holding] = {}
        self._initial_margin = initial_margin

    def open(
        self, instrument: Instrument, parameters: VenueParameters, latency: LatencyModel | None = None
    ) -> "PortfolioGateway":
        """A venue for one more instrument, whose orders this account has to carry.

        Raises BacktestError if it is open already.
        """
        if instrument.name in self.holdings:
            raise BacktestError(f"{instrument.name} is open already")
        margin = 1.0 if instrument.contract == "spot" else self._initial_margin
        holding = Holding(instrument, Ledger(instrument), margin)
        self.holdings[instrument.name] = holding
        return PortfolioGateway(self, holding, parameters, latency)

    def cash(self, currency: str) -> float:
        """Deposit and flows of all fills less fees and funding: equity without the positions' value."""
        return self.deposits.get(currency, 0.0) + sum(one.ledger.cash for one in self._in(currency))

    def equity(self, currency: str) -> float:
        """Deposit and profit after fees and funding, positions valued at their marks."""
        return self.deposits.get(currency, 0.0) + sum(one.ledger.equity(one.mark_ticks) for one in self._in(currency))

    def margin(self, currency: str) -> float:
        """Initial margin that positions and working orders of a currency need, at their marks."""
        return sum(one.margin_for(one.most_lots(), one.mark_ticks) for one in self._in(currency))

    def refusal(self, holding: Holding, side: int, price: int, qty: int) -> int:
        """NO_MARGIN if the account could not carry what the order may lead to; less risk is always let through."""
        before, after = holding.most_lots(), holding.most_lots(side, qty)
        ticks = dearest(holding.instrument, price, holding.mark_ticks)
        if after <= before or not ticks > 0:
            return NO_REASON
        currency = holding.instrument.settlement
        needed = self.margin(currency) + holding.margin_for(after, ticks)
        needed -= holding.margin_for(before, holding.mark_ticks)
        return NO_MARGIN if needed > self.equity(currency) else NO_REASON

    def _in(self, currency: str) -> list[Holding]:
        return [one for one in self.holdings.values() if one.instrument.settlement == currency]


def dearest(instrument: Instrument, price: int, mark_ticks: float) -> float:
    """Of an order's limit and the mark, the price in ticks at which its lots are worth more; 0 where neither is known.

    A coin contract is worth fewer coins the higher its price, so that its lower price counts.

    >>> coin = Instrument("v-x", "v", "x", "inverse", 1.0, 1.0, 1.0, "BTC", "USD")
    >>> dearest(coin, 900, 100.0), dearest(coin, 90, 100.0), dearest(coin, 0, 100.0)
    (100.0, 90.0, 100.0)
    """
    known = [ticks for ticks in (float(price), mark_ticks) if ticks > 0] or [0.0]
    return min(known) if instrument.inverse else max(known)


class PortfolioGateway:
    """A simulated venue as an account sees it: it refuses what the account cannot carry, and books what it reports.

    Margin is judged when an order leaves us, on what we know by then: fills reported, and every order not known to be
    done counted as if it would fill. The refusal comes back as the venue's reject.
    """

    def __init__(
        self, portfolio: Portfolio, holding: Holding, parameters: VenueParameters, latency: LatencyModel | None = None
    ) -> None:
        self.venue = SimulatedVenue(holding.instrument, parameters, latency, self)
        self.holding = holding
        self._portfolio = portfolio

    @property
    def instrument(self) -> Instrument:
        """What it trades."""
        return self.holding.instrument

    @property
    def tallies(self) -> dict[str, int]:
        """The venue's."""
        return self.venue.tallies

    def refusal(self, side: int, price: int, qty: int) -> int:
        """Why the account may not send an order, NO_REASON if it may."""
        return self._portfolio.refusal(self.holding, side, price, qty)

    def on_events(self, events: Events) -> None:
        """Show venue and ledger the market, and mark the position at its mid."""
        self.venue.on_events(events)
        self.holding.ledger.on_events(events)
        head = self.venue.book[2]
        if head[VALID] and 0 < head[BEST_BID] < head[BEST_ASK]:
            self.holding.mark_ticks = 0.5 * (int(head[BEST_BID]) + int(head[BEST_ASK]))

    def place(self, order_id: int, side: int, price: int, qty: int, tif: int, sent_ts: int) -> None:
        """Send an order."""
        self.venue.place(order_id, side, price, qty, tif, sent_ts)
        self.holding.working.setdefault(order_id, (side, max(qty, 0)))

    def cancel(self, order_id: int, sent_ts: int) -> None:
        """Send a cancel."""
        self.venue.cancel(order_id, sent_ts)

    def modify(self, order_id: int, price: int, qty: int, sent_ts: int) -> None:
        """Raises BacktestError: an account judges margin when an order leaves, and no policy modifies one."""
        raise BacktestError(f"order {order_id} cannot be modified under an account: cancel it and place another")

    def reports(self, until: int) -> Reports:
        """Reports visible by ``until`` (ns UTC), booked."""
        reports = self.venue.reports(until)
        for report in reports:
            self._book(report)
        return reports

    def _book(self, report: np.void) -> None:
        kind, order_id, leaves = int(report["kind"]), int(report["order_id"]), int(report["leaves"])
        working, fees = self.holding.working, self.venue.parameters.fees
        if kind == FILL:
            fee = fees[0] if report["maker"] else fees[1]
            self.holding.ledger.book_fill(int(report["side"]), int(report["price"]), int(report["qty"]), fee)
        if order_id in working and (kind in ENDED or kind == FILL):
            working[order_id] = working[order_id][0], leaves
            if leaves == 0:
                del working[order_id]
