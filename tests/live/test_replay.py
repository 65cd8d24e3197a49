"""The journal played back: equal where nothing was touched, red where anything was; a restart goes on from it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands.floor import parity
from commands.line import command_line
from config.loading import load_settings
from live.parity import parity_of
from live.plan import desks_of, reader_of, strategy_of
from live.replay import Playback, decision_of, reports_of
from market.errors import JournalError
from market.orders import FILL
from storage.journal import DECISION, FRAME, HEADER, MAGIC, MODEL, REPORTS, Record, encode, read_segment, segments
from tests.builders_runner import (
    SECOND,
    START,
    close_all,
    drive,
    new_runner,
    orders_of,
    quick_plan,
    synthetic_frames,
    write_band_bundle,
    written_journal,
)

Change = Callable[[Record], Record | None]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_journal(tmp_path_factory.mktemp("live"))


def altered(journal: Path, folder: Path, change: Change) -> Path:
    """A copy of a journal with every record changed, or left out."""
    folder.mkdir()
    for segment in segments(journal):
        records = [change(record) for record in read_segment(segment, newest=True)]
        (folder / segment.name).write_bytes(MAGIC + b"".join(encode(record) for record in records if record))
    return folder


def with_setting(key: str, value: Any) -> Change:
    def change(record: Record) -> Record:
        if record.kind != HEADER:
            return record
        header = json.loads(record.payload)
        header["venue"][key] = value
        return record._replace(payload=json.dumps(header).encode())

    return change


def with_field(kind: int, number: int, name: str, by: float) -> Change:
    """Change a field of the first record of the ``number``-th payload of a kind."""
    seen = 0

    def change(record: Record) -> Record:
        nonlocal seen
        if record.kind != kind:
            return record
        seen += 1
        if seen != number:
            return record
        if kind == REPORTS:
            reports = reports_of(record.payload).copy()
            reports[name][0] += by
            return record._replace(payload=reports.tobytes())
        decision = decision_of(record.payload)
        changed = decision.record.copy()
        changed[name][0] += by
        return record._replace(payload=changed.tobytes() + decision.intents.tobytes())

    return change


def with_dearer_intent(number: int) -> Change:
    """Move the price of the first intent of the ``number``-th decision that sends any, and leave the decision as is."""
    seen = 0

    def change(record: Record) -> Record:
        nonlocal seen
        decision = decision_of(record.payload) if record.kind == DECISION else None
        seen += bool(decision and decision.intents.size)
        if decision is None or not decision.intents.size or seen != number:
            return record
        intents = decision.intents.copy()
        intents["price"][0] += 1
        return record._replace(payload=decision.record.tobytes() + intents.tobytes())

    return change


def without_report(place: int, number: int = 5) -> Change:
    """Drop one report of the ``number``-th row that saw several, and leave the others as they are."""
    seen = 0

    def change(record: Record) -> Record:
        nonlocal seen
        reports = reports_of(record.payload) if record.kind == REPORTS else None
        seen += reports is not None and reports.size > 1
        if reports is None or reports.size < 2 or seen != number:
            return record
        return record._replace(payload=np.delete(reports, place).tobytes())

    return change


def test_an_untouched_journal_is_equal_at_both_levels(untouched: Path) -> None:
    report = parity_of(untouched, untouched.parent / "bundles")
    assert report.exact
    assert (report.orders.different, report.decisions.different) == (0, 0)
    assert report.fills >= 20
    assert report.decisions.records == report.decisions.rows > 500


@pytest.mark.parametrize(
    ("change", "levels"),
    [
        (with_setting("order_latency_ms", 60.0), "both"),
        (with_setting("ack_latency_ms", 31.0), "both"),
        (with_setting("maker_fee", 0.0001), "decisions"),
        (with_field(REPORTS, 30, "price", 1), "orders"),
        (without_report(0), "orders"),
        (without_report(-1), "orders"),
        (with_field(DECISION, 500, "infer_ts", 1), "none"),
        (with_field(DECISION, 500, "target", 1), "decisions"),
        (with_field(DECISION, 500, "equity", 1e-12), "decisions"),
        (with_dearer_intent(20), "both"),
    ],
)
def test_parity_goes_red_where_the_journal_was_altered(
    untouched: Path, tmp_path: Path, change: Change, levels: str
) -> None:
    report = parity_of(altered(untouched, tmp_path / "journal", change), tmp_path)
    assert report.orders.exact == (levels not in ("both", "orders"))
    assert report.decisions.exact == (levels not in ("both", "decisions"))


def test_prices_altered_in_frames_show(untouched: Path, tmp_path: Path) -> None:
    seen = 0

    def change(record: Record) -> Record:
        nonlocal seen
        if record.kind != FRAME or b"bookTicker" not in record.payload:
            return record
        seen += 1
        frame = json.loads(record.payload)
        frame["data"]["b"] = f"{float(frame['data']['b']) - 20:.1f}"
        return record._replace(payload=json.dumps(frame).encode()) if 200 <= seen < 230 else record

    report = parity_of(altered(untouched, tmp_path / "journal", change), tmp_path)
    assert seen > 230
    assert not report.decisions.exact


def test_a_missing_depth_frame_shows(untouched: Path, tmp_path: Path) -> None:
    records = read_segment(segments(untouched)[0], newest=True)
    missing = [record for record in records if b"@depth" in record.payload[:80]][100]
    journal = altered(untouched, tmp_path / "journal", lambda record: None if record == missing else record)
    assert not parity_of(journal, tmp_path).decisions.exact


def test_journals_of_two_plans_or_another_build_are_refused(untouched: Path, tmp_path: Path) -> None:
    def elsewhere(record: Record) -> Record:
        if record.kind != HEADER:
            return record
        header = json.loads(record.payload) | {"build": "python 3.11, another processor"}
        return record._replace(payload=json.dumps(header).encode())

    with pytest.raises(JournalError, match="was written by python 3.11, another processor, this is"):
        parity_of(altered(untouched, tmp_path / "elsewhere", elsewhere), tmp_path)

    mixed = altered(untouched, tmp_path / "mixed", lambda record: record)
    dearer = altered(untouched, tmp_path / "dearer", with_setting("taker_fee", 0.01))
    (dearer / "00000001.tlj").rename(mixed / "00000002.tlj")
    with pytest.raises(JournalError, match="00000002.tlj was written under another plan than .*00000001.tlj"):
        parity_of(mixed, tmp_path)


def test_a_header_of_another_version_is_refused(untouched: Path, tmp_path: Path) -> None:
    def older(record: Record) -> Record:
        return record._replace(payload=b'{"symbol": "x"}') if record.kind == HEADER else record

    with pytest.raises(JournalError, match="the journal's header is of another version"):
        parity_of(altered(untouched, tmp_path / "journal", older), tmp_path)
    with pytest.raises(JournalError, match="no journal in"):
        parity_of(tmp_path / "nothing", tmp_path)


@pytest.mark.parametrize("kind", [DECISION, REPORTS])
def test_a_payload_of_another_size_is_refused(untouched: Path, tmp_path: Path, kind: int) -> None:
    def longer(record: Record) -> Record:
        return record._replace(payload=record.payload + b"x") if record.kind == kind else record

    with pytest.raises(JournalError, match="written by another version"):
        parity_of(altered(untouched, tmp_path / "journal", longer), tmp_path)


def test_a_desk_that_the_plan_does_not_have_is_refused(untouched: Path, tmp_path: Path) -> None:
    def elsewhere(record: Record) -> Record:
        return record._replace(place=7) if record.kind == DECISION else record

    with pytest.raises(JournalError, match="the journal speaks of desk 7; there are 2"):
        parity_of(altered(untouched, tmp_path / "journal", elsewhere), tmp_path)


def without(place: int, first: int, last: int) -> Change:
    """Leave out a desk's decisions from the ``first``-th to the ``last``-th."""
    seen = 0

    def change(record: Record) -> Record | None:
        nonlocal seen
        if record.kind != DECISION or record.place != place:
            return record
        seen += 1
        return None if first <= seen <= last else record

    return change


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(("first", "last"), [(1, 10**9), (1, 1), (200, 200)])
def test_a_decision_that_is_missing_is_named(
    untouched: Path, tmp_path: Path, place: int, first: int, last: int
) -> None:
    journal = altered(untouched, tmp_path / "journal", without(place, first, last))
    missing = START + (first - 1) * 20_000_000
    named = rf"the journal holds row \d+ of desk [01] where row {missing} of desk {place} is due"
    with pytest.raises(JournalError, match=named):
        parity_of(journal, tmp_path)
    with pytest.raises(JournalError, match=named):
        new_runner(tmp_path)
    records = [record for segment in segments(journal)[:1] for record in read_segment(segment, newest=True)]
    for play in ("decisions", "fills"):
        playback = Playback(reader_of(quick_plan()), desks_of(quick_plan()), lambda _: pytest.fail("no model"))
        with pytest.raises(JournalError, match=named):
            list(getattr(playback, play)(records))


def test_a_decision_of_another_row_is_refused(untouched: Path, tmp_path: Path) -> None:
    journal = altered(untouched, tmp_path / "journal", with_field(DECISION, 400, "row_ts", 20_000_000))
    with pytest.raises(JournalError, match=r"row \d+ of desk 1 holds the decision of another row"):
        parity_of(journal, tmp_path)


def test_the_newest_row_may_lack_a_desk(untouched: Path, tmp_path: Path) -> None:
    records = list(read_segment(segments(untouched)[0], newest=True))
    newest = max(record.ts for record in records if record.kind == DECISION)
    dropped = [record for record in records if (record.kind, record.place, record.ts) == (DECISION, 1, newest)]
    journal = altered(untouched, tmp_path / "journal", lambda record: None if record in dropped else record)
    assert len(dropped) == 1
    assert parity_of(journal, tmp_path).decisions.exact


def test_the_bytes_of_a_torn_end_are_told(untouched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity_of(untouched, tmp_path).torn_bytes == 0
    journal = altered(untouched, tmp_path / "journal", lambda record: record)
    with segments(journal)[-1].open("ab") as end:
        end.write(encode(Record(FRAME, 0, START, b"cut off"))[:-3])
    arguments = command_line().parse_args(["parity", str(journal), "--level", "2"])
    parity(load_settings("dev"), arguments)
    assert "26 bytes of a torn end left out" in capsys.readouterr().out.splitlines()


def test_a_model_swapped_in_on_the_way_replays_exactly(tmp_path: Path) -> None:
    sha = write_band_bundle(tmp_path / "bundles" / "new")
    (tmp_path / "bundles" / "new").rename(tmp_path / "bundles" / sha)
    runner, frames = new_runner(tmp_path), synthetic_frames(9.0)
    half = len(frames) // 2
    drive(runner, frames[:half])
    close_all(runner)
    row_ts = runner.next_row_ts
    runner.desks[0].deploy(strategy_of(quick_plan(), tmp_path / "bundles" / sha), sha)
    runner.journal.append(Record(MODEL, 0, row_ts, sha.encode()))
    drive(runner, frames[half:])
    runner.journal.close()

    report = parity_of(tmp_path / "journal", tmp_path / "bundles")
    assert report.exact
    playback = Playback(
        reader_of(quick_plan()),
        desks_of(quick_plan()),
        lambda sha: strategy_of(quick_plan(), tmp_path / "bundles" / sha),
    )
    records = [record for segment in segments(tmp_path / "journal") for record in read_segment(segment, True)]
    pairs = [pair for pair in playback.decisions(records) if pair.desk == 0]
    fills = [pair.row_ts for pair in pairs for report in pair.written_reports if report["kind"] == FILL]
    assert len(fills) > 5
    assert min(fills) > row_ts
    assert playback.desks[0].bundle_sha == sha
    assert orders_of(playback.desks[0]) == orders_of(runner.desks[0])
    weaker = write_band_bundle(tmp_path / "bundles" / "other", conviction=0.6)
    (tmp_path / "bundles" / "other").rename(tmp_path / "bundles" / weaker)
    swapped = altered(
        tmp_path / "journal",
        tmp_path / "swapped",
        lambda record: record._replace(payload=weaker.encode()) if record.kind == MODEL else record,
    )
    assert not parity_of(swapped, tmp_path / "bundles").decisions.exact


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_restart_goes_on_where_the_journal_ends(tmp_path: Path, share: float) -> None:
    runner, frames = new_runner(tmp_path), synthetic_frames(8.0)
    cut = int(share * len(frames))
    drive(runner, frames[:cut])
    close_all(runner)
    runner.journal.close()
    resumed = new_runner(tmp_path, runner.clock)
    for before, after in zip(runner.desks, resumed.desks, strict=True):
        assert after.session.position == before.session.position
        assert orders_of(after) == orders_of(before)
        assert after.session.books.cash == before.session.books.cash
        assert after.session.next_row_ts == before.session.next_row_ts
        for name, array in before.gateway.dump().items():
            assert np.array_equal(array, after.gateway.dump()[name])
    assert resumed.needs_snapshot()

    resumed.journal.close()


@pytest.mark.parametrize("change", [with_field(DECISION, 400, "target", 1), with_dearer_intent(20)])
def test_a_journal_that_comes_out_differently_is_not_traded_on(untouched: Path, tmp_path: Path, change: Change) -> None:
    altered(untouched, tmp_path / "journal", change)
    for _ in range(2):  # the refused runner lets go of the journal
        with pytest.raises(
            JournalError, match=r"row \d+ of desk 1 was decided «.*» and comes out «.*»: the journal was"
        ):
            new_runner(tmp_path)
    assert len(segments(tmp_path / "journal")) == 1


def test_a_journal_of_another_plan_is_not_traded_on(untouched: Path, tmp_path: Path) -> None:
    altered(untouched, tmp_path / "journal", with_setting("taker_fee", 0.01))
    with pytest.raises(JournalError, match="00000001.tlj was written under another plan; move it away to start anew"):
        new_runner(tmp_path)


def test_a_kill_between_two_desks_on_one_row_leaves_both_their_decisions(untouched: Path, tmp_path: Path) -> None:
    records = list(read_segment(segments(untouched)[0], newest=True))
    decided = [i for i, record in enumerate(records) if record.kind == DECISION and record.place == 0]
    journal = tmp_path / "journal"
    journal.mkdir()
    (journal / "00000001.tlj").write_bytes(MAGIC + b"".join(map(encode, records[: decided[300] + 1])))

    runner = new_runner(tmp_path)
    lagging = records[decided[300]].ts
    assert [desk.session.next_row_ts - lagging for desk in runner.desks] == [20_000_000, 0]
    assert isinstance(runner.clock.ns, int)
    runner.clock.ns = lagging + SECOND
    close_all(runner)
    runner.journal.close()
    again = [r for segment in segments(journal) for r in read_segment(segment, True) if r.kind == DECISION]
    for place in (0, 1):
        rows = [record.ts for record in again if record.place == place]
        assert np.array_equal(np.diff(rows), np.full(len(rows) - 1, 20_000_000))
    assert parity_of(journal, tmp_path).exact
    assert rows[0] - START <= 20_000_000
