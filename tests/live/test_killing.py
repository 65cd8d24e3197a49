"""The kill switch in the journal: played back bit for bit, latched for good, and by every desk where a disk is full."""

import errno
from pathlib import Path

import httpx
import pytest

from live.api import api
from live.parity import parity_of
from live.replay import decision_of
from storage.journal import DECISION, KILL, read_journal
from tests.builders_live import in_loop
from tests.builders_runner import START, HandClock, close_all, drive, floor_of, new_runner, synthetic_frames
from tests.builders_site import OPEN
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


@in_loop
async def test_a_kill_that_comes_once_the_journal_is_closed_says_that_a_restart_is_not_latched(tmp_path: Path) -> None:
    floor = floor_of(tmp_path, ("first",), HandClock())
    runner = floor["first"]
    runner.on_connection(True, START)
    runner.close()
    transport = httpx.ASGITransport(api(floor, {}, runner.meters, OPEN), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        answer = await client.post("/kill", headers={"Authorization": "Bearer kill"})
    assert answer.status_code == 507
    assert answer.json()["detail"].endswith("journal: it is closed")
    assert not any(record.kind == KILL for record in read_journal(tmp_path / "first" / "journal"))


@in_loop
async def test_a_journal_that_fails_keeps_no_desk_of_any_symbol_from_being_latched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = floor_of(tmp_path, ("first", "second", "third"), HandClock())
    broken = floor["first"]

    def full(_: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for runner in floor.runners:
        runner.on_connection(True, START)
    monkeypatch.setattr(broken.journal, "_write", full)
    app = api(floor, {}, broken.meters, OPEN)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        answer = await client.post("/kill", headers={"Authorization": "Bearer kill"})
    desks = [desk for runner in floor.runners for desk in runner.desks]
    assert all(desk.session.account[1][own.KILLED] == 1 for desk in desks)
    assert answer.status_code == 507
    assert answer.json()["detail"].startswith("every desk is latched, but a restart of first is not: cannot write")
    assert [runner.meters.value("kills_total") for runner in floor.runners] == [1, 1, 1]
    for runner in floor.runners:
        runner.close()
    kills = {
        r.place for name in ("second", "third") for r in read_journal(tmp_path / name / "journal") if r.kind == KILL
    }
    assert kills == {desk.place for desk in broken.desks}
