"""Captures line by line, and whole imports with bad lines in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import DataError
from market.sources import decoder_for
from market.sources.capture import capture_line, split_line
from market.sources.importing import MOST_KEPT
from tests.builders_market import COINM_BTC, import_capture

STAMP = 1_723_161_600_000_000_000
TRADE = b'{"stream":"btcusd_perp@trade","data":{"E":1,"T":1,"t":7,"p":"100.2","q":"3","m":true}}'
GOOD = capture_line(STAMP, TRADE)
BAD_LINES = {
    "half a line": GOOD[:70],
    "a number as garbage": GOOD.replace(b'"100.2"', b'"a hundred"'),
    "a price off the grid": GOOD.replace(b'"100.2"', b'"100.25"'),
    "a negative quantity": GOOD.replace(b'"3"', b'"-3"'),
    "no stamp": TRADE + b"\n",
    "a stamp in seconds": b"1723161600 " + TRADE,
    "a stamp beyond int64": b"9999999999999999999 " + TRADE,
    "a venue time beyond int64": GOOD.replace(b'"T":1', b'"T":9999999999999'),
    "an id beyond int64": GOOD.replace(b'"t":7', b'"t":9223372036854775808'),
    "a stamp alone": b"1723161600000000000\n",
}


@given(st.integers(10**18, 2**63 - 1), st.binary(min_size=1).filter(lambda frame: frame.rstrip() == frame != b""))
def test_a_line_reads_back_what_was_written(stamp, frame):
    assert split_line(capture_line(stamp, frame)) == (stamp, frame)


def test_blank_lines_are_passed_over_and_still_numbered():
    events, report = import_capture([GOOD, b"\n", b"garbage\n"], decoder_for(COINM_BTC), 0.5)
    assert (events.size, report.lines) == (1, 2)
    assert report.quarantined[0].number == 3


@pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_quarantined_with_its_number_and_the_rest_goes_on(bad):
    events, report = import_capture([GOOD, bad, GOOD], decoder_for(COINM_BTC), 0.5)
    assert events.size == report.events == 2
    assert (report.lines, report.bad, report.bad_share) == (3, 1, pytest.approx(1 / 3))
    [line] = report.quarantined
    assert line.number == 2
    assert line.line == bad.decode()
    assert line.reason.startswith(("MalformedMessage: ", "OffGrid: "))


def test_too_large_a_share_of_bad_lines_fails_the_import():
    with pytest.raises(DataError, match=r"1 of 3 lines .* 0\.3 .* line 2: OffGrid: price=100\.25"):
        import_capture([GOOD, BAD_LINES["a price off the grid"], GOOD], decoder_for(COINM_BTC), 0.3)


def test_an_unknown_stream_is_counted_and_no_bad_line():
    line = GOOD.replace(b"@trade", b"@kline_1m")
    events, report = import_capture([GOOD, line], decoder_for(COINM_BTC), 0.0)
    assert (events.size, report.bad, report.counts["unknown"]) == (1, 0, 1)


def test_counts_are_those_of_one_import():
    decoder = decoder_for(COINM_BTC)
    import_capture([GOOD] * 3, decoder, 0.0)
    _, report = import_capture([GOOD] * 2, decoder, 0.0)
    assert report.counts["trade"] == report.counts["messages"] == report.lines == 2


def test_an_empty_capture_gives_no_events():
    events, report = import_capture([], decoder_for(COINM_BTC), 0.0)
    assert (events.size, report.lines, report.bad_share, report.counts["waiting"]) == (0, 0, 0.0, 1)


def test_the_quarantine_is_bounded_and_the_count_is_not():
    _, report = import_capture([b"garbage\n"] * (MOST_KEPT + 5), decoder_for(COINM_BTC), 1.0)
    assert (len(report.quarantined), report.bad) == (MOST_KEPT, MOST_KEPT + 5)
