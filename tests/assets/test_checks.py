"""The verdicts between the stages, on events made by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.book_checks import CrossedShare
from assets.checks import DAY_NS, EventCheck, Verdict, alike, day_start, run_checks
from assets.clock_checks import OFFSET_STEPS_LIMIT, SETTLING_NS, ClockQuality, IngestLag, NegativeDelays
from assets.raw_checks import Duplicates, GapRatio, Ordered, unparsed_share
from market.book import new_book
from market.events import (
    BBO,
    BUY,
    CONNECTION_SHIFT,
    FIRST,
    GAP,
    LAST,
    LEVEL,
    NO_VENUE_TIME,
    REPLAYED,
    SELL,
    SNAPSHOT,
    TRADE,
    Events,
    empty_events,
)
from tests.builders_market import recorded_events, synthetic_events

DAY = "2024-08-08"
S = 1_000_000_000
MS = 1_000_000


def events_at(*seconds: float, kind: int = LEVEL) -> Events:
    """One whole message at each time of day, with ids 1, 2, 3 and so on."""
    events = empty_events(len(seconds))
    events["ingest_ts"] = day_start(DAY) + (np.array(seconds) * S).astype(np.int64)
    events["kind"], events["flags"] = kind, FIRST | LAST
    events["update_id"] = np.arange(1, len(seconds) + 1)
    return events


def judged(check: EventCheck, *batches: Events) -> Verdict:
    [verdict] = run_checks(batches, [check])
    return verdict


def in_pieces(events: Events) -> Sequence[Events]:
    return np.array_split(events, [1, 2, events.size // 2])


def ordered() -> Ordered:
    return Ordered(DAY, 0, 0)


def test_events_in_order_on_their_day_pass() -> None:
    assert judged(ordered(), events_at(0, 1), events_at(1, 86_399.9)).passed


def test_events_out_of_order_or_off_their_day_or_none_at_all_do_not_pass() -> None:
    for batches in ([events_at(2, 1)], [events_at(2), events_at(1)]):
        verdict = judged(ordered(), *batches)
        assert verdict.facts["backward_steps"] == 1
        assert not verdict.passed
    off = judged(ordered(), events_at(1, 86_400))
    assert off.facts["outside_the_day"] == 1
    assert not off.passed
    assert not judged(ordered(), events_at()).passed


def test_a_receive_clock_may_slew_and_not_step() -> None:
    assert judged(Ordered(DAY, 3, 50 * MS), events_at(0, 1)).passed
    stepped = judged(Ordered(DAY, 1, 51 * MS), events_at(0, 1))
    assert not stepped.passed
    assert stepped.facts["worst_step_back_ms"] == 51.0


def test_a_message_that_comes_twice_is_found_within_and_across_batches() -> None:
    events = events_at(*range(200), kind=TRADE)
    events["price"] = 100
    again = np.concatenate([events, events[-1:], events[150:151]])
    for batches in ([again], in_pieces(again)):
        verdict = judged(Duplicates(), *batches)
        assert verdict.facts["repeated"] == 2
        assert not verdict.passed
        assert "| 00:03:19.000 | trade | 200 | 100 | 0 |" in verdict.pages["repeated_messages"]


def test_one_id_under_two_prices_sides_or_kinds_is_no_repeated_message() -> None:
    events = events_at(*range(4), kind=BBO)
    events["update_id"] = 7
    events["price"][1], events["side"][2], events["kind"][3] = 1, 1, TRADE
    verdict = judged(Duplicates(), events)
    assert verdict.passed
    assert verdict.facts["messages"] == 4


def test_messages_differ_by_any_of_their_levels_and_those_without_an_id_are_not_judged() -> None:
    events = events_at(0, 0, 1, 1)
    events["flags"], events["update_id"], events["qty"] = [FIRST, LAST] * 2, 5, [1, 2, 1, 3]
    assert judged(Duplicates(), events).facts["repeated"] == 0
    events["qty"][3] = 2
    assert judged(Duplicates(), events).facts["repeated"] == 1
    events["update_id"] = 0
    assert judged(Duplicates(), events).facts["messages"] == 0


def gap_events() -> Events:
    """Ids 1 to 1000 over 100 s; a gap after id 501 is mended 0.3 s later by a snapshot with id 505."""
    events = events_at(0, 50, 50.2, 50.3, 50.5, 100)
    events["kind"][2:5] = GAP, SNAPSHOT, SNAPSHOT
    events["flags"][3:5] = FIRST, LAST
    events["update_id"] = [1, 501, 501, 505, 505, 1001]
    return events


def test_a_gap_lasts_until_the_last_level_of_the_next_snapshot() -> None:
    for batches in ([gap_events()], in_pieces(gap_events())):
        verdict = judged(GapRatio(False), *batches)
        assert verdict.passed
        assert verdict.facts["closed_share"] == pytest.approx(0.003)
        assert verdict.facts["missing_id_share"] == pytest.approx(0.004)
        assert "| 00:00:50.200 | 00:00:50.500 | 300 | 501 | 505 |" in verdict.pages["gaps_by_time"]


def test_a_short_gap_that_swallows_many_ids_is_refused() -> None:
    events = gap_events()
    events["update_id"][3:5] = 511
    verdict = judged(GapRatio(False), events)
    assert verdict.facts["missing_id_share"] == pytest.approx(0.01)
    assert not verdict.passed


def test_a_gap_that_nothing_mends_lasts_to_the_end_and_is_refused() -> None:
    events = events_at(0, 98, 98.5, 100)
    events["kind"][1:3] = GAP
    verdict = judged(GapRatio(False), events)
    assert verdict.facts["closed_ms"] == 2_000
    assert not verdict.passed
    assert "not mended" in verdict.pages["gaps_by_time"]


def test_the_wait_for_the_first_snapshot_is_a_gap_only_where_the_day_before_ended_in_one() -> None:
    events = events_at(0, 50, 100)
    events["kind"][1] = SNAPSHOT
    assert judged(GapRatio(False), events).facts["closed_ms"] == 0
    reopened = judged(GapRatio(True), events)
    assert reopened.facts["closed_share"] == 0.5
    assert not reopened.passed


def test_unread_lines_are_measured_against_what_is_allowed_and_shown() -> None:
    account = {"lines": 1000, "quarantined": 1, "unknown": 250}
    line = ("a.gz", 7, "OffGrid: price", '{"p|q":1}')
    allowed = unparsed_share(account, [line], 0.001)
    assert allowed.passed
    assert '| a.gz | 7 | OffGrid: price | {"p\\|q":1} |' in allowed.pages["quarantine"]
    assert not unparsed_share(account | {"quarantined": 2}, [line], 0.001).passed
    assert not unparsed_share(account | {"unknown": 251}, [line], 0.001).passed
    assert not unparsed_share(account | {"lines": 0}, [], 0.001).facts["quarantined_share"]


def test_lag_is_judged_at_its_95th_percentile() -> None:
    events = events_at(*range(100))
    events["delay_ns"] = 10 * MS
    events["delay_ns"][:5] = 900 * MS
    verdict = judged(IngestLag(DAY), *in_pieces(events))
    assert verdict.passed
    assert verdict.facts["p95_ms"] == pytest.approx(10.1)
    assert "data:image/svg+xml;base64," in verdict.pages["delays"]
    events["delay_ns"][:6] = 900 * MS
    assert not judged(IngestLag(DAY), events).passed


@pytest.mark.parametrize("percent", [1.0, 50.0, 95.0, 99.9])
def test_percentiles_lie_within_a_tenth_of_a_millisecond(percent: float) -> None:
    events = empty_events(5_000)
    events["delay_ns"] = np.random.default_rng(1).gamma(2, 20 * MS, 5_000).astype(np.int64)
    exact = np.percentile(events["delay_ns"], percent, method="inverted_cdf") / MS
    check = IngestLag("1970-01-01")
    check.add(events)
    assert 0 <= check.histogram.percentile_ms(percent) - exact <= 0.1


def test_events_without_a_fresh_stamp_are_not_late_and_nothing_at_all_is_refused() -> None:
    events = events_at(*range(10))
    events["delay_ns"][:6] = 900 * MS
    events["flags"][:3], events["flags"][3:5], events["kind"][5] = NO_VENUE_TIME, REPLAYED, SNAPSHOT
    assert judged(IngestLag(DAY), events).passed
    assert not judged(IngestLag(DAY), events[:0]).passed


def test_a_negative_delay_is_refused_once_the_clock_has_settled() -> None:
    events = events_at(0, 1, 30, SETTLING_NS / S + 1)
    events["delay_ns"][1] = -1 * MS
    assert judged(NegativeDelays(DAY, cold_start=True), *in_pieces(events)).passed
    warm = judged(NegativeDelays(DAY, cold_start=False), *in_pieces(events))
    assert not warm.passed
    assert warm.facts["worst_ms"] == -1.0
    events["delay_ns"][3] = -1
    assert not judged(NegativeDelays(DAY, cold_start=True), events).passed


def test_an_unsure_clock_is_refused_once_it_has_settled() -> None:
    events = events_at(*range(0, 200, 2))
    events["clock_error_us"][:31] = 51_000
    assert not judged(ClockQuality(DAY, cold_start=False), events).passed
    verdict = judged(ClockQuality(DAY, cold_start=True), *in_pieces(events))
    assert verdict.passed
    assert verdict.facts["unsure_share"] == pytest.approx(1 / 70)
    events["clock_error_us"][31] = 51_000
    assert not judged(ClockQuality(DAY, cold_start=True), events).passed


def test_an_offset_that_keeps_jumping_is_refused_host_by_host() -> None:
    events = events_at(*range(100, 300))
    events["flags"][1::2] |= 3 << CONNECTION_SHIFT
    events["offset_ns"][1::2] = 80 * MS  # another host's clock is no step
    calm = judged(ClockQuality(DAY, cold_start=False), *in_pieces(events))
    assert calm.passed
    assert (calm.facts["offset_steps"], calm.facts["connections"]) == (0, 2)
    events["offset_ns"][::2] = np.minimum(np.arange(100), OFFSET_STEPS_LIMIT) * 51 * MS
    assert judged(ClockQuality(DAY, cold_start=False), events).passed
    events["offset_ns"][198] = 0
    verdict = judged(ClockQuality(DAY, cold_start=False), *in_pieces(events))
    assert verdict.facts["offset_steps"] == OFFSET_STEPS_LIMIT + 1
    assert not verdict.passed


def book_events() -> Events:
    """A snapshot of 100 bid, 102 ask; then a bid at 103 that crosses, a second later taken away, in 100 messages."""
    events = events_at(*range(100))
    events["kind"][:2], events["flags"][:2] = SNAPSHOT, (FIRST, LAST)
    events["side"], events["price"], events["qty"] = BUY, 90, 1
    events["price"][0], events["price"][1], events["side"][1] = 100, 102, SELL
    events["update_id"][:2] = 1
    return events


def test_a_book_that_stays_apart_passes() -> None:
    verdict = judged(CrossedShare(new_book()), *in_pieces(book_events()))
    assert verdict.passed
    assert verdict.facts["judged_messages"] == 99


@pytest.mark.parametrize(("price", "what"), [(103, "crossed"), (102, "locked")])
def test_a_crossed_or_locked_book_is_refused_and_its_time_shown(price: int, what: str) -> None:
    events = book_events()
    events["price"][50:52], events["qty"][51] = price, 0
    for batches in ([events], in_pieces(events)):
        verdict = judged(CrossedShare(new_book()), *batches)
        assert verdict.facts[what] == 1
        assert not verdict.passed
        assert "| 00:00:50.000 | 00:00:51.000 | 1,000 |" in verdict.pages["crossings"]


def test_a_book_that_is_crossed_at_the_end_says_so() -> None:
    events = book_events()
    events["price"][99] = 105
    assert "not over: 105 bid, 102 ask" in judged(CrossedShare(new_book()), events).pages["crossings"]


def test_a_book_goes_on_from_the_day_before() -> None:
    book = new_book()
    judged(CrossedShare(book), book_events())
    assert judged(CrossedShare(book), book_events()[60:]).facts["judged_messages"] == 40
    assert judged(CrossedShare(new_book()), book_events()[60:]).facts["judged_messages"] == 0


@pytest.mark.parametrize("run", ["binance-usdm-btcusdt-2023", "binance-coinm-btcusd_perp"])
def test_every_day_of_a_real_feed_passes_every_check(run: str) -> None:
    events, book = recorded_events(run), new_book()
    midnight = -(-int(events["ingest_ts"][0]) // DAY_NS) * DAY_NS
    first, second = events[events["ingest_ts"] < midnight], events[events["ingest_ts"] >= midnight]
    for day, cold_start in ((first, True), (second, False)):
        date = datetime.fromtimestamp(int(day["ingest_ts"][0]) // 1_000_000_000, UTC).date().isoformat()
        checks = (
            *(Ordered(date, 0, 0), Duplicates(), GapRatio(False), CrossedShare(book)),
            *(IngestLag(date), NegativeDelays(date, cold_start), ClockQuality(date, cold_start)),
        )
        assert [verdict for verdict in run_checks(np.array_split(day, 3), checks) if not verdict.passed] == []


@settings(max_examples=12)
@given(st.sets(st.integers(1, 6_000), max_size=6))
def test_no_verdict_depends_on_how_the_day_is_cut_into_batches(cuts: set[int]) -> None:
    def verdicts(batches: Sequence[Events]) -> list[Verdict]:
        date = "2024-08-09"
        checks = (
            *(Ordered(date, 0, 0), Duplicates(), GapRatio(False), CrossedShare(new_book())),
            *(IngestLag(date), NegativeDelays(date, False), ClockQuality(date, False)),
        )
        return run_checks(batches, checks)

    events = faulty_tape()
    assert events.size > 6_000
    assert verdicts(np.split(events, sorted(cuts))) == verdicts([events])


@cache
def faulty_tape() -> Events:
    """Simulated events among which a second comes twice, a gap is mended late, and delays are negative."""
    events = synthetic_events(16.0)
    again = events[2_000:2_500].copy()
    again["delay_ns"] -= 1_000 * MS
    again["ingest_ts"] = events["ingest_ts"][2_999]
    gap = events_at(0, kind=GAP)
    gap["ingest_ts"] = events["ingest_ts"][4_000]
    return np.concatenate([events[:3_000], again, events[3_000:4_001], gap, events[4_001:]])


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2), st.sampled_from([BBO, TRADE])), max_size=60))
def test_repeated_messages_are_those_that_a_plain_set_knows(messages: list[tuple[int, int, int]]) -> None:
    events = events_at(*range(len(messages)))
    for event, (update_id, price, kind) in zip(events, messages, strict=True):
        event["update_id"], event["price"], event["kind"] = update_id, price, kind
    known: set[tuple[int, int, int]] = set()
    repeated = sum(message in known or bool(known.add(message)) for message in messages)
    assert judged(Duplicates(), *np.array_split(events, 3)).facts["repeated"] == repeated


def test_tables_are_alike_only_bit_for_bit() -> None:
    table = pl.DataFrame({"x": [0.1, float("nan")], "y": [1, 2]})
    assert alike("parity", table, table.clone()).passed
    assert alike("parity", table, table.with_columns(x=pl.col("x") * (1 + 1e-16) + 1e-17)).facts["differing"] == "x"
    assert not alike("parity", table, table.drop("y")).passed
    assert not alike("parity", table[:0], table[:0]).passed
