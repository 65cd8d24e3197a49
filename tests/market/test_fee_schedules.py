"""The fee table: what is in force on a day, and one clear line where nothing is known."""

from datetime import date
from itertools import combinations

import pytest

from market.errors import ConfigError, DataError
from market.fee_schedules import ENTRIES, FeeEntry, fee_entry, fees_over
from market.sources import DECODERS


def test_a_tier_charges_what_was_in_force_on_the_day() -> None:
    old, new = (fees_over("binance-usdm", "vip0", day, day) for day in (date(2023, 4, 4), date(2024, 8, 8)))
    assert (old.maker, old.taker) == pytest.approx((0.0002, 0.0004))
    assert (new.maker, new.taker) == pytest.approx((0.0002, 0.0005))


def test_an_entry_holds_from_its_first_day_until_the_day_before_its_end() -> None:
    entries = (
        FeeEntry("v", "a", date(2024, 1, 1), date(2024, 2, 1), 1.0, 2.0, "x"),
        FeeEntry("v", "a", date(2024, 3, 1), None, 0.5, 1.0, "x"),
    )
    assert [fee_entry("v", "a", date(2024, *day), entries).taker_bp for day in ((1, 1), (1, 31), (3, 1))] == [2, 2, 1]
    for day in ((2, 1), (2, 29)):
        with pytest.raises(DataError, match="no entry of v a for 2024-02-.*covers 2024-01-01 to 2024-02-01, 2024-03"):
            fee_entry("v", "a", date(2024, *day), entries)


def test_what_is_not_known_is_an_error_and_never_0() -> None:
    with pytest.raises(DataError, match="no entry of binance-usdm vip0 for 2018-01-01; it covers 2021-06-30"):
        fee_entry("binance-usdm", "vip0", date(2018, 1, 1))
    with pytest.raises(DataError, match="nothing for binance-usdm vip12; it holds binance-coinm vip0"):
        fee_entry("binance-usdm", "vip12", date(2024, 8, 8))


def test_an_entry_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ConfigError, match="until=2024-01-01 must lie after since=2024-01-01"):
        FeeEntry("v", "a", date(2024, 1, 1), date(2024, 1, 1), 1.0, 2.0, "x")


def test_every_entry_is_of_a_venue_that_we_read_names_its_source_and_charges_makers_no_more_than_takers() -> None:
    for entry in ENTRIES:
        assert entry.venue in DECODERS
        assert entry.source
        assert entry.fees.maker <= entry.fees.taker


def overlaps(entries: tuple[FeeEntry, ...]) -> list[tuple[FeeEntry, FeeEntry]]:
    """Pairs of one tier that hold on the same day."""
    pairs = [
        pair for pair in combinations(entries, 2) if pair[0].venue == pair[1].venue and pair[0].tier == pair[1].tier
    ]
    last = date(9999, 12, 31)
    return [(a, b) for a, b in pairs if a.since < (b.until or last) and b.since < (a.until or last)]


def test_no_two_entries_of_a_tier_overlap() -> None:
    assert overlaps(ENTRIES) == []


@pytest.mark.parametrize(
    ("since", "until"), [((2023, 8, 31), None), ((2020, 1, 1), (2021, 7, 1)), ((2022, 1, 1), (2022, 2, 1))]
)
def test_an_entry_that_begins_before_another_of_its_tier_ends_would_be_found(
    since: tuple[int, int, int], until: tuple[int, int, int] | None
) -> None:
    late = FeeEntry("binance-usdm", "vip0", date(*since), until and date(*until), 2.0, 4.0, "x")
    found = overlaps((*ENTRIES, late))
    assert found
    assert all(pair[1] is late for pair in found)
    assert (
        overlaps((*ENTRIES, FeeEntry("binance-usdm", "vip0", date(2023, 9, 1), date(2024, 2, 12), 2.0, 4.0, "x"))) == []
    )


def test_every_entry_names_a_dated_attestation_of_the_year_it_begins_in() -> None:
    for entry in ENTRIES:
        assert f"({entry.since:%Y}" in entry.source


def test_days_over_which_the_fees_change_are_refused() -> None:
    with pytest.raises(DataError, match="vip0 change between 2023-08-31 and 2024-02-12, on 2024-02-12; split"):
        fees_over("binance-usdm", "vip0", date(2023, 8, 31), date(2024, 2, 12))
