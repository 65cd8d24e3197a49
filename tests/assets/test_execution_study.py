"""The table of parent orders: four ways over one stretch, or nothing where it is too short for one."""

from dataclasses import replace

from assets.execution_study import execution_table
from assets.studies import Case
from tests.builders_backtest import SECOND, desk, imbalance_forecasts, stretch


def case(seconds: float) -> Case:
    own, start = desk("take"), stretch()[1].start
    window = own.terms.window._replace(end=start + round(seconds * SECOND))
    return Case(replace(own, terms=own.terms._replace(window=window)), stretch()[0], imbalance_forecasts())


def test_few_parents_are_compared_and_called_insufficient() -> None:
    table = execution_table(case(7.5))
    assert table is not None
    assert table["baseline"].to_list() == ["TWAP", "always-take", "always-post"]
    assert table["parents"].to_list() == [1, 1, 1]
    assert set(table["verdict"]) == {"insufficient"}
    assert table["saved_bp"].is_finite().all()


def test_a_window_without_room_for_a_parent_has_no_table() -> None:
    assert execution_table(case(4.0)) is None
