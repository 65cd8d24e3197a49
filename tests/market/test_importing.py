"""Files line by line and block by block: bad lines, clocks that fall, batches, and a scan that equals the decoder."""

import io
import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from market.errors import DataError
from market.events import EVENT, SYNTHETIC, Events, empty_events
from market.instrument import Instrument
from market.simulator import synthetic_capture
from market.sources import decoder_for, importing
from market.sources.capture import capture_line, split_line
from market.sources.formats import importer_for
from market.sources.importing import (
    CLOCK_BACKWARDS,
    MOST_KEPT,
    WORST_STEP_BACK_NS,
    Account,
    Importer,
    InputFile,
    LineImporter,
)
from tests.builders_market import COINM_BTC, SPOT_BTC, import_capture

STAMP = 1_723_161_600_000_000_000
TRADE = b'{"stream":"btcusd_perp@trade","data":{"E":1,"T":1,"t":7,"p":"100.2","q":"3","m":true}}'
GOOD = capture_line(STAMP, TRADE)
EARLIER, LATER = (GOOD.replace(b'"t":7', b'"t":%d' % number) for number in (6, 8))
BAD_LINES = {
    "half a line": GOOD[:70] + b"\n",
    "a number as garbage": GOOD.replace(b'"100.2"', b'"a hundred"'),
    "a price off the grid": GOOD.replace(b'"100.2"', b'"100.25"'),
    "a negative quantity": GOOD.replace(b'"3"', b'"-3"'),
    "no stamp": TRADE + b"\n",
    "a stamp in seconds": b"1723161600 " + TRADE + b"\n",
    "a stamp beyond int64": b"9999999999999999999 " + TRADE + b"\n",
    "a venue time beyond int64": GOOD.replace(b'"T":1', b'"T":9999999999999'),
    "an id beyond int64": GOOD.replace(b'"t":7', b'"t":9223372036854775808'),
    "another symbol's line": GOOD.replace(b"btcusd_perp", b"ethusd_perp"),
    "a stamp alone": b"1723161600000000000\n",
}
TAPE = tuple(synthetic_capture(COINM_BTC, 5, STAMP, 3.0))


def numbered(trade_id: int) -> bytes:
    """The trade with another id."""
    return TRADE.replace(b'"t":7', b'"t":%d' % trade_id)


def file(lines: Sequence[bytes], name: str = "tape") -> InputFile:
    """A file of these lines, in memory."""
    return InputFile(name, lambda: io.BytesIO(b"".join(lines)))


def by_line(instrument: Instrument = COINM_BTC) -> Importer:
    return LineImporter(decoder_for(instrument), split_line)


def by_block(instrument: Instrument = COINM_BTC) -> Importer:
    return importer_for("capture", instrument)


BOTH = pytest.mark.parametrize("importer_of", [by_line, by_block])


def imported(importer: Importer, files: list[InputFile], until: int | None = None) -> Events:
    return np.concatenate([empty_events(0), *importer.batches(files, until)], dtype=EVENT)


def same(left: tuple[Events, Account], right: tuple[Events, Account]) -> bool:
    return left[0].tobytes() == right[0].tobytes() and left[1] == right[1]


@given(st.integers(10**18, 2**63 - 1), st.binary(min_size=1).filter(lambda frame: frame.rstrip() == frame != b""))
def test_a_line_reads_back_what_was_written(stamp, frame):
    assert split_line(capture_line(stamp, frame)) == (stamp, frame)


@BOTH
@pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_quarantined_with_file_and_number_and_the_rest_goes_on(importer_of, bad):
    importer = importer_of()
    events = imported(importer, [file([GOOD], "a.dat"), file([EARLIER, bad, LATER], "b.dat")])
    account = importer.account
    assert events["update_id"].tolist() == [7, 6, 8]
    assert (account.events, account.lines, account.bad, account.bad_share) == (3, 4, 1, 0.25)
    [line] = account.quarantined
    assert (line.file.endswith("b.dat"), line.number, line.line) == (True, 2, bad.decode())
    assert line.reason.startswith(("MalformedMessage: ", "OffGrid: "))


@BOTH
def test_blank_lines_are_passed_over_and_still_numbered(importer_of):
    importer = importer_of()
    assert imported(importer, [file([GOOD, b"\n", b"  \n", b"garbage\n", LATER, b"more"])]).size == 2
    assert importer.account.lines == 4
    assert [line.number for line in importer.account.quarantined] == [4, 6]


def test_too_large_a_share_of_bad_lines_fails_the_import():
    with pytest.raises(DataError, match=r"tape: 1 of 3 lines .* 0\.3 .* line 2: OffGrid: price=100\.25"):
        import_capture([GOOD, BAD_LINES["a price off the grid"], GOOD], decoder_for(COINM_BTC), 0.3)


def test_an_unknown_stream_is_counted_and_no_bad_line():
    line = GOOD.replace(b"@trade", b"@kline_1m")
    events, account = import_capture([GOOD, line], decoder_for(COINM_BTC), 0.0)
    assert (events.size, account.bad, account.counts["unknown"]) == (1, 0, 1)


def test_counts_are_those_of_one_import():
    decoder = decoder_for(COINM_BTC)
    import_capture([GOOD] * 3, decoder, 0.0)
    _, account = import_capture([GOOD] * 2, decoder, 0.0)
    assert account.counts["trade"] == account.counts["messages"] == account.lines == 2


@BOTH
def test_an_empty_file_gives_no_events(importer_of):
    importer = importer_of()
    assert imported(importer, [file([])]).size == 0
    assert (importer.account.lines, importer.account.bad_share, importer.newest_ts([file([])])) == (0, 0.0, 0)


def test_the_quarantine_is_bounded_and_the_count_is_not():
    _, account = import_capture([b"garbage\n"] * (MOST_KEPT + 5), decoder_for(COINM_BTC), 1.0)
    assert (len(account.quarantined), account.bad) == (MOST_KEPT, MOST_KEPT + 5)


@BOTH
def test_a_stamp_that_falls_is_counted_and_raised_to_the_newest(importer_of):
    importer = importer_of()
    stamps = [STAMP + 500, STAMP, STAMP + 200, STAMP + 900]
    events = imported(importer, [file([capture_line(stamp, numbered(place)) for place, stamp in enumerate(stamps)])])
    assert (events["ingest_ts"] - STAMP).tolist() == [500, 500, 500, 900]
    counts = importer.account.counts
    assert (counts[CLOCK_BACKWARDS], counts[WORST_STEP_BACK_NS]) == (2, 500)


@BOTH
def test_an_import_stops_before_the_first_line_that_is_too_new(importer_of):
    importer = importer_of()
    files = [file([capture_line(STAMP + place, numbered(place)) for place in range(9)])]
    assert importer.newest_ts(files) == STAMP + 8
    assert imported(importer, files, STAMP + 4)["ingest_ts"].tolist() == [STAMP + place for place in range(5)]
    assert (importer.account.lines, importer.account.events) == (5, 5)


def test_synthetic_events_are_marked():
    market = Instrument("synthetic-x", "binance-coinm", "btcusd_perp", "inverse", 0.1, 1.0, 100.0, "BTC", "USD")
    events, _ = import_capture([GOOD], decoder_for(market), 0.0)
    assert events["flags"][0] & SYNTHETIC
    assert not import_capture([GOOD], decoder_for(COINM_BTC), 0.0)[0]["flags"][0] & SYNTHETIC


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 5_000), st.integers(200, 70_000))
def test_events_do_not_depend_on_the_size_of_batches_and_blocks(batch_events, block_bytes):
    expected = import_capture(TAPE, decoder_for(COINM_BTC), 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "_BATCH_BYTES", batch_events * EVENT.itemsize)
        patch.setattr(importing, "_BLOCK_BYTES", block_bytes)
        importer = by_block()
        batches = list(importer.batches([file(TAPE)]))
    assert same((np.concatenate(batches), importer.account), expected)
    assert max(batch.size for batch in batches[:-1] or batches) >= min(batch_events, expected[0].size)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, len(TAPE)))
def test_an_importer_goes_on_from_where_another_was_cut(cut):
    whole = by_block()
    expected = imported(whole, [file(TAPE)])
    first, second = by_block(), by_block()
    head = imported(first, [file(TAPE[:cut])])
    second.restore(json.loads(json.dumps(first.state())))
    assert np.concatenate([head, imported(second, [file(TAPE[cut:])])]).tobytes() == expected.tobytes()
    assert second.state() == whole.state()


SPOT = (
    b'{"lastUpdateId":9,"bids":[["100.00","1.5"]],"asks":[["100.01","2"]]}',
    b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161600000,"U":10,"u":12,'
    b'"b":[["100.00","0.00000000"],["99.99","3.25000000"]],"a":[]}}',
    b'{"stream":"btcusdt@bookTicker","data":{"u":13,"b":"99.99","B":"3.25","a":"100.01","A":"2.00000000"}}',
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161600001,"T":1723161600001000,"t":5,"p":"100.01",'
    b'"q":"0.10000000","m":false,"M":true}}',
    b'{"stream":"btcusdt@depth","data":{"E":1723161600002,"U":13,"u":14,"b":[],"a":[["100.01","1e-3"]]}}',
)
BYTES = st.sampled_from(list(b'0123456789.-+eE"{}[]:,\\ \n\rbBaAuUTtpqmMX@truefalsn\x00\xff'))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2_000), BYTES, st.booleans()), max_size=4), st.integers(0, 3))
@example([(437, ord("\\"), False)], 0)  # a key that is no letter
def test_the_scan_reads_what_the_decoder_reads_whatever_the_bytes(changes, repeats):
    text = bytearray(b"".join(capture_line(STAMP + place, frame) for place, frame in enumerate(SPOT * (repeats + 1))))
    for place, byte, insert in changes:
        at = place % len(text)
        text[at : at + (not insert)] = bytes([byte])
    lines = text.splitlines(keepends=True) if b"\r" not in text else bytes(text).split(b"\n")
    lines = [line if line.endswith(b"\n") else line + b"\n" for line in map(bytes, lines) if line]
    plain, scanned = by_line(SPOT_BTC), by_block(SPOT_BTC)
    expected = imported(plain, [file(lines)]), plain.account
    assert same((imported(scanned, [file(lines)]), scanned.account), expected)
    assert scanned.state() == plain.state()


def test_the_scan_is_what_reads_an_ordinary_tape():
    decoder = decoder_for(COINM_BTC)
    decoder.append(split_line(TAPE[0])[1], STAMP, bytearray())
    block = bytearray(b"".join(TAPE[1:]) + b"\n" * 4)
    assert decoder.scan(block, 0, importing.Span(0, importing.END_OF_TIME), bytearray()).lines == len(TAPE) - 1
