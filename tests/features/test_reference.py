"""The compiled step against the slow one."""

from dataclasses import replace

import numpy as np
import pytest

from features.catalogue import STATUS_NAMES, VALID, catalogue
from features.layout import ALONE
from tests.builders_features import PARAMETERS, batch_rows, leader_tape, synthetic_events
from tests.builders_market import recorded_events
from tests.features.reference import Reference

LED = replace(PARAMETERS, leader="the-leader", max_funding_age_s=1, max_silence_ms=1_200)


def compare(events, parameters=PARAMETERS, leader=ALONE):
    rows = batch_rows(events, parameters, leader)
    expected = Reference(parameters).rows(events, zip(*(column.tolist() for column in leader), strict=True))
    count = len(expected)
    assert [STATUS_NAMES[code] for code in rows.status[:count]] == [status for _, status, _, _ in expected]
    assert rows.row_ts[:count].tolist() == [row_ts for row_ts, _, _, _ in expected]
    raw, values = (np.array([row[field] for row in expected]) for field in (2, 3))
    for column, feature in enumerate(catalogue(parameters)):
        np.testing.assert_allclose(rows.raw[:count, column], raw[:, column], rtol=1e-6, atol=1e-6, err_msg=feature.name)
        np.testing.assert_allclose(
            rows.values[:count, column], values[:, column], rtol=1e-5, atol=2e-5, err_msg=feature.name
        )
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_a_hostile_tape_equal_the_reference(seed):
    compare(synthetic_events(seed))


@pytest.mark.parametrize("seed", range(2))
def test_rows_that_follow_a_leader_equal_the_reference(seed):
    rows = compare(synthetic_events(seed), LED, leader_tape(seed))
    assert (rows.status == VALID).sum() > 50


def test_hostile_tapes_reach_every_status():
    tapes = [batch_rows(synthetic_events(seed), LED, leader_tape(seed)) for seed in range(6)]
    assert {int(code) for rows in tapes for code in rows.status} == set(STATUS_NAMES)


def test_rows_of_a_recorded_minute_equal_the_reference():
    rows = compare(recorded_events(first_messages=9_000))
    assert (rows.status == 0).sum() > 2_500
