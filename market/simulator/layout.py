"""The state of a simulated venue: six arrays whose places have the names below, and the settings its kernels read."""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market.instrument import Instrument
from market.simulator.draws import stream_start
from market.simulator.parameters import SimulationParameters
from market.simulator.path import ACTIVITY, COMMON

# counters, integers, floats, lots by side and slot, whether a slot changed since the last depth message, such prices
State = tuple[
    NDArray[np.uint64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]
]

SLOTS: Final = 16_384  # prices that a side's ladder has room for, a power of two
REACH: Final = 6_000  # ticks from the touch to the farthest level that is kept
SIGNAL_STEP_NS: Final = 100_000_000  # the signal of tick mode changes once in this
NEVER: Final = 2**62
FIRST_ID: Final = 1_000_000_000

# streams of random numbers
COMMON_STREAM: Final = 0  # moves that all symbols share
MOVES: Final = 1
FLOW: Final = 2
FEED: Final = 3
DERIVATIVES: Final = 4
STREAMS: Final = 5

# places in the integers; times are ns UTC on our clock, prices ticks
NOW: Final = 0
ROWS: Final = 1  # events written by this call
CANDIDATE: Final = 2  # when something may happen next; 0: to be drawn
COMMON_AT: Final = 3  # how far the common moves are drawn
BEST: Final = 4  # best bid; best ask at BEST + 1
LIVE: Final = 6  # levels of the bids; of the asks at LIVE + 1
CHANGED: Final = 8  # changed prices of the bids; of the asks at CHANGED + 1
UPDATE_ID: Final = 10
SENT_ID: Final = 11  # of the newest depth message or snapshot received
TRADE_ID: Final = 12
RECEIVED: Final = 13  # ingest_ts of the newest message
STALLED: Final = 14  # nothing arrives before
GAP_STAGE: Final = 15  # one of the three below
DEPTH_LOST: Final = 16  # 1: a depth message was lost and the break not yet told
SHOWN: Final = 17  # touch of the newest best bid and offer: bid, ask, their lots
ORIGIN: Final = 21  # when our clock's skew began to count
REGIME: Final = 22
DIRECTION: Final = 23
JITTER: Final = 24  # of the newest messages, ns
JITTER_END: Final = 25  # when it is drawn anew
DUE: Final = 26  # first of the times below

WHOLE: Final = 0  # gap stages: everything arrives,
LOSING: Final = 1  # nothing arrives,
RESYNCING: Final = 2  # the book waits for a snapshot

# what is due, counted from DUE
SECOND_DUE: Final = 0
CLOSE_DUE: Final = 1
COMMON_DUE: Final = 2
FLUSH_DUE: Final = 3
MARK_DUE: Final = 4
STALL_DUE: Final = 5
GAP_DUE: Final = 6
DUES: Final = 7
INTEGERS: Final = DUE + DUES

# places in the floats
MULTIPLIER: Final = 0  # of the volatility
JUMP: Final = 1  # mean of the common kind of jump, ticks
KEEP: Final = 2  # share of moves kept where a tick is wider than they are
LEAN: Final = 3  # of the next move, per unit of signal
SIGMA: Final = 4  # volatility in force, ticks per square root of a second
OWN: Final = 5  # excitation of the symbol's own moves, 1/s
SHARED: Final = 6  # excitation of the common moves, 1/s
BUYS: Final = 7  # excitation of market orders that buy, 1/s
SELLS: Final = 8
HEAT: Final = 9  # moves remembered, for what they stir up
BOUND: Final = 10  # rate that CANDIDATE was drawn with, 1/s
CLOSE_COIN: Final = 11  # decides which side closes the spread
ANCHOR: Final = 12  # trailing minute's mid, ticks
INDEX_MID: Final = 13  # trailing ten seconds' mid, ticks
PREMIUM: Final = 14  # of the mark over the index, a fraction
FLOATS: Final = 15


class Settings(NamedTuple):
    """Parameters in the kernels' units: ticks, lots, seconds, rates per second; times of the feed in ns."""

    sigma: float  # ticks per square root of a second
    common: float  # share of the moves that all symbols make together
    moves: float
    excitation: float
    excitation_decay: float
    close: float
    sweep: float
    orders: float
    touch_share: float
    touch_lots: float
    level_lots: float
    levels: float
    depth_scale: float
    markets: float  # base rate of a side
    market_excitation: float
    market_cross: float
    market_decay: float
    fills: float
    trade_log: float
    trade_deviation: float
    signal_lean: float  # of the next move: times signal / (sqrt(rate) * ...): see flow
    expression: float
    imbalance_gain: float
    trend_gain: float
    range_gain: float
    flush_ns: float
    latency_ns: float
    jitter_ns: float  # mean of one hop's
    jitter_hops: float
    jitter_hold_ns: float
    stall_wait_ns: float
    stall_ns: float
    offset_ns: float
    skew: float
    gap_wait_ns: float
    gap_ns: float
    resync_ns: float
    mark_ns: float
    funding_ns: float
    funding_rate: float
    premium_phi: float
    premium_shock: float
    liquidations: float
    liquidation_gain: float
    tick_size: float


def settings_of(parameters: SimulationParameters, instrument: Instrument) -> Settings:
    """What the kernels are told of the parameters, on the instrument's grid."""
    return Settings(
        **_moves(parameters, instrument),
        **_flow(parameters, instrument),
        **_alpha(parameters),
        **_feed(parameters),
        **_derivatives(parameters),
        tick_size=instrument.tick_size,
    )


def start_ticks(parameters: SimulationParameters, instrument: Instrument) -> int:
    """The first best bid."""
    return max(REACH + 1, round(parameters.start_price / instrument.tick_size))


def new_state(parameters: SimulationParameters, instrument: Instrument, start_ts: int) -> State:
    """An empty venue that has not opened; ``start_ts`` in ns UTC on our clock."""
    random = np.array(
        [stream_start(parameters.seed, COMMON, 0)]
        + [stream_start(parameters.seed, ACTIVITY + stream, parameters.symbol) for stream in range(1, STREAMS)],
        np.uint64,
    )
    integers, floats = np.zeros(INTEGERS, np.int64), np.zeros(FLOATS, np.float64)
    integers[[NOW, ORIGIN, COMMON_AT]] = start_ts
    integers[UPDATE_ID] = integers[SENT_ID] = FIRST_ID
    integers[BEST] = start_ticks(parameters, instrument)
    integers[BEST + 1] = integers[BEST] + 1
    integers[DUE:] = integers[CANDIDATE] = NEVER
    floats[[ANCHOR, INDEX_MID]] = integers[BEST] + 0.5
    return (
        random,
        integers,
        floats,
        np.zeros((2, SLOTS), np.int64),
        np.zeros((2, SLOTS), np.uint8),
        np.zeros((2, SLOTS), np.int64),
    )


def _moves(parameters: SimulationParameters, instrument: Instrument) -> dict[str, float]:
    flow = parameters.flow
    return {
        "sigma": parameters.volatility.volatility_bp * 1e-4 * start_ticks(parameters, instrument),
        "common": math.sqrt(parameters.volatility.correlation),
        "moves": flow.moves_per_s,
        "excitation": flow.excitation,
        "excitation_decay": flow.excitation_decay_s,
        "close": flow.close_ms * 1e6,
        "sweep": flow.sweep_share,
    }


def _flow(parameters: SimulationParameters, instrument: Instrument) -> dict[str, float]:
    flow = parameters.flow
    return {
        "orders": flow.orders_per_s,
        "touch_share": flow.touch_share,
        "touch_lots": flow.touch_lots,
        "level_lots": flow.level_lots,
        "levels": float(flow.levels),
        "depth_scale": min(REACH / 2.5, max(2.0, flow.depth_scale_bp * 1e-4 * start_ticks(parameters, instrument))),
        "markets": flow.markets_per_s / 2,
        "market_excitation": flow.market_excitation,
        "market_cross": flow.market_cross,
        "market_decay": flow.market_decay_s,
        "fills": flow.fills_per_order,
        "trade_log": math.log(flow.trade_lots),
        "trade_deviation": flow.trade_deviation,
    }


def _alpha(parameters: SimulationParameters) -> dict[str, float]:
    """A signal s leans the next move's coin by ``signal_lean * s * sigma / (rate * mean jump)``."""
    alpha, mode = parameters.alpha, parameters.mode
    decay = math.log(2) / alpha.halflife_s
    felt = (1 - math.exp(-decay * alpha.horizon_s)) / decay  # integral over the horizon of what is left of s, seconds
    return {
        "signal_lean": alpha.ic * math.sqrt(alpha.horizon_s) / felt if mode == "alpha" else 0.0,
        "expression": alpha.expression if mode == "alpha" else 0.0,
        "imbalance_gain": alpha.imbalance_gain if mode == "reactive" else 0.0,
        "trend_gain": alpha.trend_gain if mode == "reactive" else 0.0,
        "range_gain": alpha.range_gain if mode == "reactive" else 0.0,
    }


def _feed(parameters: SimulationParameters) -> dict[str, float]:
    feed = parameters.feed
    return {
        "flush_ns": feed.depth_interval_ms * 1e6,
        "latency_ns": feed.latency_ms * 1e6,
        "jitter_ns": feed.jitter_ms * 1e6 / feed.jitter_hops,
        "jitter_hops": float(feed.jitter_hops),
        "jitter_hold_ns": feed.jitter_hold_ms * 1e6,
        "stall_wait_ns": _wait_ns(feed.stalls_per_minute, 60),
        "stall_ns": feed.stall_ms * 1e6,
        "offset_ns": feed.offset_ms * 1e6,
        "skew": feed.skew_ppm * 1e-6,
        "gap_wait_ns": _wait_ns(feed.gaps_per_hour, 3_600),
        "gap_ns": feed.gap_s * 1e9,
        "resync_ns": feed.resync_s * 1e9,
    }


def _derivatives(parameters: SimulationParameters) -> dict[str, float]:
    derivatives = parameters.derivatives
    phi = 0.5 ** (derivatives.mark_interval_s / derivatives.premium_halflife_s)
    return {
        "mark_ns": derivatives.mark_interval_s * 1e9,
        "funding_ns": derivatives.funding_interval_s * 1e9,
        "funding_rate": derivatives.funding_rate,
        "premium_phi": phi,
        "premium_shock": derivatives.premium_deviation_bp * 1e-4 * math.sqrt(1 - phi * phi),
        "liquidations": derivatives.liquidations_per_hour / 3_600,
        "liquidation_gain": derivatives.liquidation_gain,
    }


def _wait_ns(times: float, seconds: float) -> float:
    """Mean time between what happens ``times`` in so many seconds, 0 for never."""
    return seconds / times * 1e9 if times else 0.0
