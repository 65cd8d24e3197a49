"""All four levels on journals of real desks, what is refused before any figure, and what a person reads."""

import json
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from commands.floor import parity
from config.loading import load_settings
from config.settings import Settings
from live.ladder import climb
from live.ladder_text import as_json
from live.overheard import UNASKED
from live.replay import decision_of, reports_of
from market.errors import JournalError
from storage.bundle import MANIFEST
from storage.journal import (
    DECISION,
    MAGIC,
    MODEL,
    REPORTS,
    Record,
    encode,
    journal_bytes,
    read_journal,
    read_segment,
    record_bytes,
    segments,
)
from storage.progress import Weighing
from tests.builders_exchange import run_at_venue
from tests.builders_live import in_loop
from tests.builders_parity import deploying, orders_here, taking_plan
from tests.builders_runner import quick_plan, traded_journal, write_band_bundle
from tests.builders_terminal import Terminal, Ticking

ROW_NS = quick_plan().features.row_interval_ms * 1_000_000

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")


def settings_with(**parity: Any) -> Settings:
    settings = load_settings("dev")
    return replace(settings, parity=replace(settings.parity, draws=20, min_answers=50, **parity))


@in_loop
async def test_fills_at_the_replay_venue_are_those_of_the_backtest(tmp_path: Path) -> None:
    """Two hundred of them, on real frames, are in the acceptance tests."""
    await run_at_venue(tmp_path, 4.0, taking_plan(), deploying(tmp_path))
    settings = replace(settings_with(min_fills=10), live=orders_here().live)
    ladder = climb(settings, tmp_path / "journal", tmp_path / "bundles", 3)
    assert [level.verdict for level in ladder.levels] == ["passed"] * 3, ladder.why
    assert ladder.levels[2].figures["distance"] < 0.005
    assert ladder.desk == "model"
    assert ladder.levels[0].why.endswith("the desk at the exchange is not asked: its reports are the exchange's")
    real = replace(settings, live=load_settings("dev").live)
    assert climb(real, tmp_path / "journal", tmp_path / "bundles", 3).levels[2].verdict == "reported"


@in_loop
async def test_a_desk_at_an_exchange_is_judged_by_the_levels_that_can_be_asked(tmp_path: Path) -> None:
    await run_at_venue(tmp_path, 4.0)
    settings = replace(settings_with(min_fills=3), live=orders_here().live)
    ladder = climb(settings, tmp_path / "journal", tmp_path / "bundles", 3)
    assert [level.verdict for level in ladder.levels] == ["not asked", "passed", "passed"], ladder.why
    assert ladder.levels[0].why == "not asked at an exchange gateway: its reports are the exchange's"
    assert ladder.verdict == "passed"


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the journal of two desks on paper, and the bundle of one."""
    folder: Path = tmp_path_factory.mktemp("traded")

    @in_loop
    async def trade() -> None:
        await traded_journal(folder, 8.0)

    trade()
    return folder


def test_on_paper_the_profit_of_the_busiest_desk_comes_out_again(traded: Path) -> None:
    ladder = climb(settings_with(min_fills=40), traded / "journal", traded / "bundles")
    assert [level.verdict for level in ladder.levels[:3]] == ["passed"] * 3, ladder.why
    assert ladder.levels[2].figures["distance"] == 0
    assert ladder.levels[3].figures["draws"] == 20
    assert ladder.minutes is not None
    assert ladder.minutes.columns == ["minute", "made", "again", "low", "high", "inside"]
    assert ladder.causes is not None
    assert ladder.causes.bars[-1].amount == 0
    [bundle] = (traded / "bundles").iterdir()
    deployed, *rest = [record.ts for record in read_journal(traded / "journal") if record.kind == MODEL]
    told = [record for record in read_journal(traded / "journal") if record.kind == DECISION]
    reasons = {record.ts: decision_of(record.payload).record["reason"][0] for record in told if record.place == 0}
    asked = [ts for ts, reason in reasons.items() if ts >= deployed and reason not in UNASKED]
    assert (list(ladder.models), rest) == ([bundle.name], [])
    assert ladder.models[bundle.name] == (len(asked), asked[-1])
    assert 0 < len(asked) < 1 + (max(reasons) - deployed) // ROW_NS


def test_who_waits_sees_each_level_go_by_and_the_figures_are_the_same(
    traded: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("storage.progress.Weighing", partial(Weighing, terminal, 0.0, Ticking()))
    parity(settings_with(min_fills=40), asked(traded, level=4, json=True))
    shown = capsys.readouterr()
    assert json.loads(shown.out) == as_json(climb(settings_with(min_fills=40), traded / "journal", traded / "bundles"))
    assert shown.err == ""
    by_level = {
        level: [line for line in terminal.told if line.startswith(f"level {level} of 4: ")] for level in range(1, 5)
    }
    assert len(terminal.told) == sum(map(len, by_level.values()))
    shares, again = ([int(line.split()[4]) for line in by_level[level]] for level in (1, 2))
    assert shares == again == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 100)
    assert [line.split(",")[0] for line in by_level[3]] == [f"level 3 of 4: {share} %" for share in (20, 40, 60, 80)]
    assert len(by_level[4]) == 19
    assert all(line.endswith(" s to go") for line in terminal.told)


def test_too_few_fills_are_no_pass(traded: Path) -> None:
    ladder = climb(settings_with(min_fills=10_000), traded / "journal", traded / "bundles", 3)
    assert ladder.levels[2].verdict == ladder.verdict == "insufficient"


def test_another_configuration_is_refused(traded: Path) -> None:
    settings = replace(settings_with(), drift=replace(load_settings("dev").drift, seed=99))
    with pytest.raises(JournalError, match="unequal configuration: the journal was written under"):
        climb(settings, traded / "journal", traded / "bundles")


def test_other_fees_are_refused(traded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with()
    dearer = replace(settings, venue=replace(settings.venue, maker_fee=1e-4))
    monkeypatch.setattr("live.comparable.config_sha", lambda _: quick_plan().config_sha)
    with pytest.raises(JournalError, match="unequal fees"):
        climb(dearer, traded / "journal", traded / "bundles")


def test_another_bundle_under_the_same_name_is_refused(traded: Path, tmp_path: Path) -> None:
    [sha] = [path.name for path in (traded / "bundles").iterdir()]
    write_band_bundle(tmp_path / sha, 0.7)
    with pytest.raises(JournalError, match="unequal bundle"):
        climb(settings_with(), traded / "journal", tmp_path)
    (tmp_path / sha / MANIFEST).unlink()
    with pytest.raises(Exception, match=MANIFEST):
        climb(settings_with(), traded / "journal", tmp_path)


def test_a_journal_without_a_record_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no journal in"):
        climb(settings_with(), tmp_path, tmp_path)


def test_the_sizes_of_its_records_are_those_of_the_journal(traded: Path) -> None:
    journal = traded / "journal"
    records = [record for segment in segments(journal) for record in read_segment(segment, newest=True)]
    sizes = sum(map(record_bytes, records)) + len(MAGIC) * len(segments(journal))
    assert journal_bytes(journal) == sizes


def asked(traded: Path, **changes: Any) -> Namespace:
    return Namespace(**{"journal": traded / "journal", "bundles": None, "level": 3, "json": False} | changes)


def test_a_person_reads_a_line_a_level(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parity(settings_with(min_fills=40), asked(traded))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[:3]] == [["level", str(level), "passed"] for level in (1, 2, 3)]
    assert [line.split()[0] for line in lines[4:-1]] == [
        *("assumed", "fees", "funding", "latency", "queue", "rejects", "residual", "made")
    ]
    assert lines[-1] == "parity   passed"


def test_json_says_all_of_it(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parity(settings_with(min_fills=10_000), asked(traded, json=True))
    told = json.loads(capsys.readouterr().out)
    assert [level["verdict"] for level in told["levels"]] == ["passed", "passed", "insufficient"]
    assert told["verdict"] == "insufficient"
    assert set(told["causes"]["bars"]) == {"fees", "funding", "latency", "queue", "rejects", "residual"}
    assert sum(minute["made"] for minute in told["minutes"]) == pytest.approx(told["causes"]["made"])


def test_a_failed_level_is_exit_status_1(traded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    for segment in segments(traded / "journal"):
        records = [dearer(record) for record in read_segment(segment, newest=True)]
        (journal / segment.name).write_bytes(MAGIC + b"".join(map(encode, records)))
    with pytest.raises(SystemExit, match="1"):
        parity(settings_with(), asked(traded, journal=journal, bundles=traded / "bundles", level=1))
    assert capsys.readouterr().out.splitlines()[-1] == "parity   failed"


def dearer(record: Record) -> Record:
    """Every fill and answer a tick higher."""
    if record.kind != REPORTS:
        return record
    reports = reports_of(record.payload).copy()
    reports["price"] += 1
    return record._replace(payload=reports.tobytes())
