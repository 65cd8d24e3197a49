"""On every recording, from end to end, the compiled book holds the levels of the naive one at a thousand instants."""

import pytest

from tests.builders_books import compare_capture, compare_session
from tests.builders_market import RUNS
from tests.builders_sessions import SESSIONS

pytestmark = pytest.mark.acceptance

INSTANTS = 1_000


@pytest.mark.parametrize("run", RUNS)
def test_a_whole_capture_s_levels_agree_with_the_naive_book(run: str) -> None:
    assert compare_capture(run, INSTANTS) > 300


@pytest.mark.parametrize("name", SESSIONS)
def test_a_whole_session_s_levels_agree_with_the_naive_book(name: str) -> None:
    assert compare_session(name, INSTANTS) > 20
