"""Stylised facts of a tape, a recording's or a simulated one: what docs/simulator.md sets side by side."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from market.book import ASK, BEST_ASK, BEST_BID, BID, apply, is_open, new_book, top_levels
from market.errors import NotEnoughData
from market.events import BBO, LAST, LEVEL, NO_VENUE_TIME, SNAPSHOT, TRADE, Events

Floats = NDArray[np.float64]

_SECOND_NS = 1_000_000_000
_PROFILE_LEVELS = 10


def stylised_facts(events: Events) -> dict[str, float]:
    """Name with unit -> value, of one decoded tape of one instrument; alignment is not needed.

    Raises NotEnoughData for a tape of less than two minutes.
    """
    seconds = float(events["ingest_ts"][-1] - events["ingest_ts"][0]) / 1e9
    if seconds < 120:
        raise NotEnoughData(f"a tape of {seconds:.0f} s has no stylised facts, it takes 120 s")
    touch = touch_path(events)
    return {
        **_spread_facts(touch),
        **_rate_facts(events, seconds),
        **_trade_facts(events),
        **_depth_facts(events),
        **_return_facts(touch),
        **_delay_facts(events),
    }


def touch_path(events: Events) -> NDArray[np.int64]:
    """Receive time (ns), best bid and best ask (ticks) after each message that leaves the book open; (n, 3)."""
    path = np.empty((int(np.count_nonzero(events["flags"] & LAST)), 3), np.int64)
    return path[: _fill_touch(new_book(), events, path)]


def on_grid(touch: NDArray[np.int64], step_ns: int) -> Floats:
    """The mid (ticks) at every multiple of ``step_ns`` after the first message: the last one known by then."""
    grid = np.arange(touch[0, 0] + step_ns, touch[-1, 0], step_ns)
    place = np.searchsorted(touch[:, 0], grid, side="right") - 1
    return touch[place, 1:].sum(axis=1) / 2.0


def autocorrelation(series: Floats, lag: int) -> float:
    """Correlation of a series with itself ``lag`` places later, 0 of a constant one.

    >>> round(autocorrelation(np.array([1.0, -1.0] * 50), 1), 2)
    -0.99
    """
    centred = series - series.mean()
    total = float(centred @ centred)
    return float(centred[:-lag] @ centred[lag:]) / total if total else 0.0


def _spread_facts(touch: NDArray[np.int64]) -> dict[str, float]:
    held = np.diff(touch[:, 0]).astype(np.float64)
    spread = (touch[:-1, 2] - touch[:-1, 1]).astype(np.float64)
    return {
        "spread, mean over time (ticks)": float(np.average(spread, weights=held)),
        "time at a spread of one tick (share)": float(held[spread == 1].sum() / held.sum()),
        "spread after a message, 99th percentile (ticks)": float(np.percentile(spread, 99)),
    }


def _rate_facts(events: Events, seconds: float) -> dict[str, float]:
    whole = (events["flags"] & LAST) != 0
    kinds = {"depth": LEVEL, "best bid and offer": BBO, "trade": TRADE}
    rates = {f"{name} messages (1/s)": _count(events, kind, whole) / seconds for name, kind in kinds.items()}
    levels = _count(events, LEVEL) / max(_count(events, LEVEL, whole), 1)
    return rates | {"levels per depth message": levels, "events (1/s)": events.size / seconds}


def _count(events: Events, kind: int, among: NDArray[np.bool_] | None = None) -> int:
    of_kind = events["kind"] == kind
    return int(np.count_nonzero(of_kind if among is None else of_kind & among))


def _trade_facts(events: Events) -> dict[str, float]:
    trades = events[events["kind"] == TRADE]
    sign = trades["side"].astype(np.float64)
    lots = trades["qty"].astype(np.float64)
    return {
        "trades per 100 ms, variance over mean": _fano(trades["ingest_ts"], _SECOND_NS // 10),
        "trades per 1 s, variance over mean": _fano(trades["ingest_ts"], _SECOND_NS),
        "trade sign autocorrelation, lag 1": autocorrelation(sign, 1),
        "trade sign autocorrelation, lag 10": autocorrelation(sign, 10),
        "trade size, mean (lots)": float(lots.mean()),
        "trade size, median (lots)": float(np.median(lots)),
    }


def _fano(stamps: NDArray[np.int64], bin_ns: int) -> float:
    counts = np.bincount((stamps - stamps[0]) // bin_ns)
    return float(counts.var() / counts.mean())


def _depth_facts(events: Events) -> dict[str, float]:
    seconds = int(events["ingest_ts"][-1] - events["ingest_ts"][0]) // _SECOND_NS
    room = np.empty((seconds + 1, 2, _PROFILE_LEVELS, 2), np.float64)
    samples = room[: _sample_depth(new_book(), events, _SECOND_NS, room)]
    offset = np.abs(samples[:, :, :, 0] - samples[:, :, :1, 0]).mean(axis=(0, 1))
    lots = samples[:, :, :, 1]
    return {
        "quantity at the touch, mean (lots)": float(lots[:, :, 0].mean()),
        "quantity at the touch, median (lots)": float(np.median(lots[:, :, 0])),
        "quantity of ten levels, mean (lots)": float(lots.sum(axis=2).mean()),
        "level 2 from the touch (ticks)": float(offset[1]),
        "level 5 from the touch (ticks)": float(offset[4]),
        "level 10 from the touch (ticks)": float(offset[9]),
    }


def _return_facts(touch: NDArray[np.int64]) -> dict[str, float]:
    mids = {step_ms: np.log(on_grid(touch, step_ms * 1_000_000)) * 1e4 for step_ms in (100, 1_000)}
    second = np.diff(mids[1_000])
    size = np.abs(second)
    minute = mids[1_000][60:] - mids[1_000][:-60]
    return {
        "volatility over 1 s (bp)": float(second.std()),
        "100 ms against 1 s, variance ratio": float(10 * np.diff(mids[100]).var() / second.var()),
        "1 s against 1 min, variance ratio": float(60 * second.var() / np.mean(minute**2)),
        "excess kurtosis of 100 ms returns": _kurtosis(np.diff(mids[100])),
        "excess kurtosis of 1 s returns": _kurtosis(second),
        "autocorrelation of 1 s returns, lag 1": autocorrelation(second, 1),
        "autocorrelation of absolute 1 s returns, lag 1": autocorrelation(size, 1),
        "autocorrelation of absolute 1 s returns, lag 10": autocorrelation(size, 10),
    }


def _kurtosis(returns: Floats) -> float:
    centred = returns - returns.mean()
    return float(np.mean(centred**4) / np.mean(centred**2) ** 2 - 3.0)


def _delay_facts(events: Events) -> dict[str, float]:
    """Of the messages' delays over the shortest one: neither clock's offset matters, a skew would."""
    stamped = ((events["flags"] & LAST) != 0) & ((events["flags"] & NO_VENUE_TIME) == 0) & (events["kind"] != SNAPSHOT)
    delay_ms = (events["ingest_ts"][stamped] - events["exchange_ts"][stamped]) / 1e6
    p50, p95, p999 = np.percentile(delay_ms - delay_ms.min(), (50, 95, 99.9))
    return {
        "delay over the shortest, median (ms)": float(p50),
        "delay over the shortest, 95th percentile (ms)": float(p95),
        "delay over the shortest, 99.9th percentile (ms)": float(p999),
    }


@njit(cache=True)
def _fill_touch(book, events, path):
    head, count = book[2], 0
    for i in range(events.size):
        event = events[i]
        apply(book, event.kind, event.side, event.price, event.qty, event.update_id, event.flags)
        if event.flags & LAST and is_open(book):
            path[count, 0] = event.ingest_ts
            path[count, 1] = head[BEST_BID]
            path[count, 2] = head[BEST_ASK]
            count += 1
    return count


@njit(cache=True)
def _sample_depth(book, events, step_ns, samples):
    """Price and lots of the best levels, bids then asks, once every ``step_ns`` while the book is open."""
    levels = samples.shape[2]
    prices, lots = np.zeros(levels, np.int64), np.zeros(levels, np.int64)
    count, next_ts = 0, events[0].ingest_ts + step_ns
    for i in range(events.size):
        event = events[i]
        apply(book, event.kind, event.side, event.price, event.qty, event.update_id, event.flags)
        if event.ingest_ts < next_ts or not event.flags & LAST or not is_open(book) or count == samples.shape[0]:
            continue
        next_ts += step_ns
        whole = True
        for row in (BID, ASK):
            whole = whole and top_levels(book, row, prices, lots) == levels
            for level in range(levels):
                samples[count, row, level, 0] = prices[level]
                samples[count, row, level, 1] = lots[level]
        count += whole
    return count
