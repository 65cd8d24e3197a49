"""Labels of a market without an edge show none, and of one with a planted edge all of it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.bench_label_null import (
    CRITICAL,
    LABELS,
    PERPETUAL,
    PLANTED,
    RULES,
    error_of,
    market_of,
    minute_t,
    null_statistics,
    oracle_of,
    side_of,
    tape_of,
)
from labeling.targets import NO_CLASS, classes, regression_target
from market.book import BEST_ASK, BEST_BID, apply_events, new_book
from market.simulator.parameters import SimulationParameters

SEEDS = range(24)
MOST = int(binom.isf(0.001 / 24, len(SEEDS), 0.05))  # of 24 statistics, that chance exceeds once in a thousand runs


@cache
def found() -> tuple[dict[str, float], ...]:
    return tuple(null_statistics(seed) for seed in SEEDS)


def test_no_rule_finds_an_edge_in_labels_of_null_markets() -> None:
    counts = {name: sum(market[name] > CRITICAL for market in found()) for name in found()[0]}
    assert len(counts) == 24
    assert max(counts.values()) <= MOST, counts
    assert sum(counts.values()) > 0  # a statistic that can never find one proves nothing


def test_gross_statistics_have_the_size_that_they_state() -> None:
    gross = np.array([[value for name, value in market.items() if name.endswith("gross")] for market in found()])
    assert 0.01 < (gross > CRITICAL).mean() < 0.1
    assert 0.4 < np.median(gross) < 1.0  # that of the absolute value of a standard normal is 0.67


def test_rows_taken_one_by_one_find_edges_everywhere() -> None:
    """Labels of a minute overlap sixtyfold: what treats them as independent is wrong by the root of that."""
    rejected = 0
    for seed in range(8):
        market = market_of(SimulationParameters(seed=seed))
        values = side_of(market.rows, "momentum") * regression_target(market.labels, 60_000, "executable")
        values = values[~np.isnan(values)]
        rejected += abs(values.mean() / values.std() * np.sqrt(values.size)) > CRITICAL
    assert rejected >= 4


@pytest.mark.parametrize("rule", RULES)
def test_an_edge_that_is_there_is_found(rule: str) -> None:
    alpha = replace(PLANTED, ic=0.1)
    market = market_of(SimulationParameters(seed=1, mode="alpha", alpha=alpha))
    t = minute_t(side_of(market.rows, rule) * regression_target(market.labels, 5_000, "executable"))
    assert t > 5 if rule != "momentum" else abs(t) < 5


def test_the_oracle_nets_what_was_planted() -> None:
    pairs = [oracle_of(seed) for seed in range(8)]
    assert abs(error_of(pairs)) < 0.1
    assert min(planted for _, planted in pairs) > 0.1


def test_the_tape_holds_the_market_row_by_row() -> None:
    market = market_of(SimulationParameters(seed=2))
    rows, book = market.rows.head(300), new_book()
    events, tick = tape_of(rows), PERPETUAL.tick_size
    for row, mid in enumerate(rows["mid"]):
        apply_events(book, events[4 * row : 4 * row + 4])
        bid, ask = int(book[2][BEST_BID]), int(book[2][BEST_ASK])
        assert (ask - bid, bid <= mid / tick < ask) == (1, True)
    known = market.labels["status_60000"].to_numpy() == 0
    assert 0.999 < known.mean() < 1.0
    assert set(classes(market.labels, 1_000, LABELS.fee_budgets_bp[1], 0.0, "linear")) == {-1, 0, 1, NO_CLASS}
