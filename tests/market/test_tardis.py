"""Tardis CSV: rows by hand, bad lines, and real recordings through an independent writer."""

import gzip
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import CorruptFile, DataError
from market.events import (
    BUY,
    FIRST,
    FUNDING,
    GAP,
    INDEX,
    LAST,
    LEVEL,
    LIQUIDATION,
    MARK,
    NO_SIDE,
    NO_VENUE_TIME,
    SELL,
    SNAPSHOT,
    TRADE,
    Events,
)
from market.sources import tardis_csv
from market.sources.importing import InputFile
from market.sources.tardis import TardisImporter
from storage.captures import input_file
from tests.builders_market import COINM_BTC, USDM_BTC, recorded_events
from tests.builders_tardis import book_lines, print_lines, tardis_file, ticker_lines

US = 1_000
T = 1_723_161_600_000_000  # us
HEAD = "binance-coin-futures,BTCUSD_PERP"
BOTH = FIRST | LAST


def book(*rows: str, day: str = "2024-08-08") -> InputFile:
    return tardis_file("incremental_book_L2", [f"{HEAD},{row}" for row in rows], day)


def trades(*rows: str) -> InputFile:
    return tardis_file("trades", [f"{HEAD},{row}" for row in rows])


def imported(*files: InputFile, importer: TardisImporter | None = None, until: int | None = None) -> Events:
    batches = list((importer or TardisImporter(COINM_BTC)).batches(files, until))
    return np.concatenate(batches)


def fields(events: Events, *names: str) -> list[tuple[int, ...]]:
    return [tuple(int(event[name]) for name in names) for event in events]


SNAPSHOT_ROWS = (f"{T},{T + 5},true,bid,100.1,3", f"{T},{T + 5},true,ask,100.3,4")


def test_rows_with_the_same_stamps_are_one_message() -> None:
    rows = (*SNAPSHOT_ROWS, f"{T + 7},{T + 9},false,bid,100.2,1", f"{T + 7},{T + 9},false,ask,100.3,0")
    events = imported(book(*rows, f"{T + 8},{T + 9},false,ask,100.4,2"))
    assert fields(events, "kind", "side", "flags", "price", "qty") == [
        (SNAPSHOT, BUY, FIRST, 1001, 3),
        (SNAPSHOT, SELL, LAST, 1003, 4),
        (LEVEL, BUY, FIRST, 1002, 1),
        (LEVEL, SELL, LAST, 1003, 0),
        (LEVEL, SELL, BOTH, 1004, 2),
    ]
    assert events["exchange_ts"].tolist() == [T * US, T * US, (T + 7) * US, (T + 7) * US, (T + 8) * US]
    assert events["ingest_ts"].tolist() == [(T + 5) * US] * 2 + [(T + 9) * US] * 3
    assert events["update_id"].tolist() == [(T + 5) * US] * 2 + [(T + 9) * US] * 2 + [(T + 9) * US + 1]


def test_rows_before_the_first_snapshot_of_a_file_are_void() -> None:
    importer = TardisImporter(COINM_BTC)
    events = imported(book(f"{T - 3},{T},false,bid,99.0,7", *SNAPSHOT_ROWS), importer=importer)
    assert (events.size, importer.account.counts["before_snapshot"]) == (2, 1)


def test_a_snapshot_in_mid_file_follows_a_gap_and_the_one_of_a_new_day_does_not() -> None:
    importer = TardisImporter(COINM_BTC)
    again = [row.replace(str(T), str(T + 100)).replace(str(T + 5), str(T + 105)) for row in SNAPSHOT_ROWS]
    next_day = [row.replace(str(T), str(T + 200)).replace(str(T + 5), str(T + 205)) for row in SNAPSHOT_ROWS]
    change = f"{T + 7},{T + 9},false,bid,100.2,1"
    files = book(*SNAPSHOT_ROWS, change, *again), book(*next_day, day="2024-08-09")
    events = imported(*files, importer=importer)
    assert events["kind"].tolist() == [SNAPSHOT, SNAPSHOT, LEVEL, GAP, SNAPSHOT, SNAPSHOT, SNAPSHOT, SNAPSHOT]
    assert events["flags"].tolist() == [FIRST, LAST, BOTH, BOTH, FIRST, LAST, FIRST, LAST]
    assert events["ingest_ts"][3] == events["ingest_ts"][4] == (T + 105) * US
    assert events["update_id"][2:5].tolist() == [(T + 9) * US, (T + 9) * US, (T + 105) * US + 1]  # silent in between
    assert (importer.account.counts["gaps"], importer.account.counts["snapshots"]) == (1, 3)


def test_a_snapshot_right_behind_another_continues_it() -> None:
    events = imported(book(*SNAPSHOT_ROWS, f"{T},{T + 6},true,ask,100.5,8"))
    assert fields(events, "kind", "flags") == [(SNAPSHOT, FIRST), (SNAPSHOT, LAST), (LEVEL, BOTH)]


def test_an_equal_stamp_of_venue_and_recorder_means_that_the_venue_gave_none() -> None:
    [event] = imported(trades(f"{T},{T},77,buy,100.1,2"))
    assert (event["exchange_ts"], event["flags"] & NO_VENUE_TIME) == (0, NO_VENUE_TIME)


def test_at_equal_stamps_a_trade_comes_before_the_book() -> None:
    events = imported(
        book(*SNAPSHOT_ROWS, f"{T + 7},{T + 9},false,ask,100.3,2"),
        trades(f"{T + 7},{T + 9},77,buy,100.3,2", f"{T + 7},{T + 10},78,unknown,100.3,1"),
    )
    assert events["kind"].tolist() == [SNAPSHOT, SNAPSHOT, TRADE, LEVEL, TRADE]
    assert fields(events[events["kind"] == TRADE], "side", "update_id", "flags") == [
        (BUY, 77, BOTH),
        (NO_SIDE, 78, BOTH),
    ]


def test_an_id_that_is_no_number_is_replaced_by_a_rising_one() -> None:
    importer = TardisImporter(COINM_BTC)
    rows = [f"{T},{T + 5},{name},sell,100.1,2" for name in ("8a-f", "", "12")]
    events = imported(trades(*rows), importer=importer)
    assert events["update_id"].tolist() == [(T + 5) * US, (T + 5) * US + 1, 12]
    assert importer.account.counts["surrogate_trade_ids"] == 2


def test_a_liquidation_bears_the_side_of_the_forced_order() -> None:
    [event] = imported(tardis_file("liquidations", [f"{HEAD},{T},{T + 5},,sell,100.1,2"]))
    assert (event["kind"], event["side"], event["update_id"], event["qty"]) == (LIQUIDATION, SELL, 0, 2)


def test_a_ticker_gives_what_is_new_in_it() -> None:
    funding = T + 8 * 3_600_000_000
    rows = [
        f"{HEAD},{T},{T + 5},{funding},0.0001,0.0002,10,100.1,100.25,100.5",
        f"{HEAD},{T + 1},{T + 6},{funding},0.0001,0.0003,11,100.2,100.25,100.5",
        f"{HEAD},{T + 2},{T + 7},{funding},0.0001,,11,100.2,,100.75",
        f"{HEAD},{T + 3},{T + 8},{funding + 1},0.0001,,11,100.2,100.25,100.75",
    ]
    events = imported(tardis_file("derivative_ticker", rows))
    assert fields(events, "kind", "flags", "price", "qty", "ingest_ts") == [
        (MARK, FIRST, 10_050_000_000, 0, (T + 5) * US),
        (INDEX, 0, 10_025_000_000, 0, (T + 5) * US),
        (FUNDING, LAST, 100_000_000, funding * US, (T + 5) * US),
        (MARK, BOTH, 10_075_000_000, 0, (T + 7) * US),
        (FUNDING, BOTH, 100_000_000, (funding + 1) * US, (T + 8) * US),
    ]


def test_snapshots_of_any_depth_are_read_by_the_names_of_their_columns() -> None:
    header = "exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,bids[0].amount"
    header += ",asks[1].price,asks[1].amount,bids[1].price,bids[1].amount"
    rows = [f"{HEAD},{T},{T + 5},100.3,4,100.1,3,100.4,5,,", f"{HEAD},{T},{T + 6},100.3,4,100.15,3,100.4,5,,"]
    importer = TardisImporter(COINM_BTC)
    events = imported(tardis_file("book_snapshot_2", rows, header=header), importer=importer)
    assert fields(events, "kind", "side", "flags", "price", "qty") == [
        (SNAPSHOT, BUY, FIRST, 1001, 3),
        (SNAPSHOT, SELL, 0, 1003, 4),
        (SNAPSHOT, SELL, LAST, 1004, 5),
    ]
    assert [line.number for line in importer.account.quarantined] == [3]


BAD = {
    "half a line": f"{HEAD},{T},{T + 9},false,bid,100",
    "too many fields": f"{HEAD},{T},{T + 9},false,bid,100.1,3,4",
    "a word for a number": f"{HEAD},{T},{T + 9},false,bid,a hundred,3",
    "a word for a stamp": f"{HEAD},{T},soon,false,bid,100.1,3",
    "no stamp": f"{HEAD},{T},,false,bid,100.1,3",
    "a stamp beyond int64": f"{HEAD},{T},9999999999999999,false,bid,100.1,3",
    "no side": f"{HEAD},{T},{T + 9},false,,100.1,3",
    "another side": f"{HEAD},{T},{T + 9},false,buyer,100.1,3",
    "no flag": f"{HEAD},{T},{T + 9},,bid,100.1,3",
    "a price off the grid": f"{HEAD},{T},{T + 9},false,bid,100.15,3",
    "a price of nothing": f"{HEAD},{T},{T + 9},false,bid,0,3",
    "a negative amount": f"{HEAD},{T},{T + 9},false,bid,100.1,-3",
    "another symbol": f"x,ETHUSD_PERP,{T},{T + 9},false,bid,100.1,3",
    "a quote": f'{HEAD},{T},{T + 9},false,bid,"100.1,3',
    "a carriage return": f"{HEAD},{T},{T + 9},false\r,bid,100.1,3",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_line_is_quarantined_with_file_and_number_and_the_rest_goes_on(bad: str) -> None:
    importer = TardisImporter(COINM_BTC)
    good = [f"{HEAD},{row}" for row in (*SNAPSHOT_ROWS, f"{T + 7},{T + 10},false,bid,100.2,1")]
    file = tardis_file("incremental_book_L2", [*good[:2], "", bad, good[2]])
    assert imported(file, importer=importer).size == 3
    account = importer.account
    assert (account.lines, account.bad) == (4, 1)
    [line] = account.quarantined
    assert (line.file, line.number, line.line.rstrip()) == (file.name, 5, bad)
    assert line.reason.startswith(("MalformedMessage: ", "OffGrid: "))
    with pytest.raises(DataError, match=r"incremental_book_L2_2024-08-08_X\.csv: 1 of 4 lines .* line 5: "):
        account.require(0.1)


def test_a_clock_that_runs_backwards_is_counted_and_held() -> None:
    importer = TardisImporter(COINM_BTC)
    events = imported(trades(*(f"{T},{T + late},1,buy,100.1,1" for late in (9, 4, 7, 12))), importer=importer)
    assert events["ingest_ts"].tolist() == [(T + stamp) * US for stamp in (9, 9, 9, 12)]
    assert importer.account.counts["clock_backwards"] == 2
    assert importer.account.counts["clock_backwards_worst_ns"] == 5 * US


def refusal(*files: InputFile) -> str:
    with pytest.raises(DataError) as refused:
        imported(*files)
    return str(refused.value)


def test_files_that_cannot_be_a_day_are_refused_in_one_line() -> None:
    header = tardis_file("trades", [], header="time,price")
    assert refusal(header).startswith(f"{header.name}: line 1: the header lacks timestamp, local_timestamp, symbol, id")
    assert "both trades of 2024-08-08" in refusal(trades(), trades())
    assert "does not name its data type" in refusal(InputFile("BTCUSDT.csv", BytesIO))
    assert "quotes is not read" in refusal(InputFile("x_quotes_2024-08-08_y.csv", BytesIO))
    assert "twice" in refusal(book(), InputFile("x_book_snapshot_25_2024-08-08_y.csv", BytesIO))
    assert "lacks bids[0].price" in refusal(tardis_file("book_snapshot_5", [], header="timestamp"))


def test_a_truncated_gzip_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x_trades_2024-08-08_y.csv.gz"
    packed = gzip.compress(trades(*(f"{T},{T + i},{i},buy,100.1,{i * 7919 % 997}" for i in range(2_000))).open().read())
    path.write_bytes(packed)
    assert imported(input_file(path)).size == 2_000
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(CorruptFile, match=r"x_trades_2024-08-08_y\.csv\.gz cannot be read to its end"):
        imported(input_file(path))


def test_an_import_stops_before_the_first_later_event_and_knows_the_newest() -> None:
    files = [book(*SNAPSHOT_ROWS), trades(*(f"{T},{T + late},1,buy,100.1,1" for late in (4, 5, 6)))]
    importer = TardisImporter(COINM_BTC)
    assert importer.newest_ts(files) == (T + 6) * US
    assert imported(*files, until=(T + 5) * US)["kind"].tolist() == [TRADE, TRADE, SNAPSHOT, SNAPSHOT]


def test_the_next_day_goes_on_from_the_state_of_the_last() -> None:
    row = f"{HEAD},{T},{T + 5},,0.0001,,,,,100.5"
    first, second = TardisImporter(COINM_BTC), TardisImporter(COINM_BTC)
    assert imported(tardis_file("derivative_ticker", [row]), importer=first).size == 2
    second.restore(first.state())
    same = tardis_file("derivative_ticker", [row, row.replace("100.5", "100.6")], "2024-08-09")
    assert fields(imported(same, importer=second), "kind", "price") == [(MARK, 10_060_000_000)]


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 200))
def test_a_message_is_never_split_wherever_the_blocks_end(pauses: list[int], block: int) -> None:
    stamps = np.cumsum([0, *pauses]) // 4
    rows = [f"{T},{T + 9 + int(stamp)},false,bid,100.1,{place}" for place, stamp in enumerate(stamps)]
    whole = imported(book(*SNAPSHOT_ROWS, *rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tardis_csv, "BLOCK", block)
        assert np.array_equal(imported(book(*SNAPSHOT_ROWS, *rows)), whole)
    assert np.flatnonzero(whole["flags"] & FIRST).size == np.unique(whole["ingest_ts"]).size


def test_books_and_trades_of_a_recording_are_those_of_its_direct_import() -> None:
    direct = recorded_events("binance-coinm-btcusd_perp", 12_000)
    files = [
        tardis_file("incremental_book_L2", book_lines(direct, COINM_BTC)),
        tardis_file("trades", print_lines(direct, COINM_BTC)),
    ]
    importer = TardisImporter(COINM_BTC)
    events = imported(*files, importer=importer)
    assert importer.account.bad == 0
    for kinds, names in (((LEVEL, SNAPSHOT), ("kind", "flags")), ((TRADE,), ("update_id",))):
        ours, theirs = (tape[np.isin(tape["kind"], kinds)] for tape in (events, direct))
        theirs["flags"] &= BOTH
        for name in ("side", "exchange_ts", "price", "qty", *names):
            assert np.array_equal(ours[name], theirs[name]), name
        assert np.array_equal(ours["ingest_ts"], theirs["ingest_ts"] // US * US)
    assert (events["kind"] == TRADE).sum() > 100


def test_mark_index_and_funding_of_a_recording_are_those_of_its_direct_import_where_they_change() -> None:
    direct = recorded_events("binance-usdm-btcusdt-2023")
    events = imported(
        tardis_file("derivative_ticker", ticker_lines(direct, USDM_BTC)), importer=TardisImporter(USDM_BTC)
    )
    for kind in (MARK, INDEX, FUNDING):
        ours, theirs = (tape[tape["kind"] == kind] for tape in (events, direct))
        new = np.ones(theirs.size, np.bool_)
        new[1:] = (np.diff(theirs["price"]) != 0) | (np.diff(theirs["qty"]) != 0)
        assert new.sum() > 1
        for name in ("exchange_ts", "ingest_ts", "price", "qty"):
            assert np.array_equal(ours[name], theirs[new][name]), name
