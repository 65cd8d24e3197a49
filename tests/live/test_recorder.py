"""The recorder: what it writes imports to the events of the feed that it listened to."""

import io
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from live.exchange import Replay
from live.exchange_reels import Listing
from live.recorder import Recorder, Recording, Shown, _record, record
from market.errors import ConfigError, JournalError
from market.events import FIRST, GAP, LAST, REPLAYED, SNAPSHOT, TRADE, Events
from market.sources.formats import importer_for
from storage.captures import input_file
from storage.journal import CONNECTION, FRAME, read_headers, read_journal, segments
from storage.progress import LastLine
from storage.recordings import all_files_by_date
from tests.builders_live import bybit_of, in_loop, short_capture, venue, wire_at
from tests.builders_market import COINM_BTC
from tests.builders_processes import SYMBOL, Process, ended_at_last, first_lines, settings_file, venue_process
from tests.builders_runner import START, synthetic_frames
from tests.builders_sessions import COINBASE_BTC
from tests.builders_terminal import Terminal, Ticking

DAY_NS = 86_400_000_000_000
FROM, TO = "2024-08-08T23:54:18", "2024-08-08T23:54:23"


def imported(format: str, paths: list[Path], until: int | None = None) -> Events:
    importer = importer_for(format, COINM_BTC)
    return np.concatenate(list(importer.batches([input_file(path) for path in paths], until)))


def ns(iso: str) -> int:
    return int(datetime.fromisoformat(iso).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of a real capture, as the symbol's source."""
    return first_lines(tmp_path_factory.mktemp("recorder"), 3_000)


def test_a_recording_of_the_replay_venue_imports_to_the_events_of_its_tape(tape: Path) -> None:
    with ended_at_last(venue_process(tape, FROM, "--end", TO)) as venue:
        ports = venue.ready()
        settings_file(tape, ports["ws_port"], ports["rest_port"])
        with ended_at_last(Process(tape, "recorder", ["record", "--until-end"])) as recorder:
            assert recorder.wait() == 0, recorder.lines()
            assert recorder.lines()[-1].startswith(f"stopped; {SYMBOL}: ")
        venue.end()
    folder = tape / "var" / "recorded" / SYMBOL
    [segment] = segments(folder)
    assert segment.name == "2024-08-08_00000001.tlj"
    heard = imported("journal", [segment])
    assert heard["kind"][-1] == GAP  # the end of the line
    joined = np.flatnonzero((heard["kind"] == SNAPSHOT) | ((heard["flags"] & REPLAYED) > 0))[-1]
    heard = heard[joined + 1 : -1]
    # every event behind the recorder's own snapshot, in its order and to the last one of the stretch that was played
    played = imported("capture", [tape / "tape" / "btcusd_perp_20240808.gz"], until=ns(TO) - 1)[-heard.size :]
    assert heard.size > 1_000
    for name in ("kind", "side", "exchange_ts", "price", "qty", "update_id"):
        assert np.array_equal(heard[name], played[name]), name
    assert np.array_equal(heard["flags"] & (FIRST | LAST), played["flags"] & (FIRST | LAST))
    # they arrived when they did on the tape, but for the way through our own sockets
    lateness_ms = (heard["ingest_ts"] - played["ingest_ts"]) / 1e6
    assert np.percentile(lateness_ms, 1) > -5
    assert np.median(lateness_ms) < 1_000


def test_a_line_that_is_lost_is_counted_and_the_book_waits_again(tmp_path: Path) -> None:
    recorder = Recorder(COINM_BTC, tmp_path, START)
    recorder.on_connection(True, START)
    for ts, frame in synthetic_frames(1.0):
        recorder.on_frame(frame, ts)
    recorder.on_frame(b"nonsense", ts)
    assert not recorder.needs_snapshot()
    recorder.on_connection(False, ts)
    assert recorder.needs_snapshot()
    assert recorder.report().endswith("0 gaps, 1 disconnections, 1 malformed")
    recorder.close()
    records = list(read_journal(tmp_path))
    assert [record.kind for record in records].count(CONNECTION) == 2
    assert [record.payload for record in records if record.kind == FRAME][-1] == b"nonsense"
    assert next(read_headers(tmp_path))[1]["instrument"]["name"] == COINM_BTC.name


def test_a_new_day_begins_a_segment_that_bears_its_date(tmp_path: Path) -> None:
    recorder = Recorder(COINM_BTC, tmp_path, START)
    for ts, frame in synthetic_frames(1.0):
        recorder.on_frame(frame, ts)
    recorder.on_frame(b"{}", START + DAY_NS)
    recorder.on_frame(b"{}", START + 2 * DAY_NS)
    recorder.close()
    days = all_files_by_date(segments(tmp_path))
    assert list(days) == ["2024-08-09", "2024-08-10", "2024-08-11"]
    assert [path.name for paths in days.values() for path in paths] == [
        "2024-08-09_00000001.tlj",
        "2024-08-10_00000002.tlj",
        "2024-08-11_00000003.tlj",
    ]
    frames = [record.ts for record in read_journal(tmp_path) if record.kind == FRAME]
    assert frames == sorted(frames)


def test_two_recorders_of_one_journal_are_refused(tmp_path: Path) -> None:
    recorder = Recorder(COINM_BTC, tmp_path, START)
    with pytest.raises(JournalError, match="another runner writes the journal"):
        Recorder(COINM_BTC, tmp_path, START)
    recorder.close()


def test_a_venue_that_no_connector_speaks_to_is_refused_before_any_wait(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="venue='coinbase-spot' of coinbase-spot-btc_usd is not one of "):
        record(
            Recording([COINBASE_BTC], wire_at((1, 1)), 3.0, [tmp_path], math.inf, False, None),
            lambda _: None,
            LastLine(),
        )
    assert not list(tmp_path.iterdir())


def test_a_venue_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    settings_file(tmp_path, wait=0.0)
    with ended_at_last(Process(tmp_path, "recorder", ["record", "--seconds", "1"])) as recorder:
        assert recorder.wait() == 1
        [line] = recorder.lines()
    assert line.startswith("tickloop: no venue answers at http://127.0.0.1:1")


def test_who_waits_sees_how_fast_frames_come_and_how_long_it_still_takes() -> None:
    terminal, clock = Terminal(), Ticking(0.5)
    shown = Shown(60.0, LastLine(terminal), clock)
    for frames in (5, 1_000, 1_100, 1_200):
        shown.look(frames)
    assert terminal.told == [
        "record: 1,000 frames, 1,000 a second, 59 s to go",
        "record: 1,200 frames, 200 a second, 58 s to go",
    ]
    Shown(math.inf, LastLine(terminal), Ticking(2.0)).look(10)
    assert terminal.told[2:] == ["record: 10 frames, 5 a second"]
    pipe = io.StringIO()
    Shown(60.0, LastLine(pipe), Ticking(2.0)).look(10)
    assert pipe.getvalue() == ""


@in_loop
async def test_symbols_of_two_venues_are_recorded_each_in_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live.recorder.SHOWN_S", 0.01)
    terminal = Terminal()
    capture, bybit = short_capture(tmp_path, "binance-coinm-btcusd_perp", 10), bybit_of(COINM_BTC)
    said: list[str] = []
    folders = [tmp_path / "binance", tmp_path / "bybit"]
    more = [Listing(bybit, [capture], COINM_BTC)]
    async with venue(Replay([capture], "last:8s", speed=20.0), more=more) as exchange:
        wire = wire_at(exchange.ports)
        await _record(
            Recording([COINM_BTC, bybit], wire, 0.0, folders, math.inf, True, None), said.append, LastLine(terminal)
        )

    assert [line.partition(" frames")[0].partition(":")[0] for line in said[-2:]] == [
        f"stopped; {COINM_BTC.name}",
        f"stopped; {bybit.name}",
    ]
    assert " frames, " in terminal.told[-1]
    told = [
        np.concatenate(list(importer_for("journal", instrument).batches([input_file(path)])))
        for instrument, folder in zip((COINM_BTC, bybit), folders, strict=True)
        for path in segments(folder)
    ]
    first, second = (events[events["kind"] == TRADE] for events in told)
    assert first.size > 5
    for name in ("update_id", "price", "qty", "side", "exchange_ts"):
        assert np.array_equal(first[name], second[name])
