"""What a strategy would have earned on other terms: fee, latency, size and queue; every point is a run of its own.

A point decides afresh under its terms: a policy that knows a fee trades less where the fee is higher.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, Final, NamedTuple

import polars as pl

from backtest.compiled import Compiled, Known, Terms, run_compiled
from backtest.latency import slower
from backtest.parameters import QUEUE_MODELS, VenueParameters
from backtest.runs import Asked, Run, judged
from features.parameters import FeatureParameters
from market.costs import leg_fee
from modeling.certainty import Certainty
from modeling.forecast import Cell, Floats, ForecastShape
from trading.limits import limits_of
from trading.parameters import PolicyKind, TradingParameters
from trading.ports import Strategy
from trading.strategy import forecast_columns

PESSIMISTIC: Final = "risk_averse"
OPTIMISTIC: Final = "front"
SHOWN: Final = ("fills", "round_trips", "hit_rate", "average_r_bp", "volume", "net", "net_bp", "max_drawdown")


@dataclass(frozen=True, slots=True)
class Point:
    """Terms that differ from those in force."""

    fee_bp: float | None  # of a round trip, both legs alike; None: maker's and taker's as configured
    latency: float  # times the configured legs
    size: float  # times the configured caps and order sizes
    queue_model: str | None = None  # None: as configured
    head_bp: float | None = None  # fee budget of the class head that decides; None: the traded one


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that a run of one model is made of but the market and the forecasts."""

    terms: Terms
    trading: TradingParameters
    kind: PolicyKind
    features: FeatureParameters
    shape: ForecastShape  # of the forecasts
    asked: Asked
    certainty: Certainty | None = None  # of the model, fitted for one cell

    def at(self, point: Point) -> "Desk":
        """The same desk on the terms of a point."""
        return replace(
            self,
            terms=self.terms._replace(
                venue=venue_at(self.terms.venue, point),
                infer_latency_ns=round(self.terms.infer_latency_ns * point.latency),
                latency=slower(self.terms.latency, point.latency) if self.terms.latency else None,
            ),
            trading=scaled(self._listening(point.head_bp), point.size),
        )

    def has_head(self, budget_bp: float) -> bool:
        """Whether the model has the class head of a fee budget at the traded horizon."""
        return Cell(self.trading.horizon_ms, float(budget_bp)) in self.shape.cells

    def _listening(self, head_bp: float | None) -> TradingParameters:
        return self.trading if head_bp is None else replace(self.trading, budget_bp=head_bp)

    @property
    def strategy(self) -> Strategy:
        """The rules, over forecasts that are known. Raises ModelError if the model has none for the traded cell."""
        venue, cell = self.terms.venue, Cell(self.trading.horizon_ms, float(self.trading.budget_bp))
        limits = limits_of(self.trading, self.terms.instrument, self.kind, venue.fees)
        certainty = self.certainty if self.certainty and self.certainty.cell == cell else None
        return Strategy(Known(), forecast_columns(self.shape, cell), limits, *venue.fees, certainty)


class Grid(NamedTuple):
    """The points of a surface: every fee at every latency and size."""

    fees_bp: Sequence[float]
    latencies: Sequence[float]
    sizes: Sequence[float]

    @property
    def points(self) -> list[Point]:
        """In the order of the fields, the last changing fastest."""
        terms = product(self.fees_bp, self.latencies, self.sizes)
        return [Point(float(fee), float(latency), float(size)) for fee, latency, size in terms]


def venue_at(venue: VenueParameters, point: Point) -> VenueParameters:
    """The venue on the terms of a point."""
    fees: dict[str, Any] = {}
    if point.fee_bp is not None:
        fees = dict.fromkeys(("maker_fee", "taker_fee"), leg_fee(point.fee_bp))
    legs: dict[str, Any] = {key: getattr(venue, key) * point.latency for key in ("order_latency_ms", "ack_latency_ms")}
    queue: dict[str, Any] = {} if point.queue_model is None else {"queue_model": point.queue_model}
    return replace(venue, **fees, **legs, **queue)


def scaled(trading: TradingParameters, size: float) -> TradingParameters:
    """The same rules for positions ``size`` times as large: caps, order sizes and the drawdown that stops them."""
    return replace(
        trading,
        sizing=replace(trading.sizing, risk_cap_usd=trading.sizing.risk_cap_usd * size),
        risk=replace(
            trading.risk,
            max_position_usd=trading.risk.max_position_usd * size,
            max_drawdown_usd=trading.risk.max_drawdown_usd * size,
        ),
        probe=replace(trading.probe, order_usd=trading.probe.order_usd * size),
        quote=replace(
            trading.quote,
            order_usd=trading.quote.order_usd * size,
            inventory_usd=trading.quote.inventory_usd * size,
        ),
    )


def run_desk(name: str, desk: Desk, compiled: Compiled, forecasts: Floats) -> Run:
    """A desk's run over a compiled stretch, with its figures."""
    trace = run_compiled(compiled, forecasts, desk.strategy, desk.terms, desk.features)
    return judged(name, trace, compiled, desk.terms, desk.asked)


def figures_at(desk: Desk, compiled: Compiled, forecasts: Floats, point: Point) -> dict[str, Any]:
    """One row of a surface: the point's terms, and the figures of its run."""
    run = run_desk("", desk.at(point), compiled, forecasts)
    found = run.performance.as_dict()
    return asdict(point) | {name: found[name] for name in SHOWN}


Sweep = Callable[[Iterable[Point]], list[dict[str, Any]]]


def each_once(sweep: Sweep) -> Sweep:
    """A sweep that runs no point twice."""
    known: dict[Point, dict[str, Any]] = {}

    def remembered(points: Iterable[Point]) -> list[dict[str, Any]]:
        wanted = list(points)
        fresh = [point for point in dict.fromkeys(wanted) if point not in known]
        known.update(zip(fresh, sweep(fresh), strict=True))
        return [known[point] for point in wanted]

    return remembered


def surface(sweep: Sweep, grid: Grid) -> pl.DataFrame:
    """A row a point of the grid, see SHOWN; ``sweep`` runs points here or in other processes."""
    return point_frame(sweep(grid.points)).drop("queue_model", "head_bp")


def band_points() -> list[Point]:
    """The terms in force under every queue model, from the most pessimistic to the most optimistic."""
    ends = (PESSIMISTIC, OPTIMISTIC)
    between = sorted(name for name in QUEUE_MODELS if name not in ends)
    return [Point(None, 1.0, 1.0, name) for name in (PESSIMISTIC, *between, OPTIMISTIC) if name in QUEUE_MODELS]


def queue_band(sweep: Sweep) -> pl.DataFrame:
    """A row a queue model, see ``band_points``."""
    frame = point_frame(sweep(band_points())).drop("fee_bp", "latency", "size", "head_bp")
    return frame.select("queue_model", *SHOWN)


def budget_points(desk: Desk, budgets_bp: Sequence[float]) -> list[Point]:
    """The terms in force at other fees, each by the class head of its own budget where the model has that one."""
    own = [fee if desk.has_head(fee) and fee != desk.trading.budget_bp else None for fee in map(float, budgets_bp)]
    return [Point(float(fee), 1.0, 1.0, head_bp=head) for fee, head in zip(budgets_bp, own, strict=True)]


def budgets(sweep: Sweep, desk: Desk, run: Run, budgets_bp: Sequence[float]) -> pl.DataFrame:
    """A row a fee budget: what the run's own fills would have earned at it, and what deciding afresh at it earns.

    ``head_bp`` is the budget of the class head that decided: its own, or the traded one where the model has no other.
    """
    afresh = point_frame(sweep(budget_points(desk, budgets_bp))).drop("latency", "size", "queue_model")
    afresh = afresh.with_columns(pl.col("head_bp").fill_null(float(desk.trading.budget_bp)))
    gross, volume = run.performance.net + run.performance.fees, run.performance.volume
    same = [1e4 * (gross / volume - leg_fee(fee)) if volume else None for fee in budgets_bp]
    return afresh.insert_column(1, pl.Series("same_fills_net_bp", same, pl.Float64))


def point_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of ``figures_at`` as a table."""
    counts = dict.fromkeys(("fills", "round_trips"), pl.Int64)
    names = [*Point.__dataclass_fields__, *SHOWN]
    kinds = dict.fromkeys(names, pl.Float64) | counts | {"queue_model": pl.String}
    return pl.DataFrame(rows, schema=kinds)
