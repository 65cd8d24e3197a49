"""The kill switch in the journal: written before it acts, played back bit for bit, latched for good."""

from pathlib import Path

from live.parity import parity_of
from live.replay import decision_of
from storage.journal import DECISION, KILL, read_journal
from tests.builders_runner import START, close_all, drive, new_runner, synthetic_frames
from trading import account as own
from trading.records import PLACE


def test_a_kill_is_replayed_at_its_row_and_nothing_opens_after_it(tmp_path: Path) -> None:
    runner, frames = new_runner(tmp_path), synthetic_frames(6.0)
    runner.on_connection(True, START)
    drive(runner, frames[:800])
    assert any(not desk.session.idle for desk in runner.desks)
    runner.kill()
    drive(runner, frames[800:])
    close_all(runner)
    runner.close()
    assert all(desk.session.flat for desk in runner.desks)
    killed: set[int] = set()
    for record in read_journal(tmp_path / "journal"):
        if record.kind == KILL:
            killed.add(record.place)
        elif record.kind == DECISION and record.place in killed:
            decision = decision_of(record.payload)
            position = int(decision.record["position"][0])
            placed = decision.intents[decision.intents["verb"] == PLACE]
            assert all(int(intent["side"]) * position < 0 for intent in placed)
    assert killed == {desk.place for desk in runner.desks}
    report = parity_of(tmp_path / "journal", tmp_path / "bundles")
    assert report.exact
    assert report.fills > 0


def test_a_second_kill_changes_nothing(tmp_path: Path) -> None:
    runner = new_runner(tmp_path)
    runner.on_connection(True, START)
    drive(runner, synthetic_frames(6.0)[:400])
    runner.kill()
    runner.kill()
    assert all(desk.session.account[1][own.KILLED] == 1 for desk in runner.desks)
    runner.close()
    again = new_runner(tmp_path)
    assert all(desk.session.account[1][own.KILLED] == 1 for desk in again.desks)
    again.close()
