"""The checks on what came out of a journal: order across the pieces that it is read in, and rows without holes."""

import polars as pl
import pytest

from assets.live_journal import in_order, without_holes

ROW_NS = 20


@pytest.mark.parametrize(
    ("pieces", "backwards"),
    [
        ([[1, 2, 2], [2, 3]], 0),
        ([[1, 3, 2], [4]], 1),
        ([[1, 5], [4, 6]], 1),  # where one piece ends and the next begins
        ([[1, 5], [], [4]], 1),
    ],
)
def test_an_event_that_steps_back_is_found_across_pieces(pieces: list[list[int]], backwards: int) -> None:
    found = in_order(pl.DataFrame({"ingest_ts": stamps}, {"ingest_ts": pl.Int64}) for stamps in pieces)
    assert (found.passed, found.facts["backwards"]) == (backwards == 0, backwards)
    assert found.facts["events"] == sum(map(len, pieces))


def test_a_journal_without_an_event_is_not_in_order() -> None:
    assert not in_order([]).passed


def test_a_row_left_out_or_told_twice_is_a_hole() -> None:
    whole = [(desk, row_ts) for row_ts in (0, 20, 40, 60) for desk in (0, 1)]
    for rows, odd in ((whole, 0), (whole[:4] + whole[5:], 1), (whole + whole[-1:], 1)):
        decisions = pl.DataFrame(rows, {"desk": pl.UInt8, "row_ts": pl.Int64}, orient="row")
        assert (without_holes(decisions, ROW_NS).passed, without_holes(decisions, ROW_NS).facts["odd_steps"]) == (
            odd == 0,
            odd,
        )
