"""Tick mode: deterministic however it is cut, whole to decoder and book, null or worth what was planted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from market.book import BEST_ASK, BEST_BID, apply_events, is_open, new_book
from market.errors import ConfigError
from market.events import BBO, FUNDING, GAP, INDEX, LAST, LEVEL, LIQUIDATION, MARK, SNAPSHOT, SYNTHETIC, TRADE, Events
from market.simulator.capture import simulated_capture
from market.simulator.draws import uniform
from market.simulator.facts import touch_path
from market.simulator.layout import SIGNAL_STEP_NS
from market.simulator.parameters import (
    AlphaParameters,
    DerivativeParameters,
    FeedParameters,
    FlowParameters,
    SimulationParameters,
    VolatilityParameters,
    parameters_from,
)
from market.simulator.path import DAY_NS, market_path, signal_path
from market.simulator.tape import SimulatedTape
from market.simulator.venue import jump_length, least_square, mean_jump, mean_length
from market.sources import decoder_for
from market.sources.capture import split_line
from tests.builders_market import COINM_BTC, COINM_ETH

SECOND = 1_000_000_000
START = 1_723_161_600 * SECOND + 5 * SECOND
DAY = START // DAY_NS
BUSY = SimulationParameters(
    seed=3,
    mode="reactive",
    feed=FeedParameters(gaps_per_hour=600.0),
    derivatives=DerivativeParameters(liquidations_per_hour=600.0),
)
BARE_FLOW = FlowParameters(orders_per_s=2.0)  # hardly more than the moves of the touch
BARE_FEED = FeedParameters(depth_interval_ms=1_000.0)


def simulate(parameters: SimulationParameters, seconds: float, batch_events: int = 65_536) -> Events:
    tape = SimulatedTape(parameters, COINM_BTC, START)
    return np.concatenate(list(tape.batches(START + round(seconds * SECOND), batch_events)))


@pytest.fixture(scope="module")
def busy() -> Events:
    return simulate(BUSY, 40.0)


def test_the_generator_is_splitmix64():
    counters = np.zeros(1, np.uint64)
    draws = [uniform(counters, 0) for _ in range(2)]
    outputs = 0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4  # of a generator that begins at 0
    assert draws == [(output // 2**11 + 0.5) / 2**53 for output in outputs]


def test_a_seed_gives_the_same_bytes_and_another_seed_or_symbol_others(busy):
    assert simulate(BUSY, 40.0).tobytes() == busy.tobytes()
    for other in (replace(BUSY, seed=4), replace(BUSY, symbol=1)):
        assert simulate(other, 5.0).tobytes() != simulate(BUSY, 5.0).tobytes()


@settings(deadline=None, max_examples=10)
@given(batch=st.integers(1, 3_000), cut_ms=st.integers(1, 4_999))
def test_events_do_not_depend_on_batches_or_calls(batch, cut_ms):
    tape = SimulatedTape(BUSY, COINM_BTC, START)
    parts = [*tape.batches(START + cut_ms * 1_000_000, batch)]
    restored = SimulatedTape(BUSY, COINM_BTC, START)
    restored.restore(tape.state())
    parts += restored.batches(START + 5 * SECOND, 10_000)
    assert np.concatenate(parts).tobytes() == simulate(BUSY, 5.0).tobytes()
    assert all(part["flags"][-1] & LAST for part in parts)


def test_it_goes_on_over_midnight():
    parameters, midnight = replace(BUSY, mode="null"), (DAY + 1) * DAY_NS
    tape = SimulatedTape(parameters, COINM_BTC, midnight - 2 * SECOND)
    whole = np.concatenate(list(tape.batches(midnight + 2 * SECOND)))
    split = SimulatedTape(parameters, COINM_BTC, midnight - 2 * SECOND)
    parts = [*split.batches(midnight), *split.batches(midnight + 2 * SECOND)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_the_capture_decodes_to_the_same_events_gaps_included(busy):
    decoder, frames = decoder_for(COINM_BTC), []
    for line in simulated_capture(BUSY, COINM_BTC, START, 40.0):
        ingest_ts, frame = split_line(line)
        frames.append(decoder.decode(frame, ingest_ts))
    decoded = np.concatenate(frames)
    decoded["flags"] |= SYNTHETIC
    assert decoded.tobytes() == busy.tobytes()
    assert decoder.counts["gaps"] == np.count_nonzero(busy["kind"] == GAP) > 2


def test_every_kind_of_event_comes_in_order_of_receipt_and_is_flagged(busy):
    kinds = {LEVEL, SNAPSHOT, BBO, TRADE, MARK, INDEX, FUNDING, LIQUIDATION, GAP}
    assert set(busy["kind"].tolist()) == kinds
    assert (np.diff(busy["ingest_ts"]) >= 0).all()
    assert (busy["flags"] & SYNTHETIC).all()
    assert (busy["exchange_ts"] % 1_000_000 == 0).all()


def test_a_snapshot_comes_first_and_after_each_gap(busy):
    book_events = busy[np.isin(busy["kind"], (SNAPSHOT, LEVEL, GAP))]
    firsts = np.flatnonzero(np.diff(book_events["kind"].astype(int), prepend=0))
    order = book_events["kind"][firsts].tolist()
    assert order[0] == SNAPSHOT
    assert all(order[i + 1] == SNAPSHOT for i in range(len(order) - 1) if order[i] == GAP)


def test_the_book_is_open_after_every_message_and_agrees_with_every_best_offer(busy):
    book, start = new_book(), 0
    before_gap = int(np.flatnonzero(busy["kind"] == GAP)[0])
    for end in np.flatnonzero(busy["flags"][:before_gap] & LAST):
        apply_events(book, busy[start : end + 1])
        start = end + 1
        assert is_open(book)
        if busy["kind"][end] == BBO:
            assert [book[2][BEST_BID], book[2][BEST_ASK]] == busy["price"][end - 1 : end + 1].tolist()


def test_the_clock_is_off_by_what_was_planted():
    feed = FeedParameters(offset_ms=-250.0, skew_ppm=200.0, latency_ms=2.0, jitter_ms=0.0, stalls_per_minute=0.0)
    events = simulate(replace(BUSY, mode="null", feed=feed), 30.0)
    differences = events["ingest_ts"] - events["exchange_ts"]
    early, late = differences[events["ingest_ts"] < START + 5 * SECOND].min(), differences[-2_000:].min()
    assert abs(early - (-248_000_000)) < 100_000
    assert abs(late - early - 30 * 200_000) < 1_000_000


def test_stalls_hold_messages_back():
    feed = FeedParameters(jitter_ms=0.0, stalls_per_minute=60.0, stall_ms=200.0)
    events = simulate(SimulationParameters(feed=feed), 30.0)
    delay = events["ingest_ts"] - events["exchange_ts"]
    assert np.percentile(delay, 99) - delay.min() > 200_000_000
    assert np.median(delay) - delay.min() < 20_000_000


def test_funding_tells_the_next_exchange_and_stays_within_its_band(busy):
    funding, mark = busy[busy["kind"] == FUNDING], busy[busy["kind"] == MARK]
    assert (funding["qty"] % (8 * 3_600 * SECOND) == 0).all()
    assert (funding["qty"] > funding["exchange_ts"]).all()
    assert np.abs(funding["price"]).max() < 5e-3 * 1e12
    assert np.abs(mark["price"] / 1e8 / 60_000 - 1).max() < 0.02
    assert abs(funding.size - 40) <= 12  # one a second, some in gaps


def test_jumps_have_the_mean_square_that_was_asked_for():
    draws = np.random.default_rng(0).random((200_000, 2))
    for wanted in (least_square(), 50.0, 900.0):
        mean = mean_jump(wanted)
        jumps = np.array([jump_length(kind, size, mean) for kind, size in draws], np.float64)
        assert np.mean(jumps**2) == pytest.approx(wanted, rel=0.05)
        assert np.mean(jumps) == pytest.approx(mean_length(mean), rel=0.03)


def test_the_mid_is_as_volatile_as_the_path_says():
    parameters = SimulationParameters(flow=BARE_FLOW, feed=BARE_FEED)
    touch = touch_path(simulate(parameters, 3_600.0))
    quadratic = float(np.sum(np.diff(touch[:, 1:].sum(axis=1) / 2.0) ** 2))
    sigma = parameters.volatility.volatility_bp * 1e-4 * 600_000
    expected = sigma**2 * np.sum(market_path(parameters, DAY).multiplier[5:3_605] ** 2)
    assert quadratic == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("symbol", [0, 1])
def test_null_mode_tosses_a_fair_coin_whatever_is_seen(symbol):
    parameters = SimulationParameters(seed=5, symbol=symbol, flow=BARE_FLOW, feed=BARE_FEED)
    events = simulate(parameters, 3_600.0)
    bbo = events[(events["kind"] == BBO)].reshape(-1, 2)
    mid = bbo["price"].sum(axis=1) / 2.0
    imbalance = (bbo["qty"][:, 0] - bbo["qty"][:, 1]) / bbo["qty"].sum(axis=1)
    moves = np.flatnonzero(np.diff(mid))
    up = np.sign(np.diff(mid)[moves])
    open_after = np.diff(bbo["price"][moves].astype(np.float64)).ravel() > 1
    assert up.size > 50_000
    for seen in (imbalance[moves], np.sign(imbalance[moves])):
        assert abs(_t_statistic(seen, up)) < 4.0
    assert abs(_t_statistic(up[:-1], up[1:])) < 4.0
    assert abs(_t_statistic(np.where(open_after, np.roll(up, 1), 0.0)[1:], up[1:])) < 4.0  # the way a spread closes


def _t_statistic(seen: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Of the mean product, which is 0 where ``after`` is a fair coin."""
    return float(seen @ after) / float(np.sqrt((seen**2) @ (after**2)))


def test_a_planted_signal_has_the_correlation_that_was_asked_for():
    alpha = AlphaParameters(ic=0.25, horizon_s=2.0, halflife_s=4.0)
    parameters = SimulationParameters(seed=1, mode="alpha", alpha=alpha, flow=BARE_FLOW, feed=BARE_FEED)
    touch = touch_path(simulate(parameters, 7_200.0))
    grid = START + np.arange(0, 7_190) * SECOND
    places = np.searchsorted(touch[:, 0] - 11_000_000, grid, side="right") - 1  # feed latency taken out, about
    mid = touch[np.maximum(places, 0), 1:].sum(axis=1) / 2.0
    signal = signal_path(parameters, DAY, SIGNAL_STEP_NS)[(grid - DAY * DAY_NS) // SIGNAL_STEP_NS]
    sigma = market_path(parameters, DAY).multiplier[(grid - DAY * DAY_NS) // SECOND]
    realised = np.corrcoef(signal[:-2], (mid[2:] - mid[:-2]) / sigma[:-2])[0, 1]
    assert abs(realised - 0.25) < 3.0 / np.sqrt(7_190 / 2)  # three standard errors of 3,595 that do not overlap


def test_a_planted_signal_shows_in_the_touch_and_in_the_flow():
    alpha = AlphaParameters(ic=0.1, horizon_s=5.0, halflife_s=10.0, expression=1.0)
    parameters = SimulationParameters(seed=2, mode="alpha", alpha=alpha)
    events = simulate(parameters, 120.0)
    bbo = events[(events["kind"] == BBO)].reshape(-1, 2)
    imbalance = (bbo["qty"][:, 0] - bbo["qty"][:, 1]) / bbo["qty"].sum(axis=1)
    signal = signal_path(parameters, DAY, SIGNAL_STEP_NS)
    at = signal[(bbo["ingest_ts"][:, 0] - DAY * DAY_NS) // SIGNAL_STEP_NS]
    assert np.corrcoef(imbalance, at)[0, 1] > 0.3


def test_symbols_move_together():
    market = SimulationParameters(volatility=VolatilityParameters(correlation=0.6), flow=BARE_FLOW, feed=BARE_FEED)
    moves = []
    for symbol, instrument in enumerate((COINM_BTC, COINM_ETH)):
        parameters = replace(market, symbol=symbol, start_price=60_000.0 / (1 + 19 * symbol))
        tape = SimulatedTape(parameters, instrument, START)
        touch = touch_path(np.concatenate(list(tape.batches(START + 3_600 * SECOND))))
        grid = START + np.arange(1, 3_590) * SECOND
        mid = touch[np.searchsorted(touch[:, 0], grid, side="right") - 1, 1:].sum(axis=1) / 2.0
        moves.append(np.diff(mid))
    assert np.corrcoef(*moves)[0, 1] == pytest.approx(0.6, abs=0.06)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "magic"}, "mode='magic' is not one of"),
        ({"sed": 1}, "sed is not one of"),
        ({"flow": {"excitation": 1.0}}, "excitation=1.0 must lie within"),
        ({"flow": {"market_excitation": 0.6, "market_cross": 0.5}}, "the flow explodes"),
        ({"flow": {"levels": 30.5}}, "flow.levels=30.5 must be whole"),
        ({"alpha": []}, "alpha=\\[\\] must be a mapping"),
        ({"seed": True}, "seed=True must be whole"),
        ({"first_date": "soon"}, "first_date='soon' is no date"),
    ],
)
def test_parameters_that_make_no_market_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        parameters_from(values)
