"""The answer, as frozen dataclasses: prices in quote currency, quantities in the venue's unit, times in ns UTC."""

from dataclasses import dataclass
from typing import Literal

from live.views import BookView, GateView


@dataclass(frozen=True, slots=True)
class OrderAsked:
    """The order as it left us."""

    symbol: str
    venue: str
    desk: str
    order: str  # DESK-NUMBER
    side: Literal["buy", "sell"]
    kind: str  # its time in force
    price: float  # limit
    quantity: float
    sent_ts: int
    bundle_sha: str  # of the model in force, empty: none
    end: str  # what became of it, in a word


@dataclass(frozen=True, slots=True)
class FeatureDeviation:
    """A feature on the row, against the median of its own trailing rows."""

    name: str
    unit: str
    window_ms: int
    value: float  # in its unit
    norm: float  # trailing median, in its unit
    deviation: float  # from it, in median absolute deviations
    seen: float  # normalised, as the model saw it


@dataclass(frozen=True, slots=True)
class MemberForecast:
    """What one network forecast for the traded cell."""

    p_down: float
    p_none: float
    p_up: float
    mu_bp: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the decision went by, bp over the horizon; null where no model forecast."""

    ready: bool
    horizon_ms: int
    p_down: float | None
    p_none: float | None
    p_up: float | None
    mu_bp: float | None
    sigma_bp: float | None
    lower_bp: float | None
    upper_bp: float | None
    spread_bp: float | None  # of the members' expected returns
    classes: tuple[str, ...]  # of the conformal set
    members: tuple[MemberForecast, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the sizing."""

    name: str
    value: float
    unit: str
    note: str


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg of the way, ms."""

    name: str
    ms: float


@dataclass(frozen=True, slots=True)
class QueuePoint:
    """Lots of others believed ahead of it, in the venue's unit, from an instant of the venue's clock on."""

    ts: int
    ahead: float


@dataclass(frozen=True, slots=True)
class Queue:
    """Its place in the queue while it rested."""

    joined_ts: int
    joined_behind: float  # quantity ahead of it when it joined
    before_fill: float | None  # just before the event that filled it first; null: never filled
    path: tuple[QueuePoint, ...]


@dataclass(frozen=True, slots=True)
class Markout:
    """What a lot gained from the price of its fill to the mid a horizon later, bp; null: the journal does not know."""

    horizon_ms: int
    bp: float | None


@dataclass(frozen=True, slots=True)
class ExplainedFill:
    """One fill."""

    price: float
    quantity: float
    maker: bool
    venue_ts: int
    visible_ts: int
    fee_bp: float
    fee: float  # settlement currency
    markouts: tuple[Markout, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would have become of it, all else as it was, valued at the mid one traded horizon after the decision."""

    name: str
    what: str
    filled: float
    average_price: float | None
    maker_share: float | None
    profit: float | None  # settlement currency, after fees; null: the journal ends before
    profit_bp: float | None  # of what was filled


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer."""

    asked: OrderAsked
    reason: str  # of the decision
    row_ts: int
    book: BookView
    features: tuple[FeatureDeviation, ...]
    forecast: Forecast
    sizing: tuple[Step, ...]
    gates: tuple[GateView, ...]
    legs: tuple[Leg, ...]
    queue: Queue | None
    fills: tuple[ExplainedFill, ...]
    settlement: str
    outcomes: tuple[Outcome, ...]
    same_as_written: bool  # whether the decision came out again bit for bit
