"""On every recording the compiled book holds the levels that a naive one, read from the raw JSON, holds.

This is the quick part; ``tests/acceptance/test_books.py`` goes through every recording whole.
"""

import pytest

from tests.builders_books import compare_capture, compare_session
from tests.builders_market import RUNS
from tests.builders_sessions import SESSIONS, imported_session

LINES = 6_000  # of a capture: the naive book takes a hundred times as long as the compiled one


@pytest.mark.parametrize("run", RUNS)
def test_a_capture_s_levels_agree_with_the_naive_book_at_a_thousand_instants(run: str) -> None:
    assert compare_capture(run, 1_000, LINES) > 300


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_s_levels_agree_with_the_naive_book(name: str) -> None:
    assert imported_session(name)[1].bad == 0
    assert compare_session(name, 20 if SESSIONS[name].file == "COINBASE" else 150) > 20
