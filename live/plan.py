"""What a runner runs: one symbol, its settings, its desks. The journal's header holds it whole, so that replay needs no
other configuration than the journal's own."""

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from backtest.ledger import Ledger
from backtest.parameters import VenueParameters
from backtest.venue import SimulatedVenue
from config.orders import GatewayKind
from config.settings import Settings, config_sha
from config.typed import build
from features.catalogue import catalogue_content, catalogue_sha
from features.parameters import FeatureParameters
from features.stream import FeatureStream, SharedStream
from live.desk import Desk, DeskGateway
from live.gateways.exchange import ExchangeGateway
from live.gateways.shadow import ShadowGateway
from market.errors import ConfigError, JournalError
from market.instrument import Instrument
from market.parameters import ClockParameters
from market.reader import FrameReader
from storage.bundle import Bundle, read_bundle
from storage.journal import CHALLENGER_DESK, TRADING_DESK
from trading.parameters import PolicyKind, TradingParameters
from trading.ports import Strategy
from trading.session import Session
from trading.strategy import idle_strategy, missing_strategy, model_strategy

MODEL_DESK: Final = TRADING_DESK
Role = Literal["champion", "challenger"]  # of models with a desk
Pushed = Literal["champion", "challenger", "fallback"]
ROLES: Final[dict[Role, int]] = {"champion": MODEL_DESK, "challenger": CHALLENGER_DESK}
_NAMES: Final = {MODEL_DESK: "model", CHALLENGER_DESK: "challenger"}  # of desks that are not called after their policy


@dataclass(frozen=True, slots=True)
class LivePlan:
    """Everything that decides what a frame leads to."""

    instrument: Instrument
    clock: ClockParameters
    features: FeatureParameters
    trading: TradingParameters
    venue: VenueParameters
    desks: tuple[PolicyKind, ...]  # policy of each desk; those of ROLES wait for a deployed model
    gateway: GatewayKind  # where the orders of the model's desk go; those of the others stay on paper
    config_sha: str
    catalogue_sha: str
    build: str  # interpreter, compiler and processor: bits are equal on one build only


def plan_of(settings: Settings, symbol: str, start_ns: int, gateway: GatewayKind = "paper") -> LivePlan:
    """The plan of a profile for one symbol: the model's desk, the probe beside it, and the challenger's if it has one.

    start_ns : ns UTC; the fees of that day hold until the runner ends
    Raises ConfigError if the symbol follows a leader, DataError if the fee table does not know that day.
    """
    features, instrument = settings.features_of(symbol), settings.instrument(symbol)
    if features.leader:
        raise ConfigError(
            f"{symbol} follows {features.leader}; the runner reads one symbol: take it out of data.leaders"
        )
    return LivePlan(
        instrument=instrument,
        clock=settings.clock,
        features=features,
        trading=settings.trading,
        venue=settings.venue.charged(instrument.venue, start_ns, start_ns),
        desks=("take", "probe", "take") if settings.live.challenger else ("take", "probe"),
        gateway=gateway,
        config_sha=config_sha(settings),
        catalogue_sha=catalogue_sha(features),
        build=build_fingerprint(),
    )


def build_fingerprint() -> str:
    """Python, numba, llvmlite and the processor that compiled code is made for."""
    import llvmlite
    import numba
    from llvmlite.binding import get_host_cpu_name

    versions = f"python {platform.python_version()}, numba {numba.__version__}, llvmlite {llvmlite.__version__}"
    return f"{versions}, {get_host_cpu_name()}"


def header_of(plan: LivePlan) -> dict[str, Any]:
    """The plan as JSON holds it."""
    return asdict(plan)


def plan_from(header: dict[str, Any]) -> LivePlan:
    """The plan that a journal was written under. Raises JournalError if this version cannot read it."""

    try:
        plan: LivePlan = build(LivePlan, header, "")
    except ConfigError as error:
        raise JournalError(f"the journal's header is of another version: {error}") from error
    return plan


def reader_of(plan: LivePlan) -> FrameReader:
    """A reader that has seen nothing."""
    return FrameReader(plan.instrument, plan.clock)


def desks_of(plan: LivePlan) -> list[Desk]:
    """Desks that have seen nothing, each with a paper account at its own simulated venue, but for the model's.

    They share one stream of rows.

    What the others send never leaves this process. An exchange gateway has to be opened before it sends anything.
    """
    desks, stream = [], FeatureStream(plan.features)
    for place, kind in enumerate(plan.desks):
        strategy = idle_strategy(plan.trading, plan.instrument, kind, plan.venue.fees)
        session = Session(SharedStream(stream), strategy, Ledger(plan.instrument))
        gateway = gateway_of(plan, plan.gateway if place == MODEL_DESK else "paper")
        desks.append(Desk(_NAMES.get(place, kind), place, session, gateway))
    return desks


def gateway_of(plan: LivePlan, kind: GatewayKind) -> DeskGateway:
    """A gateway that has sent nothing."""
    if kind == "exchange":
        return ExchangeGateway(plan.instrument)
    return ShadowGateway() if kind == "shadow" else SimulatedVenue(plan.instrument, plan.venue, forgets=True)


def strategy_from(plan: LivePlan, bundle: Bundle) -> Strategy:
    """The strategy of a bundle. Raises ModelError if its model has no answer for the cell that is traded."""
    return model_strategy(bundle.model, plan.trading, plan.instrument, plan.desks[MODEL_DESK], plan.venue.fees)


def stand_in(plan: LivePlan) -> Strategy:
    """What stands where a model was whose bundle is gone."""
    return missing_strategy(idle_strategy(plan.trading, plan.instrument, plan.desks[MODEL_DESK], plan.venue.fees))


def strategy_of(plan: LivePlan, folder: Path) -> Strategy:
    """The strategy of the bundle in ``folder``. Raises BundleError if the bundle is not whole or not for this plan."""
    return strategy_from(plan, read_bundle(folder, catalogue_content(plan.features)))
