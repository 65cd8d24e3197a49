"""Exchanging blocks: every exchange of few blocks by hand, uniform p-values, and what matching takes out."""

from itertools import combinations

import numpy as np
import pytest

from monitoring.exchanges import (
    Blocks,
    Matched,
    blocks_of,
    edges_of,
    exchange_p,
    filled_blocks,
    matched,
    observed_distance,
)
from tests.builders_drift import ar1


def cut(values: np.ndarray, size: int, edges: np.ndarray, regimes: np.ndarray | None = None, count: int = 1) -> Blocks:
    strata = np.zeros(len(values), np.int64) if regimes is None else regimes.astype(np.int64)
    return blocks_of(np.arange(len(values)), strata, values.astype(np.float32), edges.astype(np.float32), size, count)


def pair(live: np.ndarray, reference: np.ndarray, size: int) -> list[Matched]:
    edges = edges_of(live.astype(np.float32), reference.astype(np.float32))
    return matched(cut(live, size, edges), cut(reference, size, edges))


def test_rows_are_counted_by_block_regime_and_edge() -> None:
    found = cut(np.array([1, 5, 2, 9, 3]), 2, np.array([2, 5]), np.array([0, 1, 0, 0, 1]), 2)
    assert found.rows.tolist() == [[1, 1], [2, 0], [0, 1]]
    assert found.below.tolist() == [[[1, 1], [0, 1]], [[1, 1], [0, 0]], [[0, 0], [0, 1]]]
    assert found.part.tolist() == [0, 0, 0]


def test_a_block_that_is_half_empty_is_none() -> None:
    slots = np.array([0, 1, 2, 3, 4, 9])
    assert filled_blocks(slots, 4) == 1
    values, edges = np.arange(6, dtype=np.float32), np.array([3], np.float32)
    assert len(blocks_of(slots, np.zeros(6, np.int64), values, edges, 4, 1).part) == 1


def test_the_p_value_is_that_of_all_exchanges() -> None:
    """The naive way round: three live blocks of eight, every choice of three by hand."""
    generator = np.random.default_rng(3)
    live, reference = generator.normal(0.9, 1, 30), generator.normal(0, 1, 50)
    [part] = pair(live, reference, 10)
    blocks = part.below[:, 0] / part.rows
    far = []
    for chosen in combinations(range(8), 3):
        rest = [place for place in range(8) if place not in chosen]
        far.append(np.abs(blocks[list(chosen)].mean(axis=0) - blocks[rest].mean(axis=0)).max())
    exact = np.mean(np.array(far) >= far[0] - 1e-9)
    assert observed_distance([part]) == pytest.approx(far[0])
    found = [exchange_p([part], 2_000, np.random.default_rng(seed)) for seed in range(200)]
    assert np.mean(found) == pytest.approx(exact, rel=0.15)


def test_no_exchange_beats_samples_that_do_not_overlap() -> None:
    live = np.random.default_rng(14).random(400)
    assert exchange_p(pair(live, live + 2, 20), 1_000, np.random.default_rng(0)) == pytest.approx(1 / 1_001)
    assert exchange_p(pair(live, live, 20), 1_000, np.random.default_rng(0)) == 1.0


def test_p_values_of_autocorrelated_rows_are_uniform() -> None:
    generator = np.random.default_rng(15)
    found = [
        exchange_p(pair(ar1(generator, 1_000, 0.9), ar1(generator, 3_000, 0.9), 100), 400, generator)
        for _ in range(150)
    ]
    assert np.mean(np.array(found) <= 0.1) == pytest.approx(0.1, abs=0.07)
    assert np.mean(np.array(found) <= 0.5) == pytest.approx(0.5, abs=0.12)


def test_another_mix_of_regimes_is_no_distance() -> None:
    generator = np.random.default_rng(16)
    kinds = [(generator.random(rows) < share).astype(np.int8) for rows, share in ((1_000, 0.8), (3_000, 0.2))]
    values = [2.0 * kind + generator.normal(size=kind.size) for kind in kinds]
    edges = edges_of(*(value.astype(np.float32) for value in values))
    parts = matched(*(cut(value, 50, edges, kind, 2) for value, kind in zip(values, kinds, strict=True)))
    plain = matched(*(cut(value, 50, edges) for value in values))
    assert observed_distance(plain) > 0.3
    assert observed_distance(parts) < 0.08
    assert exchange_p(parts, 2_000, generator) > 0.01
    assert exchange_p(plain, 2_000, generator) < 0.001


def test_blocks_change_places_within_their_part_of_the_day_alone() -> None:
    blocks = [Blocks(np.array(part), np.ones((len(part), 1)), np.zeros((len(part), 1, 1))) for part in ([0, 1], [1, 2])]
    [found] = matched(*blocks)
    assert (found.live, len(found.rows)) == (1, 2)
