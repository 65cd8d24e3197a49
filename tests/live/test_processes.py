"""Real processes: a runner that is killed and comes back, ends in order, or says in one line why it cannot run."""

import json
import signal
import socket
from pathlib import Path

import httpx
import numpy as np
import pytest

from config.refusals import RefusedKey, note_refusal
from config.settings import Paths
from live.exchange_tape import Tape
from live.plan import desks_of, plan_from, reader_of
from live.replay import Playback, decision_of, reports_of, resume
from market.orders import FILL
from storage.journal import DECISION, FRAME, REPORTS, read_headers, read_journal, read_segment, segments
from storage.snapshots import snapshots
from tests.builders_processes import (
    SYMBOL,
    Process,
    ended_at_last,
    first_lines,
    journal_of,
    runner_at,
    settings_file,
    until,
    venue_process,
)
from tests.builders_runner import ROW
from trading.records import SKIPPED, STOOD_DOWN


def url_of(runner: Process) -> str:
    return f"http://127.0.0.1:{runner.ready()['api_port']}"


def status(runner: Process) -> dict[str, object]:
    answer: dict[str, object] = httpx.get(f"{url_of(runner)}/status").json()["symbols"][0]
    return answer


def fills_in(journal: Path) -> int:
    found = [reports_of(record.payload) for record in read_journal(journal) if record.kind == REPORTS]
    return sum(int((reports["kind"] == FILL).sum()) for reports in found)


def place_in(frames: list[bytes], tape: list[bytes]) -> range:
    """Where on the tape an unbroken run of frames lies; fails if a frame is missing, doubled or out of order."""
    first = tape.index(frames[0])
    assert tape[first : first + len(frames)] == frames
    return range(first, first + len(frames))


PLANTED = {"TICKLOOP_DEPLOY_TOKEN": "planted-token", "TICKLOOP_DEPLOY_KEY": "planted-key"}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute of a real feed as the symbol's source."""
    return first_lines(tmp_path_factory.mktemp("recorded"), 6_000)


@pytest.fixture(scope="module")
def killed_and_back(recorded: Path) -> Path:
    """A folder whose runner was killed in mid-replay, came back, and was asked to end."""
    refused = Paths(recorded / "var").refused_starts
    for _ in range(2):
        note_refusal(refused, RefusedKey("a line", "secret in YAML"))
    with ended_at_last(venue_process(recorded, "2024-08-08T23:54:18")) as venue:
        with ended_at_last(runner_at(recorded, venue)) as first:
            first.ready()
            until(lambda: segments(journal_of(recorded)) and fills_in(journal_of(recorded)) > 0)
            until(lambda: snapshots(journal_of(recorded)))
            assert first.end(signal.SIGKILL) == -signal.SIGKILL
        size = segments(journal_of(recorded))[0].stat().st_size
        with ended_at_last(Process(recorded, "again", ["live"], **PLANTED)) as again:
            (recorded / "resumed").write_text(str(status(again)["resumed_decisions"]))
            (recorded / "replayed").write_text(str(status(again)["replayed_decisions"]))
            until(lambda: len(segments(journal_of(recorded))) == 2)
            until(lambda: httpx.get(f"{url_of(again)}/health").status_code == 200)
            (recorded / "metrics").write_text(httpx.get(f"{url_of(again)}/metrics").text)
            begun = decided(recorded, 1)["row_ts"][-1]
            until(lambda: decided(recorded, 1)["row_ts"][-1] > begun + 3_000_000_000)
            assert again.end() == 0, again.lines()
        assert segments(journal_of(recorded))[0].stat().st_size <= size
        assert venue.end() == 0
    return recorded


def decided(folder: Path, place: int) -> np.ndarray:
    found = [r.payload for r in read_journal(journal_of(folder)) if r.kind == DECISION and r.place == place]
    return np.concatenate([decision_of(payload).record for payload in found])


def test_a_killed_runner_comes_back_with_the_position_and_orders_of_its_journal(killed_and_back: Path) -> None:
    before, after = segments(journal_of(killed_and_back))
    plan = plan_from(next(read_headers(journal_of(killed_and_back)))[1])
    playback = Playback(reader_of(plan), desks_of(plan), lambda sha: pytest.fail(sha))
    count = resume(playback, read_segment(before, newest=True))
    assert count > 200
    assert int((killed_and_back / "resumed").read_text()) == count
    assert int((killed_and_back / "replayed").read_text()) < count  # from the snapshot on
    probe = playback.desks[1].session
    records = [record for record in read_segment(after, newest=True) if record.place == 1]
    first = next(record for record in records if record.kind == DECISION)
    seen = [reports_of(record.payload) for record in records if record.kind == REPORTS and record.ts == first.ts]
    filled = sum(int((r["side"].astype(int) * r["qty"])[r["kind"] == FILL].sum()) for r in seen)
    assert decision_of(first.payload).record["position"][0] == probe.position + filled
    assert first.ts == probe.next_row_ts
    old = {
        int(i["order_id"])
        for r in read_segment(before, True)
        if r.kind == DECISION and r.place == 1
        for i in decision_of(r.payload).intents
        if i["verb"] == 1
    }
    new = {
        int(i["order_id"])
        for r in records
        if r.kind == DECISION
        for i in decision_of(r.payload).intents
        if i["verb"] == 1
    }
    assert not old & new


def test_no_frame_is_lost_or_doubled_but_those_of_the_pause(killed_and_back: Path) -> None:
    files = sorted((killed_and_back / "tape").iterdir())
    tape = [frame.data for frame in Tape(files).frames() if frame.stream]
    places = []
    for segment in segments(journal_of(killed_and_back)):
        records = read_segment(segment, newest=True)
        frames = [r.payload for r in records if r.kind == FRAME and r.payload.startswith(b'{"stream"')]
        places.append(place_in(frames, tape))
    assert min(map(len, places)) > 100
    assert places[0].stop <= places[1].start


def test_every_row_is_decided_once_over_the_restart_those_of_the_pause_late(killed_and_back: Path) -> None:
    for place in (0, 1):
        made = decided(killed_and_back, place)
        assert np.array_equal(np.diff(made["row_ts"]), np.full(made.size - 1, ROW))
        assert np.array_equal(made["decision_id"], np.arange(1, made.size + 1))
        assert (made["reason"] == SKIPPED).sum() > 20
    assert made["reason"][-1] == STOOD_DOWN


def test_the_log_is_json_without_secrets_and_ends_with_the_latencies(killed_and_back: Path) -> None:
    text = (killed_and_back / "again.log").read_text()
    messages = [json.loads(line)["message"] for line in text.splitlines()]
    assert any(message.startswith("resumed from the journal: ") for message in messages)
    assert [SYMBOL in message and "close to decision p50" in message for message in messages[-2:]] == [True, True]
    assert not any(secret in text for secret in PLANTED.values())


def test_starts_that_were_refused_for_a_key_are_counted_by_the_next_one(killed_and_back: Path) -> None:
    assert 'refused_starts_total{reason="secret in YAML"} 2.0' in (killed_and_back / "metrics").read_text()


def test_a_journal_with_a_restart_is_equal_at_both_levels(killed_and_back: Path) -> None:
    command = ["parity", "--level", "2", str(journal_of(killed_and_back))]
    with ended_at_last(Process(killed_and_back, "parity", command)) as parity:
        assert parity.wait() == 0, parity.lines()
        assert [line.endswith("equal bit for bit") for line in parity.lines()[:2]] == [True, True]
        assert parity.lines()[-1].split() == ["parity", "insufficient"]  # no level was climbed that weighs profit


def test_an_occupied_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings_file(tmp_path, api=port)
        with ended_at_last(Process(tmp_path, "runner", ["live"])) as runner:
            assert runner.wait() == 1
            assert runner.lines() == [f"tickloop: port {port} for the runner's pages is taken: Address already in use"]
