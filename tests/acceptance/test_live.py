"""A runner as a process: it ends in order, and says in one line why it cannot go on."""

import resource
from pathlib import Path

import pytest

from storage.journal import read_journal, segments, torn_end
from tests.builders_processes import (
    Process,
    ended_at_last,
    journal_of,
    runner_at,
    settings_file,
    synthetic_tape,
    until,
    venue_process,
)

pytestmark = pytest.mark.acceptance


def test_a_runner_ends_in_order_when_the_tape_does(tmp_path: Path) -> None:
    synthetic_tape(tmp_path, 4.0)
    with (
        ended_at_last(venue_process(tmp_path)) as venue,
        ended_at_last(runner_at(tmp_path, venue, "runner", "--until-end")) as runner,
    ):
        assert runner.wait() == 0, runner.lines()
        assert runner.lines()[-1].startswith("stopped; feed {'connections': 1, ")
        assert torn_end(segments(journal_of(tmp_path))[0]) is None


def test_a_full_disk_ends_the_runner_with_one_clear_line(tmp_path: Path) -> None:
    synthetic_tape(tmp_path, 20.0)
    with ended_at_last(venue_process(tmp_path)) as venue, ended_at_last(runner_at(tmp_path, venue)) as runner:
        resource.prlimit(runner.popen.pid, resource.RLIMIT_FSIZE, (200_000, 200_000))
        assert runner.wait() == 1
        assert runner.lines()[-1] == f"tickloop: cannot write the journal in {journal_of(tmp_path)}: File too large"
        assert torn_end(segments(journal_of(tmp_path))[0]) is None
        assert len(list(read_journal(journal_of(tmp_path)))) > 100


def test_a_venue_that_never_comes_is_one_clear_line(tmp_path: Path) -> None:
    settings_file(tmp_path, wait=0.3)
    with ended_at_last(Process(tmp_path, "runner", ["live"])) as runner:
        assert runner.wait() == 1
        assert runner.lines()[-1] == "tickloop: no venue answers at http://127.0.0.1:1: All connection attempts failed"
        assert not journal_of(tmp_path).exists()


def test_a_second_runner_on_a_journal_is_refused(tmp_path: Path) -> None:
    synthetic_tape(tmp_path, 60.0)
    with ended_at_last(venue_process(tmp_path)) as venue, ended_at_last(runner_at(tmp_path, venue)) as runner:
        runner.ready()
        until(lambda: segments(journal_of(tmp_path)))
        with ended_at_last(Process(tmp_path, "second", ["live"])) as second:
            assert second.wait() == 1
            assert second.lines()[-1] == f"tickloop: another runner writes the journal in {journal_of(tmp_path)}"
        assert runner.end() == 0
        assert venue.end() == 0
