"""Binance's recordings through its decoder: read without a break, line by line and scanned alike."""

import gzip
import json
from decimal import Decimal

import numpy as np
import pytest

from market.events import FUNDING, INDEX, MARK
from market.sources.formats import importer_for
from storage.captures import input_file
from tests.builders import recording
from tests.builders_market import RUNS, import_reports, recorded_events

MS = 1_000_000
LINES = {
    "binance-coinm-btcusd_perp": (48_270, 50_116),
    "binance-coinm-ethusd_perp": (40_454, 37_860),
    "binance-usdm-btcusdt": (93_954,),
    "binance-usdm-ethusdt": (74_655,),
    "binance-spot-btcusdt": (41_249, 58_325),
    "binance-spot-ethusdt": (33_618, 46_126),
    "binance-usdm-btcusdt-2023": (13_384, 60_381),
}


@pytest.mark.parametrize("run", RUNS)
def test_every_line_of_a_recording_is_read_without_a_break(run):
    reports = import_reports(run)
    assert tuple(report.counts["messages"] for report in reports) == LINES[run]
    assert [report.counts["snapshot"] for report in reports] == [1, 0][: len(reports)]
    for report in reports:
        streams = sum(report.counts[name] for name in ("snapshot", "depth", "bookTicker", "trade", "markPrice"))
        assert (report.lines, report.bad, report.counts["unknown"]) == (streams, 0, 0)
        assert (report.counts["gaps"], report.counts["too_old"], report.counts["waiting"]) == (0, 0, 0)


def test_the_usdm_recording_holds_the_known_share_of_stale_best_offers():
    [report] = import_reports("binance-usdm-btcusdt")
    assert 0.01 < report.counts["stale"] / report.counts["bookTicker"] < 0.02


def test_the_2023_recording_holds_mark_index_and_funding_known_when_received():
    events = recorded_events("binance-usdm-btcusdt-2023")
    expected: dict[int, list[tuple[int, int, int, int]]] = {MARK: [], INDEX: [], FUNDING: []}
    for name in RUNS["binance-usdm-btcusdt-2023"][1]:
        for line in gzip.decompress(recording(name).read_bytes()).splitlines():
            stamp, _, text = line.partition(b" ")
            data = json.loads(text).get("data", {})
            if data.get("e") == "markPriceUpdate":
                clocks = data["E"] * MS, int(stamp) * 1_000
                expected[MARK].append((*clocks, int(Decimal(data["p"]) * 10**8), 0))
                expected[INDEX].append((*clocks, int(Decimal(data["i"]) * 10**8), 0))
                expected[FUNDING].append((*clocks, int(Decimal(data["r"]) * 10**12), data["T"] * MS))
    for kind, rows in expected.items():
        found = events[events["kind"] == kind][["exchange_ts", "ingest_ts", "price", "qty"]]
        assert found.tolist() == rows
    assert [len(rows) for rows in expected.values()] == [514, 514, 514]


RAW_FIELDS = ["kind", "side", "flags", "exchange_ts", "ingest_ts", "price", "qty", "update_id"]


@pytest.mark.parametrize("run", RUNS)
def test_a_scanned_recording_is_the_one_read_line_by_line(run):
    instrument, names = RUNS[run]
    importer = importer_for("capture", instrument)
    batches = list(importer.batches([input_file(recording(name)) for name in names]))
    expected = recorded_events(run)
    assert all(np.array_equal(np.concatenate(batches)[field], expected[field]) for field in RAW_FIELDS)
    for name in ("messages", "depth", "bookTicker", "trade", "markPrice", "stale", "superseded"):
        assert importer.account.counts[name] == sum(report.counts[name] for report in import_reports(run))
