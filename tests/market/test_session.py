"""Recorded sessions: exact stamps, merged connections, numbered hosts, and what is quarantined or refused."""

import base64
import gzip
import json

import numpy as np
import pytest

from market.errors import ConfigError, DataError
from market.events import CONNECTION_SHIFT, LEVEL, SNAPSHOT
from market.instrument import Instrument
from market.sources import decoder_for
from market.sources.formats import importer_for
from market.sources.session import SessionImporter
from tests.builders_market import USDM_BTC
from tests.builders_sessions import BYBIT_BTC, SESSIONS, lines_file, session_file

HEADER = json.dumps({"t": "header", "format": 2, "exchange": "X"}).encode()
LINEAR, SPOT = "wss://stream.bybit.com/v5/public/linear", "wss://stream.bybit.com/v5/public/spot"


def line(kind: str, conn: str, ts: str, **more: object) -> bytes:
    head = f'{{"t":"{kind}","conn":"{conn}","ts":{ts}'
    return (head + "".join(f',"{key}":{json.dumps(value)}' for key, value in more.items()) + "}").encode()


def book(u: int, kind: str = "snapshot", symbol: str = "BTCUSDT") -> str:
    data = {"s": symbol, "b": [["100.0", "1"]], "a": [["100.1", "1"]], "u": u, "seq": u}
    return json.dumps({"topic": f"orderbook.200.{symbol}", "type": kind, "ts": 1_000, "data": data})


def imported(*lines: bytes, until: int | None = None) -> tuple[np.ndarray, SessionImporter]:
    importer = SessionImporter(decoder_for(BYBIT_BTC))
    batches = list(importer.batches([lines_file([HEADER, *lines])], until))
    return (np.concatenate(batches) if batches else np.zeros(0)), importer


def test_a_stamp_is_read_to_the_nanosecond():
    told = [line("connect", "a", "1", addr=LINEAR), line("recv", "a", "1786310819.526357123", data=book(5))]
    events, _ = imported(*told)
    assert set(events["ingest_ts"].tolist()) == {1_786_310_819_526_357_123}


def test_connections_are_merged_by_time_and_hosts_numbered():
    second = LINEAR.replace("stream.", "stream2.")
    events, importer = imported(
        line("connect", "a", "1", addr=LINEAR),
        line("recv", "a", "2", data=book(5)),
        line("recv", "a", "4", data=book(7, "delta")),
        line("connect", "b", "1", addr=second),
        line("recv", "b", "3", data=book(6, "delta")),
        line("connect", "c", "1", addr=SPOT),
        line("recv", "c", "3", data=book(99)),
    )
    assert events["update_id"].tolist() == [5, 5, 6, 6, 7, 7]
    assert (events["flags"] >> CONNECTION_SHIFT).tolist() == [0, 0, 1, 1, 0, 0]
    assert (importer.account.lines, importer.account.bad, importer.account.counts["gaps"]) == (3, 0, 0)


def test_bytes_come_as_base64_and_may_be_packed():
    plain, packed = book(5).encode(), gzip.compress(book(6, "delta").encode())
    events, _ = imported(
        line("connect", "a", "1", addr=LINEAR),
        line("recv", "a", "2", b64=base64.b64encode(plain).decode()),
        line("recv", "a", "3", b64=base64.b64encode(packed).decode()),
    )
    assert events["kind"].tolist() == [SNAPSHOT, SNAPSHOT, LEVEL, LEVEL]


def test_nothing_behind_an_instant_is_read_when_it_is_asked_for():
    told = [
        line("recv", "a", str(2 + place), data=book(5 + place, "delta" if place else "snapshot")) for place in (0, 1)
    ]
    events, importer = imported(line("connect", "a", "1", addr=LINEAR), *told, until=2_000_000_000)
    assert events["kind"].tolist() == [SNAPSHOT, SNAPSHOT]
    assert importer.newest_ts([lines_file([HEADER, line("connect", "a", "1", addr=LINEAR), *told])]) == 3_000_000_000


def test_lines_that_cannot_be_read_are_quarantined_with_file_and_number():
    _, importer = imported(
        line("connect", "a", "1", addr=LINEAR),
        line("recv", "a", "2", data=book(5))[:60],
        line("recv", "a", "1e99", data=book(5)),
        line("recv", "a", "3", b64="!"),
        line("recv", "a", "4", data=book(6)[:50]),
        line("recv", "a", "5", data=book(5)),
    )
    quarantined = importer.account.quarantined
    assert sorted(one.number for one in quarantined) == [3, 4, 5, 6]
    assert {one.file for one in quarantined} == {"session.jsonl"}
    assert (importer.account.lines, importer.account.counts["snapshot"]) == (5, 1)


def test_a_clock_that_steps_back_within_a_connection_is_counted_and_raised():
    events, importer = imported(
        line("connect", "a", "1", addr=LINEAR),
        line("recv", "a", "3", data=book(5)),
        line("recv", "a", "2", data=book(6, "delta")),
    )
    assert set(events["ingest_ts"].tolist()) == {3_000_000_000}
    assert importer.account.counts["clock_backwards"] == 1


@pytest.mark.parametrize("first", [b"{", b"{}", HEADER.replace(b"2", b"9"), line("recv", "a", "1", data="")])
def test_a_file_that_is_no_session_is_refused_by_name(first):
    importer = SessionImporter(decoder_for(BYBIT_BTC))
    with pytest.raises(DataError, match="session.jsonl: line 1 is no header"):
        list(importer.batches([lines_file([first])]))


def test_a_venue_without_known_addresses_is_refused():
    decoder = decoder_for(USDM_BTC)
    decoder.instrument = Instrument("a-b", "nowhere", "b", "spot", 0.1, 1.0, 1.0, "A", "B")
    with pytest.raises(ConfigError, match="nowhere"):
        SessionImporter(decoder)


def test_a_recorded_session_imports_by_its_format_s_name():
    session = SESSIONS["binance-spot-lrcbtc"]
    importer = importer_for("session", session.instrument)
    events = np.concatenate(list(importer.batches([session_file(session.file)])))
    assert importer.account.counts["other"] == 239
    assert (np.diff(events["ingest_ts"]) >= 0).all()
    assert importer.newest_ts([session_file(session.file)]) >= events["ingest_ts"][-1]
