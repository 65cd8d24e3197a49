"""What the API says, as frozen dataclasses: prices in quote currency, quantities in the venue's unit, times in ns UTC.

They are the response models of OpenAPI and the messages of the stream; a number that is not known is null.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Level:
    """One price of the book."""

    price: float
    quantity: float


@dataclass(frozen=True, slots=True)
class BookView:
    """The best levels of our own book, best first."""

    open: bool
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    mid: float | None
    spread_bp: float | None


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of the newest rows, ms."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    rows: int


@dataclass(frozen=True, slots=True)
class LatencyView:
    """From the three clocks of the newest decisions."""

    feed: Percentiles | None  # the venue matched it -> we received it
    batch: Percentiles | None  # the row closed -> we decided
    total: Percentiles | None  # we received the newest event -> we decided


@dataclass(frozen=True, slots=True)
class GateView:
    """One gate, as ``trading.lights`` sees it now."""

    name: str
    light: Literal["green", "amber", "red"]
    reason: str  # empty where it is green
    value: float | None
    limit: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class SignalView:
    """What a desk's newest decision forecast for the traded horizon, bp and probabilities."""

    desk: str
    row_ts: int
    ready: bool
    horizon_ms: int
    p_down: float | None
    p_none: float | None
    p_up: float | None
    confidence: float | None  # largest of the three
    mu_bp: float | None
    sigma_bp: float | None
    lower_bp: float | None  # interval of the return, as the decision recorded it
    upper_bp: float | None
    spread_bp: float | None  # of the members' expected returns
    classes: tuple[str, ...]  # of the conformal set
    cost_bp: float | None  # of a round trip


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order that works."""

    desk: str
    order: str  # DESK-NUMBER, as ``/explain`` takes it
    side: Literal["buy", "sell"]
    price: float
    left: float  # quantity
    state: str
    sent_ts: int


@dataclass(frozen=True, slots=True)
class FillView:
    """A fill that this process saw."""

    desk: str
    order: str
    side: Literal["buy", "sell"]
    price: float
    quantity: float
    maker: bool
    venue_ts: int
    visible_ts: int


@dataclass(frozen=True, slots=True)
class PositionView:
    """What a desk holds."""

    desk: str
    lots: int
    quantity: float
    target_lots: int
    target: float
    equity: float | None  # settlement currency, since the account was opened, marked at mid
    settlement: str


@dataclass(frozen=True, slots=True)
class DeskView:
    """One strategy of a symbol."""

    name: str
    policy: str
    gateway: str  # where its orders go: paper, shadow or exchange
    bundle_sha: str  # empty before the first model
    reason: str  # of the newest decision; empty before the first
    halvings: int
    capped: bool
    killed: bool
    position: PositionView
    signal: SignalView | None
    gates: tuple[GateView, ...]
    latency: LatencyView
    orders: tuple[OrderView, ...]
    fills: tuple[FillView, ...]  # the newest first


@dataclass(frozen=True, slots=True)
class LineView:
    """The line to the venue."""

    connected: bool
    waiting_snapshot: bool
    newest_ts: int  # when the newest event came
    age_ms: float | None  # since then
    gap_ratio: float  # of frames since the start
    malformed: int
    disconnects: int


@dataclass(frozen=True, slots=True)
class JournalView:
    """The journal that is written to."""

    healthy: bool
    segment: str
    segment_bytes: int
    resumed_decisions: int


@dataclass(frozen=True, slots=True)
class SymbolView:
    """Everything that the page shows of one symbol."""

    symbol: str
    venue: str
    venue_symbol: str
    price_decimals: int
    quantity_decimals: int
    quantity_unit: str
    now_ts: int
    row_ts: int  # the row that is open
    uptime_s: float
    config_sha: str
    catalogue_sha: str
    line: LineView
    journal: JournalView
    book: BookView
    desks: tuple[DeskView, ...]


@dataclass(frozen=True, slots=True)
class SymbolLine:
    """One symbol in a list."""

    symbol: str
    venue: str
    connected: bool
    mid: float | None
    row_ts: int
    position: float  # of all desks, quantity
    killed: bool


@dataclass(frozen=True, slots=True)
class Pulse:
    """One message of the stream."""

    sequence: int
    symbols: tuple[SymbolLine, ...]
    view: SymbolView | None  # of the symbol that was asked for


@dataclass(frozen=True, slots=True)
class FeatureValue:
    """One feature: as the model saw it, now and over the newest second of rows."""

    name: str
    unit: str
    window_ms: int
    value: float | None  # normalised, on the newest row
    mean: float | None
    least: float | None
    most: float | None


@dataclass(frozen=True, slots=True)
class FeaturesView:
    """A symbol's features, aggregated over its newest rows."""

    symbol: str
    catalogue_sha: str
    row_ts: int
    rows: int
    valid_rows: int
    features: tuple[FeatureValue, ...]


@dataclass(frozen=True, slots=True)
class SignalsView:
    """The newest forecast of each desk."""

    symbol: str
    signals: tuple[SignalView, ...]


@dataclass(frozen=True, slots=True)
class OrdersView:
    """Working orders and the newest fills of a symbol."""

    symbol: str
    orders: tuple[OrderView, ...]
    fills: tuple[FillView, ...]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Equity at an instant, settlement currency."""

    ts: int
    equity: float


@dataclass(frozen=True, slots=True)
class PositionCurve:
    """A desk's position, and its equity once a second of the newest two hours that this process saw."""

    position: PositionView
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class PositionsView:
    """Positions of a symbol."""

    symbol: str
    desks: tuple[PositionCurve, ...]


@dataclass(frozen=True, slots=True)
class ModelView:
    """Which model a desk decides with."""

    symbol: str
    desk: str
    policy: str
    bundle_sha: str
    members: int  # networks that are mixed, 0: no network
    receptive_rows: int
    catalogue_sha: str


@dataclass(frozen=True, slots=True)
class DeskLatency:
    """Latencies of one desk."""

    symbol: str
    desk: str
    latency: LatencyView


@dataclass(frozen=True, slots=True)
class Health:
    """The process is up and every symbol has a line to its venue."""

    status: Literal["ok"]
    row_ts: int  # the oldest row that is open


@dataclass(frozen=True, slots=True)
class Deployed:
    """The model that decides after a push, or after the way back."""

    role: str
    running_sha: str
    row_ts: int


@dataclass(frozen=True, slots=True)
class Killed:
    """The desks whose kill switch is latched now."""

    killed: tuple[str, ...]  # SYMBOL/DESK
    orders_left: int  # that work and will be cancelled from the next row on


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request was refused, one line."""

    detail: str
