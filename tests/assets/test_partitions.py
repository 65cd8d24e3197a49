"""Partition keys are ours, checked, and lead to the same part on both sides."""

from datetime import UTC, date, datetime

import dagster as dg
import pytest

from assets.partitions import Part, day_beside, day_key, days, part_of, slice_key, valid_slice
from market.errors import ConfigError


@pytest.mark.parametrize("key", ["", "k0", "20240808T235500Z-k0|x", "20240808T235500Z-k", "a,b", "..."])
def test_a_slice_key_that_dagster_would_break_on_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="20240808T235500Z-k0"):
        valid_slice(key)


def test_a_partition_key_leads_back_to_its_part() -> None:
    for part, key in (
        (Part("coin", "2024-08-08"), day_key(Part("coin", "2024-08-08"))),
        (Part("coin", "20240808T235500Z-k3"), slice_key(Part("coin", "20240808T235500Z-k3"))),
        (Part("coin", "all"), "coin"),
    ):
        assert part_of(dg.build_asset_context(partition_key=key)) == part  # type: ignore[arg-type]


def test_the_day_before_new_year_is_in_another_year() -> None:
    assert day_beside(Part("coin", "2024-01-01"), -1) == Part("coin", "2023-12-31")


def test_today_has_a_partition() -> None:
    newest = days.get_last_partition_key()
    assert newest is not None
    assert date.fromisoformat(newest) >= datetime.now(UTC).date()
