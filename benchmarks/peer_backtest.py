"""What benchmarks and tests ask of hftbacktest's backtester: its tape, its engine, our market maker's rules."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backtest.parameters import VenueParameters
from backtest.quoting import QuoteRules
from benchmarks.harness import peer_module
from market.events import BBO, BUY, LEVEL, SNAPSHOT, TRADE, Events, venue_ts
from market.instrument import Instrument


def peer_tape(events: Events, instrument: Instrument) -> NDArray[Any]:
    """The events as the peer's array, each in the order of both of its clocks.

    The venue's is ``venue_ts``, in whose order our kernel follows them too; stamps that precede it are not our aligned
    ones then, but of the snapshot that they build on.
    """
    types, data = peer_module("hftbacktest.types"), peer_module("hftbacktest.data")
    kinds = np.zeros(16, np.uint64)
    kinds[[LEVEL, SNAPSHOT, TRADE, BBO]] = [
        types.DEPTH_EVENT, types.DEPTH_SNAPSHOT_EVENT, types.TRADE_EVENT, types.DEPTH_BBO_EVENT,
    ]  # fmt: skip
    events = events[np.isin(events["kind"], (LEVEL, SNAPSHOT, TRADE, BBO))]
    sides = np.where(events["side"] == BUY, types.BUY_EVENT, types.SELL_EVENT).astype(np.uint64)
    tape = np.zeros(events.size, types.event_dtype)
    tape["ev"] = kinds[events["kind"]] | sides
    tape["exch_ts"], tape["local_ts"] = venue_ts(events), events["ingest_ts"]
    tape["px"], tape["qty"] = events["price"] * instrument.tick_size, events["qty"] * instrument.lot_size
    orders = (np.argsort(tape[name], kind="stable") for name in ("exch_ts", "local_ts"))
    ordered: NDArray[Any] = data.correct_event_order(tape, *orders)
    return ordered


def open_peer(
    tape: NDArray[Any] | str, instrument: Instrument, parameters: VenueParameters, engine: str, prices: tuple[int, int]
) -> Any:
    """The peer's backtest at the start of its tape, an array or an npz file of it.

    engine : "HashMapMarketDepthBacktest" or "ROIVectorMarketDepthBacktest", the latter over ``prices``, in ticks
    """
    peer = peer_module("hftbacktest")
    asset = (
        peer.BacktestAsset()
        .data([tape])
        .constant_order_latency(parameters.order_latency_ns, parameters.ack_latency_ns)
        .no_partial_fill_exchange()
        .trading_value_fee_model(*parameters.fees)
        .tick_size(instrument.tick_size)
        .lot_size(instrument.lot_size)
        .last_trades_capacity(0)
    )
    asset = asset.inverse_asset(instrument.multiplier) if instrument.inverse else asset.linear_asset(1.0)
    if parameters.queue_model == "power":
        asset = asset.power_prob_queue_model(parameters.queue_power)
    elif parameters.queue_model == "log":
        asset = asset.log_prob_queue_model()
    else:
        asset = asset.risk_adverse_queue_model()
    if engine.startswith("ROI"):
        asset = asset.roi_lb(prices[0] * instrument.tick_size).roi_ub(prices[1] * instrument.tick_size)
    return getattr(peer, engine)([asset])


def quoted_prices(rules: QuoteRules) -> Callable[[int, int, int], tuple[int, int]]:
    """Our bid and ask, ticks, by the touch and the position; 0 on a side where none is quoted."""
    half, skew, qty, most = rules.half_spread_ticks, rules.skew_ticks, rules.qty, rules.most_lots
    none = 1 << 40  # best prices of an empty side lie beyond

    @njit
    def prices(bid, ask, position):
        if not 0 < bid < ask < none:
            return 0, 0
        shift = skew * position // qty
        our_bid = min((bid + ask) // 2 - half - shift, bid) if position + qty <= most else 0
        our_ask = max((bid + ask + 1) // 2 + half - shift, ask) if position - qty >= -most else 0
        return our_bid, our_ask

    return prices


def kept_orders(buy: int) -> Callable[[Any, int, int], tuple[int, int]]:
    """Cancels the peer's orders that stand at other prices than ours; answers how many bids and asks there were."""

    @njit
    def kept(backtest, our_bid, our_ask):
        bids, asks = 0, 0
        values = backtest.orders(0).values()
        while values.has_next():
            order = values.get()
            price = our_bid if order.side == buy else our_ask
            if order.side == buy:
                bids += 1
            else:
                asks += 1
            if order.cancellable and order.price_tick != price:
                backtest.cancel(0, order.order_id, False)
        return bids, asks

    return kept


def peer_quotes(rules: QuoteRules, instrument: Instrument) -> Callable[[Any], int]:
    """Our market maker's rules in the peer's words; answers how many steps it took."""
    order = peer_module("hftbacktest.order")
    gtx, limit, kept = order.GTX, order.LIMIT, kept_orders(order.BUY)
    step_ns, qty, prices = rules.step_ns, rules.qty, quoted_prices(rules)
    tick, lot = instrument.tick_size, instrument.lot_size

    @njit
    def quote(backtest):
        next_id, steps = 1, 0
        while backtest.elapse(step_ns) == 0:
            steps += 1
            backtest.clear_inactive_orders(0)
            depth = backtest.depth(0)
            our_bid, our_ask = prices(depth.best_bid_tick, depth.best_ask_tick, round(backtest.position(0) / lot))
            bids, asks = kept(backtest, our_bid, our_ask)
            if bids == 0 and our_bid > 0:
                backtest.submit_buy_order(0, next_id, our_bid * tick, qty * lot, gtx, limit, False)
                next_id += 1
            if asks == 0 and our_ask > 0:
                backtest.submit_sell_order(0, next_id, our_ask * tick, qty * lot, gtx, limit, False)
                next_id += 1
        return steps

    return quote
