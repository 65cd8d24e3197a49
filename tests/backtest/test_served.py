"""What was served, judged by hand: coverage, width, endless intervals, and rows whose return never came to its end."""

import numpy as np
import pytest

from backtest.served import Came, Served, served
from labeling.targets import NO_CLASS
from market.errors import BacktestError
from trading.records import DECISION

ROW = 20_000_000


def decisions(count: int) -> np.ndarray:
    """Rows at a mid of 10,000 ticks that expect between -1 and 1 bp, two classes let in."""
    made = np.zeros(count, DECISION)
    made["row_ts"] = np.arange(count) * ROW
    made["best_bid"], made["best_ask"] = 9_999, 10_001
    made["lower_bp"], made["upper_bp"], made["classes"], made["spread_bp"] = -1.0, 1.0, 3, 0.2
    return made


def heard(made: np.ndarray, late: int = 1_000_000) -> np.ndarray:
    """What each row has heard where a message came with it, so late."""
    return made["row_ts"] - late - 1


def test_coverage_is_the_share_of_returns_that_lay_inside() -> None:
    made = decisions(12)
    made["best_bid"][8:] += 2  # 2 bp up from row 8 on, by way of both touches
    made["best_ask"][8:] += 2
    # the market 11 ms behind a row is heard by the next one, 51 ms by the third: rows 6 and 7 hold the jump
    found = served(made, heard(made), (11_000_000, 51_000_000), False)
    assert found == Served(9, pytest.approx(7 / 9), 2.0, 0.0, 2.0, None, 0.2)


def test_a_return_runs_as_late_as_messages_do() -> None:
    made = decisions(12)
    made["best_bid"][8:] += 2
    made["best_ask"][8:] += 2
    late = heard(
        made, 2 * ROW + 1_000_000
    )  # two rows later than above: rows 4 and 5 hold the jump, row 6 on has no end
    assert served(made, late, (11_000_000, 51_000_000), False) == Served(
        7, pytest.approx(5 / 7), 2.0, 0.0, 2.0, None, 0.2
    )


def test_endless_intervals_hold_everything_and_count_for_no_width() -> None:
    made = decisions(10)
    made["lower_bp"][:5], made["upper_bp"][:5] = -np.inf, np.inf
    made["best_bid"][3:] += 500
    made["best_ask"][3:] += 500
    found = served(made, heard(made), (0, 20_000_000), True)
    assert (found.rows, found.coverage, found.width_bp, found.endless) == (8, 1.0, 2.0, 0.5)


def test_sets_cover_the_labels_that_they_let_in_and_rows_without_one_are_passed_over() -> None:
    made = decisions(10)
    made["classes"][5:] = 4  # up alone, down and no trade before
    came = Came(made["row_ts"][1:], np.array([-1, 0, 1, 1, 1, NO_CLASS, 0, 1, 1], np.int8))
    found = served(made, heard(made), (0, ROW), False, came)
    assert found.set_coverage == pytest.approx(5 / 8)
    assert found.set_size == 1.5
    made["lower_bp"][:3] = np.nan  # before the forecasts begin nothing is served
    assert served(made, heard(made), (0, ROW), False, came).set_coverage == pytest.approx(3 / 6)


def test_a_row_without_a_touch_ends_no_return() -> None:
    made = decisions(10)
    made["best_ask"][4] = 0
    assert served(made, heard(made), (0, 20_000_000), False).rows == 6


def test_without_intervals_nothing_is_said() -> None:
    made = decisions(10)
    made["lower_bp"] = np.nan
    assert served(made, heard(made), (0, ROW), False) == Served(0, None, None, None, None, None, None)


def test_decisions_with_a_hole_are_refused() -> None:
    holed = np.delete(decisions(10), 4)
    with pytest.raises(BacktestError, match="not those of consecutive rows"):
        served(holed, heard(holed), (0, ROW), False)
