"""What the page is shown: views of runners, made when somebody asks, from what desks keep anyway.

A row costs one append. ``Watch.look`` takes in what has come, once a second and before a view is made; all of it runs
on the runner's own loop, between rows.
"""

import asyncio
import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from features.catalogue import catalogue
from live.desk import Desk
from live.desk_views import book_view, order_views
from live.desk_watch import DeskWatch
from live.plan import LivePlan
from live.runner import Runner
from live.views import (
    DeskLatency,
    FeaturesView,
    FeatureValue,
    JournalView,
    LineView,
    ModelView,
    OrdersView,
    PositionCurve,
    PositionsView,
    SignalsView,
    SymbolLine,
    SymbolView,
)
from market.book import BEST_ASK, BEST_BID, Book, is_open
from trading.decisions import Turn

LOOK_S: Final = 1.0


class Watch:
    """One symbol's runner, watched."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.desks = [DeskWatch(runner, desk) for desk in runner.desks]
        runner.audience.append(self)

    def row(self, plan: LivePlan, desk: Desk, turn: Turn) -> None:
        """One row of a desk."""
        self.desks[desk.place].recent.append(turn)

    def look(self) -> None:
        """Take in what has come since the last look."""
        for desk in self.desks:
            desk.look()

    def line(self) -> SymbolLine:
        """The symbol in a list."""
        runner, book, instrument = self.runner, self._book, self.runner.plan.instrument
        mid_ticks = 0.5 * float(book[2][BEST_BID] + book[2][BEST_ASK])
        return SymbolLine(
            symbol=instrument.name,
            venue=instrument.venue,
            connected=runner.connected,
            mid=instrument.price(mid_ticks) if is_open(book) else None,
            row_ts=runner.next_row_ts,
            position=sum(desk.session.position for desk in runner.desks) * instrument.lot_size,
            killed=any(desk.killed for desk in self.desks),
        )

    def view(self) -> SymbolView:
        """Everything that the page shows of the symbol."""
        self.look()
        runner, instrument = self.runner, self.runner.plan.instrument
        return SymbolView(
            symbol=instrument.name,
            venue=instrument.venue,
            venue_symbol=instrument.venue_symbol,
            price_decimals=_decimals(instrument.tick_size),
            quantity_decimals=_decimals(instrument.lot_size),
            quantity_unit="contracts" if instrument.inverse else instrument.base,
            now_ts=runner.stamps.now(),
            row_ts=runner.next_row_ts,
            uptime_s=runner.uptime_s,
            config_sha=runner.plan.config_sha,
            catalogue_sha=runner.plan.catalogue_sha,
            line=self._line(),
            journal=self._journal(),
            book=book_view(self._book, instrument),
            desks=tuple(desk.view() for desk in self.desks),
        )

    def features(self) -> FeaturesView:
        """The features of the newest second of rows, as models see them."""
        runner = self.runner
        session, parameters = runner.desks[0].session, runner.plan.features
        rows = session.forecasting.newest_rows(1_000 // parameters.row_interval_ms)
        valid = np.array([row[0] for row in rows if row[1]], np.float64)
        newest = rows[-1][0] if rows and rows[-1][1] else None
        return FeaturesView(
            symbol=runner.plan.instrument.name,
            catalogue_sha=runner.plan.catalogue_sha,
            row_ts=session.features.next_row_ts,
            rows=len(rows),
            valid_rows=len(valid),
            features=tuple(
                FeatureValue(
                    feature.name,
                    feature.unit,
                    feature.window_ms,
                    float(newest[column]) if newest is not None else None,
                    *(
                        (float(valid[:, column].mean()), float(valid[:, column].min()), float(valid[:, column].max()))
                        if len(valid)
                        else (None, None, None)
                    ),
                )
                for column, feature in enumerate(catalogue(parameters))
            ),
        )

    def signals(self) -> SignalsView:
        """The newest forecast of each desk."""
        self.look()
        found = (desk.signal() for desk in self.desks)
        return SignalsView(self.symbol, tuple(signal for signal in found if signal is not None))

    def orders(self) -> OrdersView:
        """Working orders and fills."""
        self.look()
        instrument = self.runner.plan.instrument
        working = tuple(order for desk in self.desks for order in order_views(desk.desk, instrument))
        fills = sorted((fill for desk in self.desks for fill in desk.fills), key=lambda fill: -fill.visible_ts)
        return OrdersView(self.symbol, working, tuple(fills))

    def positions(self) -> PositionsView:
        """Positions and equity curves."""
        self.look()
        return PositionsView(
            self.symbol, tuple(PositionCurve(desk.position(), tuple(desk.curve)) for desk in self.desks)
        )

    def models(self) -> tuple[ModelView, ...]:
        """The model of each desk."""
        plan = self.runner.plan
        return tuple(
            ModelView(
                symbol=self.symbol,
                desk=desk.name,
                policy=plan.desks[desk.place] if desk.place < len(plan.desks) else desk.name,
                bundle_sha=desk.bundle_sha,
                members=getattr(desk.session.strategy.forecaster, "members", 0),
                receptive_rows=desk.session.strategy.forecaster.receptive_rows,
                catalogue_sha=plan.catalogue_sha,
            )
            for desk in self.runner.desks
        )

    def latencies(self) -> tuple[DeskLatency, ...]:
        """Latencies of each desk."""
        self.look()
        return tuple(DeskLatency(self.symbol, desk.desk.name, desk.latency()) for desk in self.desks)

    @property
    def symbol(self) -> str:
        """The instrument's name."""
        return self.runner.plan.instrument.name

    @property
    def _book(self) -> Book:
        return self.runner.desks[0].session.features.book

    def _line(self) -> LineView:
        runner = self.runner
        newest = max((int(desk.newest["ingest_ts"][0]) for desk in self.desks if desk.newest is not None), default=0)
        return LineView(
            connected=runner.connected,
            waiting_snapshot=runner.needs_snapshot(),
            newest_ts=newest,
            age_ms=(runner.stamps.now() - newest) / 1e6 if newest else None,
            gap_ratio=runner.line.gap_ratio,
            malformed=runner.reader.malformed,
            disconnects=runner.line.disconnects,
        )

    def _journal(self) -> JournalView:
        journal = self.runner.journal
        return JournalView(not journal.failed, *journal.position, self.runner.resumed)


def _decimals(step: float) -> int:
    """Digits behind the point that a step needs.

    >>> _decimals(0.1), _decimals(1.0), _decimals(1e-8)
    (1, 0, 8)
    """
    return max(0, math.ceil(-math.log10(step) - 1e-9))


async def keep_looking(watches: Iterable[Watch]) -> None:
    """Look once a second, so that nothing is missed while nobody asks; until cancelled."""
    while True:
        for watch in watches:
            watch.look()
        await asyncio.sleep(LOOK_S)
