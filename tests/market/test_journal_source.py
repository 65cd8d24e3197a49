"""The journal as a source: the events that its writer saw."""

from pathlib import Path

import numpy as np
import pytest

from live.plan import reader_of
from market.clock import align, new_clock
from market.errors import DataError, JournalError
from market.events import FIRST, GAP, LAST, NO_VENUE_TIME, Events, connection_of
from market.journal_records import CONNECTION, DOWN, FRAME, Record
from market.sources.importing import InputFile
from market.sources.journal_source import JournalImporter
from storage.captures import input_file
from storage.journal import read_journal, segments
from storage.journal_writer import JournalWriter
from tests.builders_market import COINM_BTC, USDM_BTC
from tests.builders_runner import START, drive, new_runner, quick_plan, synthetic_frames, written_journal


def files_of(folder: Path) -> list[InputFile]:
    return [input_file(path) for path in segments(folder)]


def imported(folder: Path, importer: JournalImporter | None = None, until: int | None = None) -> Events:
    return np.concatenate(list((importer or JournalImporter(COINM_BTC)).batches(files_of(folder), until)))


def as_seen(folder: Path) -> Events:
    """What the runner's reader makes of the journal."""
    reader, found = reader_of(quick_plan()), []
    for record in read_journal(folder):
        if record.kind == FRAME:
            found.append(reader.read(record.payload, record.ts, record.place))
        elif record.kind == CONNECTION and record.payload == DOWN:
            found.append(reader.lose(record.ts, record.place))
    return np.concatenate(found)


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """A journal of two runners: the line was lost twice, and a frame came that nobody can read."""
    frames = synthetic_frames(8.0)
    cut = [next(i for i, (ts, _) in enumerate(frames) if ts > START + 2_000_000_000 * part) for part in (1, 2, 3)]
    for pieces in ((frames[: cut[0]], frames[: cut[1]]), (frames[: cut[2]],)):
        runner = new_runner(tmp_path)
        for piece in pieces:
            newest = runner.stamps.now()
            runner.on_connection(True, newest)
            drive(runner, [(ts, frame) for ts, frame in piece if ts > newest] or piece[:1])
            runner.on_frame(b'{"stream":"btcusd_perp@trade","data":{"p":', runner.stamps.now())
            runner.on_connection(False, runner.stamps.now())
        runner.journal.close()
    return tmp_path / "journal"


def test_the_events_are_those_of_the_runner_once_they_are_aligned(interrupted: Path) -> None:
    importer, plan = JournalImporter(COINM_BTC), quick_plan()
    events = imported(interrupted, importer)
    align(new_clock(plan.clock), plan.clock, events)
    seen = as_seen(interrupted)
    assert np.array_equal(events, seen)
    assert len(segments(interrupted)) == 2
    assert (seen["kind"] == GAP).sum() == importer.account.counts["disconnections"] > 2
    assert importer.account.bad == 3
    line = importer.account.quarantined[0]
    assert (line.file, line.line) == (str(segments(interrupted)[0]), '{"stream":"btcusd_perp@trade","data":{"p":')


def test_an_import_stops_where_it_is_told_and_knows_the_newest_frame(tmp_path: Path) -> None:
    folder = written_journal(tmp_path, 2.0)
    whole = imported(folder)
    middle = int(whole["ingest_ts"][whole.size // 2])
    assert np.array_equal(imported(folder, until=middle), whole[whole["ingest_ts"] <= middle])
    assert JournalImporter(COINM_BTC).newest_ts(files_of(folder)) == whole["ingest_ts"][-1]


def test_events_bear_the_number_of_their_connection(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, {}, 1 << 20)
    for ts, frame in synthetic_frames(1.0):
        writer.frame(ts, 3, frame)
    writer.append(Record(CONNECTION, 3, ts, DOWN))
    writer.close()
    events = imported(tmp_path)
    assert set(connection_of(events["flags"]).tolist()) == {3}
    assert events["kind"][-1] == GAP
    assert events["flags"][-1] & 0xFF == FIRST | LAST | NO_VENUE_TIME


def test_a_torn_end_is_left_out_and_damage_or_another_symbol_is_refused(tmp_path: Path) -> None:
    folder = written_journal(tmp_path, 1.0)
    [segment] = segments(folder)
    whole, data = imported(folder), segment.read_bytes()
    with pytest.raises(DataError, match="is a journal of binance-coinm-btcusd_perp, not of binance-usdm-btcusdt"):
        imported(folder, JournalImporter(USDM_BTC))
    segment.write_bytes(data + data[-40:-5])
    with pytest.raises(JournalError, match=r"00000001\.tlj is damaged at byte \d+"):
        imported(folder)
    segment.write_bytes(data[:-3])
    assert imported(folder).size <= whole.size
