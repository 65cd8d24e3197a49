"""hftbacktest's event array: rows by hand, round trips, damaged files, and the package's own judgement."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.book import BEST_ASK, BEST_BID, BID, apply_events, new_book, quantity
from market.errors import CorruptFile, DataError
from market.events import (
    BBO,
    BUY,
    FIRST,
    GAP,
    LAST,
    LEVEL,
    MARK,
    NO_SIDE,
    NO_VENUE_TIME,
    SELL,
    SNAPSHOT,
    TRADE,
    Events,
    empty_events,
    venue_ts,
)
from market.sources import hftbacktest_file
from market.sources.hftbacktest import (
    BUY_EVENT,
    DEPTH_CLEAR,
    EXCH_EVENT,
    LOCAL_EVENT,
    ROW,
    SELL_EVENT,
    Rows,
    Stamps,
    exported,
)
from market.sources.hftbacktest_file import HftbacktestImporter
from market.sources.importing import InputFile
from storage.captures import input_file
from storage.npz import write_array
from tests.builders_market import COINM_BTC, recorded_events

BOTH = FIRST | LAST
HELD = (LEVEL, SNAPSHOT, BBO, TRADE, GAP)
FOR_BOTH = EXCH_EVENT | LOCAL_EVENT


def rows(*values: tuple[int, int, int, float, float]) -> Rows:
    array = np.zeros(len(values), ROW)
    for place, name in enumerate(("ev", "exch_ts", "local_ts", "px", "qty")):
        array[name] = [value[place] for value in values]
    return array


def file_of(array: Rows, packed: bool = True) -> InputFile:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, data=array) if packed else np.save(buffer, array)
    return InputFile("tape_20240808.npz", lambda: io.BytesIO(buffer.getvalue()))


def imported(*files: InputFile, importer: HftbacktestImporter | None = None, until: int | None = None) -> Events:
    return np.concatenate(list((importer or HftbacktestImporter(COINM_BTC)).batches(files, until)))


def all_rows(batches: list[Events], stamps: Stamps = "raw") -> Rows:
    count, pieces = exported(lambda: batches, COINM_BTC, stamps)
    array = np.concatenate([np.zeros(0, ROW), *pieces])
    assert array.size == count
    return array


def fields(events: Events, *names: str) -> list[tuple[int, ...]]:
    return [tuple(int(event[name]) for name in names) for event in events]


def test_the_words_are_hftbacktests() -> None:
    types = pytest.importorskip("hftbacktest.types")
    assert types.event_dtype == ROW
    assert (types.EXCH_EVENT, types.LOCAL_EVENT, types.BUY_EVENT, types.SELL_EVENT) == (
        EXCH_EVENT,
        LOCAL_EVENT,
        BUY_EVENT,
        SELL_EVENT,
    )
    words = ("DEPTH_EVENT", "TRADE_EVENT", "DEPTH_CLEAR_EVENT", "DEPTH_SNAPSHOT_EVENT", "DEPTH_BBO_EVENT")
    assert [getattr(types, word) for word in words] == [1, 2, 3, 4, 5]


def test_a_tape_by_hand_becomes_messages() -> None:
    bid, ask = FOR_BOTH | BUY_EVENT, FOR_BOTH | SELL_EVENT
    array = rows(
        (DEPTH_CLEAR | bid, 10, 20, 99.0, 0.0),
        (4 | bid, 10, 20, 100.1, 3.0),
        (DEPTH_CLEAR | ask, 10, 20, 102.0, 0.0),
        (4 | ask, 10, 20, 100.3, 4.0),
        (1 | bid, 11, 21, 100.2, 1.0),
        (1 | ask, 11, 21, 100.3, 0.0),
        (2 | bid, 12, 22, 100.3, 2.0),
        (2 | FOR_BOTH, 12, 22, 100.3, 2.0),
        (DEPTH_CLEAR | FOR_BOTH, 0, 23, 0.0, 0.0),
        (5 | bid, 13, 24, 100.2, 7.0),
        (101 | FOR_BOTH, 13, 25, 100.2, 7.0),
        (1 | EXCH_EVENT | BUY_EVENT, 14, 30, 100.0, 1.0),
    )
    importer = HftbacktestImporter(COINM_BTC)
    events = imported(file_of(array), importer=importer)
    assert fields(events, "kind", "side", "flags", "exchange_ts", "ingest_ts", "price", "qty", "update_id") == [
        (SNAPSHOT, BUY, FIRST, 10, 20, 1001, 3, 20),
        (SNAPSHOT, SELL, LAST, 10, 20, 1003, 4, 20),
        (LEVEL, BUY, FIRST, 11, 21, 1002, 1, 21),
        (LEVEL, SELL, LAST, 11, 21, 1003, 0, 21),
        (TRADE, BUY, BOTH, 12, 22, 1003, 2, 22),
        (TRADE, NO_SIDE, BOTH, 12, 22, 1003, 2, 23),
        (GAP, NO_SIDE, BOTH | NO_VENUE_TIME, 0, 23, 0, 0, 0),
        (BBO, BUY, BOTH, 13, 24, 1002, 7, 24),
    ]
    assert (importer.account.counts["venue_only"], importer.account.counts["other_events"]) == (1, 1)
    assert np.array_equal(imported(file_of(array, packed=False)), events)


def test_a_row_that_came_late_stands_there_once_for_each_order() -> None:
    events = empty_events(4)
    events["kind"], events["flags"], events["price"], events["qty"] = TRADE, BOTH, 1000, 1
    events["exchange_ts"], events["ingest_ts"] = [10, 30, 20, 30], [40, 41, 42, 43]
    array = all_rows([events[:2], events[2:]])
    assert array["exch_ts"].tolist() == [10, 20, 30, 20, 30]
    assert (array["ev"] & np.uint64(FOR_BOTH)).tolist() == [FOR_BOTH, EXCH_EVENT, FOR_BOTH, LOCAL_EVENT, FOR_BOTH]


@st.composite
def tapes(draw: st.DrawFn) -> Events:
    """Messages as a decoder makes them: an update id of their own, stamps of arrival that do not fall."""
    messages, ingest_ts = [], 1_000
    for update_id in range(1, draw(st.integers(1, 30)) + 1):
        kind = draw(st.sampled_from((*HELD, MARK)))
        size = {LEVEL: draw(st.integers(1, 4)), SNAPSHOT: draw(st.integers(1, 4)), BBO: 2}.get(kind, 1)
        ingest_ts += draw(st.integers(0, 2))
        events = empty_events(size)
        events["kind"], events["update_id"], events["ingest_ts"] = kind, update_id, ingest_ts
        events["exchange_ts"], events["delay_ns"] = draw(st.integers(1, 3_000)), draw(st.integers(-5, 50))
        events["flags"][0] |= FIRST
        events["flags"][-1] |= LAST
        if kind != GAP:
            events["side"] = [draw(st.sampled_from((BUY, SELL))) for _ in range(size)]
            events["price"] = [draw(st.integers(1, 10**7)) for _ in range(size)]
            events["qty"] = [draw(st.integers(0, 10**7)) for _ in range(size)]
        messages.append(events)
    return np.concatenate(messages)


NAMES = ("kind", "side", "flags", "exchange_ts", "ingest_ts", "price", "qty", "update_id")


@given(tapes(), st.integers(1, 40), st.integers(1, 9))
def test_what_both_sides_hold_comes_back_as_it_went(tape: Events, cut: int, chunk: int) -> None:
    array = all_rows([tape[:cut], tape[cut:]])
    held = tape[np.isin(tape["kind"], HELD)]
    if not held.size:
        assert array.size == 0
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hftbacktest_file, "CHUNK", chunk)
        back = imported(file_of(array))
    for name in NAMES:
        assert back[name].tolist() == held[name].tolist(), name


@given(tapes(), st.sampled_from(("raw", "aligned")))
def test_both_orders_hold_every_row_once(tape: Events, stamps: Stamps) -> None:
    array = all_rows([tape], stamps)
    for flag, stamp in ((EXCH_EVENT, "exch_ts"), (LOCAL_EVENT, "local_ts")):
        seen = array[(array["ev"] & np.uint64(flag)) > 0]
        assert np.all(np.diff(seen[stamp]) >= 0)
        clears = ((tape["kind"] == SNAPSHOT) & ((tape["flags"] & FIRST) > 0)).sum()
        assert seen.size == np.isin(tape["kind"], HELD).sum() + clears


@given(tapes(), st.integers(1, 40))
def test_aligned_times_are_those_of_the_venues_book_wherever_batches_end(tape: Events, cut: int) -> None:
    array = all_rows([tape[:cut], tape[cut:]], "aligned")
    local = array[((array["ev"] & np.uint64(LOCAL_EVENT)) > 0) & ((array["ev"] & np.uint64(0xFF)) != DEPTH_CLEAR)]
    held = np.isin(tape["kind"], (LEVEL, SNAPSHOT, BBO, TRADE))
    assert local["exch_ts"].tolist() == venue_ts(tape)[held].tolist()


def recorded() -> Events:
    return recorded_events("binance-coinm-btcusd_perp", 8_000)


def written(path: Path, batches: Iterable[Events], stamps: Stamps) -> InputFile:
    held = list(batches)
    count, pieces = exported(lambda: held, COINM_BTC, stamps)
    write_array(path, ROW, count, pieces)
    return input_file(path)


def test_a_recording_comes_back_from_its_file(tmp_path: Path) -> None:
    tape = recorded()
    file = written(tmp_path / "tape_20240808.npz", np.array_split(tape, 7), "raw")
    back = imported(file)
    assert back.size == tape.size > 20_000
    for name in ("kind", "side", "ingest_ts", "price", "qty", "update_id"):
        assert np.array_equal(back[name], tape[name]), name
    timed = (tape["flags"] & NO_VENUE_TIME) == 0
    assert np.array_equal(back["exchange_ts"][timed], tape["exchange_ts"][timed])
    assert np.array_equal(back["flags"] & BOTH, tape["flags"] & BOTH)
    assert HftbacktestImporter(COINM_BTC).newest_ts([file]) == tape["ingest_ts"][-1]
    middle = int(tape["ingest_ts"][tape.size // 2])
    assert imported(file, until=middle).size == (tape["ingest_ts"] <= middle).sum()


def test_hftbacktest_takes_the_file_and_ends_with_our_book(tmp_path: Path) -> None:
    package = pytest.importorskip("hftbacktest")
    from hftbacktest import binding
    from hftbacktest.data import validate_event_order

    tape = recorded()
    tape = tape[tape["kind"] != BBO]  # which its books pass over, and ours do not
    path = tmp_path / "tape_20240808.npz"
    written(path, [tape], "aligned")
    validate_event_order(np.load(path)["data"])
    asset = package.BacktestAsset().data([str(path)]).inverse_asset(100.0).constant_order_latency(1, 1).tick_size(0.1)
    asset = asset.risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(0, 0).lot_size(1.0)
    backtest = package.build_hashmap_backtest([asset])
    assert binding.hashmapbt_goto_end(backtest) in (0, 1)
    theirs, ours = binding.hashmapbt_depth(backtest, 0), new_book()
    apply_events(ours, tape)
    best_bid, best_ask = int(ours[2][BEST_BID]), int(ours[2][BEST_ASK])
    assert (binding.hashmapdepth_best_bid_tick(theirs), binding.hashmapdepth_best_ask_tick(theirs)) == (
        best_bid,
        best_ask,
    )
    for ticks in range(best_bid - 300, best_bid + 1):
        assert binding.hashmapdepth_bid_qty_at_tick(theirs, ticks) == quantity(ours, BID, ticks)


GOOD = rows((2 | FOR_BOTH | BUY_EVENT, 10, 20, 100.1, 1.0))
BAD = {
    "a price off the grid": (2 | FOR_BOTH, 10, 21, 100.15, 1.0),
    "no price": (1 | FOR_BOTH, 10, 21, np.nan, 1.0),
    "a negative quantity": (1 | FOR_BOTH, 10, 21, 100.1, -1.0),
    "no local time": (4 | FOR_BOTH, 0, 0, 100.1, 1.0),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_row_is_quarantined_with_its_number(bad: tuple[int, int, int, float, float]) -> None:
    importer = HftbacktestImporter(COINM_BTC)
    file = file_of(np.concatenate([GOOD, rows(bad), GOOD]))
    assert imported(file, importer=importer).size == 2
    [line] = importer.account.quarantined
    assert (line.file, line.number, importer.account.lines) == (file.name, 2, 3)


def broken(content: bytes, error: type[Exception]) -> str:
    with pytest.raises(error) as refused:
        list(HftbacktestImporter(COINM_BTC).batches([InputFile("tape.npz", lambda: io.BytesIO(content))]))
    return str(refused.value)


def test_a_file_that_is_cut_short_or_of_another_kind_is_refused_by_name() -> None:
    content = file_of(np.repeat(GOOD, 1_000)).open().read()
    plain = file_of(np.repeat(GOOD, 1_000), packed=False).open().read()
    for damaged in (content[: len(content) // 2], plain[:-100], plain[: -64 * 3], b"no array", b""):
        assert broken(damaged, CorruptFile).startswith("tape.npz ")
    other = io.BytesIO()
    np.savez(other, data=np.zeros(3))
    assert "not hftbacktest's" in broken(other.getvalue(), DataError)


def test_an_export_that_fails_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "tape.npz"
    with pytest.raises(DataError, match="1 rows came instead of 2"):
        write_array(path, ROW, 2, [GOOD])
    with pytest.raises(DataError, match="cannot write .*No such file"):
        write_array(tmp_path / "nowhere" / "tape.npz", ROW, 1, [GOOD])
    assert list(tmp_path.iterdir()) == []
