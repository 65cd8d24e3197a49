"""Ordinary messages of Binance, read by one compiled pass: of a capture a block of lines, of a socket a frame.

Ordinary: a depth, bookTicker or trade frame as Binance prints it, whose stamp does not fall, whose numbers are on the
grid, and whose depth continues the book. At the first line that is anything else the pass stops before it, changes
nothing more, and leaves that line to the decoder, whose answer this one equals wherever it gives one.
"""

from typing import Final

import numpy as np
from numba import njit

from market.events import BBO, BUY, FIRST, LAST, LEVEL, NO_VENUE_TIME, SELL, TRADE
from market.instrument import GRID_TOLERANCE, MOST_STEPS
from market.sources.binance_messages import LARGEST_MS, SMALLEST_US
from market.sources.json_kernels import (
    AT_SIGN,
    BACKSLASH,
    CLOSE,
    COLON,
    COMMA,
    DELETE,
    END,
    NEWLINE,
    NINE,
    OPEN,
    QUOTE,
    SPACE,
    ZERO,
    decimal,
    integer,
    skipped,
    truth,
    word,
)

# places in the state, all int64
AT: Final = 0  # first byte of the next line
ROWS: Final = 1  # filled so far
LINES: Final = 2  # read so far
NEWEST_TS: Final = 3  # newest ingest_ts, ns
UNTIL: Final = 4  # no line after this, ns
NEWEST_ID: Final = 5  # of the book
WAITING: Final = 6  # the book waits for a snapshot
JOINED: Final = 7  # a message has followed the snapshot
SEQUENCE: Final = slice(NEWEST_ID, JOINED + 1)  # laid out as market.sources.sequence says
DEPTH_TS: Final = 8  # venue time of the newest depth, ns
AGGREGATED: Final = 9  # last trade id told by an aggTrade
TRADED: Final = 10  # newest id told by a trade
TOLD: Final = 11  # which of the ids up to TRADED have been told: a bit each, the lowest of the newest
TOLD_AGGREGATES: Final = 12  # likewise of the last ids of aggregates, up to AGGREGATED
DEPTHS: Final = 13  # counts from here on
BOOK_TICKERS: Final = 14
TRADES: Final = 15
STALE: Final = 16
PLACES: Final = 17
REMEMBERED: Final = 62  # ids below the newest; what comes later than that is taken as new


_E, _T, _U, _LAST_U, _PU, _TRADE_ID, _MAKER = range(7)  # places of the integers of a message
_BID, _BID_QTY, _ASK, _ASK_QTY, _PRICE, _QTY = range(7, 13)  # bits, and from 0 on places, of its decimals
_DEPTH_NEEDS: Final = 1 << _E | 1 << _U | 1 << _LAST_U | 1 << _BID | 1 << _ASK
_TICKER_NEEDS: Final = 1 << _LAST_U | 1 << _BID | 1 << _BID_QTY | 1 << _ASK | 1 << _ASK_QTY
_TRADE_NEEDS: Final = 1 << _T | 1 << _TRADE_ID | 1 << _MAKER | 1 << _PRICE | 1 << _QTY

_DEPTH: Final = np.frombuffer(b"depth", np.uint8)
_TICKER: Final = np.frombuffer(b"bookTicker", np.uint8)
_DEAL: Final = np.frombuffer(b"trade", np.uint8)
_DATA: Final = np.frombuffer(b'","data":{', np.uint8)
_MARKET: Final = np.frombuffer(b'"MARKET"', np.uint8)


@njit(cache=True)
def scan(block, end, head, grid, state, rows):
    """Fill ``rows`` from the ordinary lines that begin at ``state[AT]``, and move ``state`` behind them.

    block : uint8, lines whole, with PADDING bytes behind ``end``
    head : uint8, what every frame of the symbol begins with: {"stream":"SYMBOL@
    grid : tick_size, lot_size
    rows : shape (most, 8), int64
    """
    integers, decimals = np.zeros(7, np.int64), np.zeros(6, np.float64)
    while state[AT] < end:
        after = _line(block, head, grid, state, rows, integers, decimals)
        if after < 0:
            return
        state[AT] = after
        state[LINES] += 1


@njit(cache=True)
def tell(state, number, newest, told):
    """Note that an id has been told; whether it had not been before.

    newest, told : places of the newest id and of the bits of those below it
    """
    ahead = number - state[newest]
    if ahead > 0:
        state[told] = ((state[told] << ahead) | 1) & ((1 << REMEMBERED) - 1) if ahead < REMEMBERED else 1
        state[newest] = number
        return True
    bit = 1 << -ahead if -ahead < REMEMBERED else 0
    known = state[told] & bit != 0
    state[told] |= bit
    return not known


@njit(cache=True)
def frame(block, ingest_ts, head, grid, state, scratch):
    """Read the one frame that ``block`` holds before its first newline, PADDING bytes behind it.

    Returns how many rows it has filled, which of depth, bookTicker and trade it is, and whether it is a stale
    bookTicker; -1 rows, and nothing that counts is changed, if it is not ordinary.

    scratch : rows, shape (most, 8), int64; integers, (7,), int64; decimals, (6,), float64
    """
    rows, integers, decimals = scratch
    _forget_counts(state)
    if _message(block, 0, ingest_ts, head, grid, state, rows, integers, decimals) < 0:
        return np.int64(-1), 0, np.int64(0)
    filled, stale = state[ROWS], state[STALE]
    topic = 0 if state[DEPTHS] else 1 if state[BOOK_TICKERS] else 2
    _forget_counts(state)
    return filled, topic, stale


@njit(cache=True)
def _forget_counts(state):
    state[ROWS] = state[NEWEST_TS] = 0
    for place in range(DEPTHS, PLACES):
        state[place] = 0


@njit(cache=True)
def _line(block, head, grid, state, rows, integers, decimals):
    """Read one line; the place after it, -1 if it is not ordinary or its rows do not fit."""
    ingest_ts, at = _stamp(block, state[AT])
    if at < 0 or ingest_ts < state[NEWEST_TS] or ingest_ts > state[UNTIL]:
        return -1
    return _message(block, at, ingest_ts, head, grid, state, rows, integers, decimals)


@njit(cache=True)
def _message(block, at, ingest_ts, head, grid, state, rows, integers, decimals):
    """Read the frame that begins at ``at``; the place after its newline, -1 if it is not ordinary."""
    at = word(block, at, head)
    if at < 0:
        return -1
    begin = at
    while SPACE < block[at] < DELETE and block[at] != QUOTE and block[at] != BACKSLASH:
        at += 1
    topic_end = begin
    while topic_end < at and block[topic_end] != AT_SIGN:  # @0ms and the like say only how often
        topic_end += 1
    at = word(block, at, _DATA)
    if at < 0:
        return -1
    size = topic_end - begin
    if size == _TICKER.size and word(block, begin, _TICKER) > 0:
        filled, at = _book_ticker(block, at, ingest_ts, grid, state, rows, integers, decimals)
    elif size == _DEPTH.size and word(block, begin, _DEPTH) > 0:
        filled, at = _depth(block, at, ingest_ts, grid, state, rows, integers, decimals)
    elif size == _DEAL.size and word(block, begin, _DEAL) > 0:
        filled, at = _trade(block, at, ingest_ts, grid, state, rows, integers, decimals)
    else:
        return -1
    if at < 0:
        return -1
    state[NEWEST_TS] = ingest_ts
    state[ROWS] = filled
    return at


@njit(cache=True)
def _book_ticker(block, at, ingest_ts, grid, state, rows, integers, decimals):
    row = state[ROWS]
    seen, _, at = _fields(block, at, False, grid, rows, row, integers, decimals)
    exchange_ts = _venue_ns(integers[_T])
    if at < 0 or seen & _TICKER_NEEDS != _TICKER_NEEDS or exchange_ts < 0 or row + 2 > rows.shape[0]:
        return row, -1
    bid, bid_lots = _steps(decimals[0], grid[0]), _steps(decimals[1], grid[1])
    ask, ask_lots = _steps(decimals[2], grid[0]), _steps(decimals[3], grid[1])
    if bid < 1 or ask < 1 or bid_lots < 0 or ask_lots < 0:
        return row, -1
    untimed = 0 if exchange_ts else NO_VENUE_TIME
    update_id = integers[_LAST_U]
    _write(rows[row], _word0(BBO, BUY, untimed | FIRST), exchange_ts, ingest_ts, bid, bid_lots, update_id)
    _write(rows[row + 1], _word0(BBO, SELL, untimed | LAST), exchange_ts, ingest_ts, ask, ask_lots, update_id)
    state[STALE] += update_id <= state[NEWEST_ID]
    state[BOOK_TICKERS] += 1
    return row + 2, at


@njit(cache=True)
def _trade(block, at, ingest_ts, grid, state, rows, integers, decimals):
    row = state[ROWS]
    seen, _, at = _fields(block, at, False, grid, rows, row, integers, decimals)
    exchange_ts, number = _venue_ns(integers[_T]), integers[_TRADE_ID]
    if at < 0 or seen & _TRADE_NEEDS != _TRADE_NEEDS or exchange_ts < 0 or row + 1 > rows.shape[0]:
        return row, -1
    ticks, lots = _steps(decimals[4], grid[0]), _steps(decimals[5], grid[1])
    if ticks < 1 or lots < 0 or number <= state[AGGREGATED] or number <= state[TRADED]:
        return row, -1
    side = SELL if integers[_MAKER] else BUY
    _write(rows[row], _word0(TRADE, side, FIRST | LAST), exchange_ts, ingest_ts, ticks, lots, number)
    tell(state, number, TRADED, TOLD)
    state[TRADES] += 1
    return row + 1, at


@njit(cache=True)
def _depth(block, at, ingest_ts, grid, state, rows, integers, decimals):
    first = state[ROWS]
    if state[WAITING]:
        return first, -1
    seen, filled, at = _fields(block, at, True, grid, rows, first, integers, decimals)
    exchange_ts, newest = _venue_ns(integers[_T] or integers[_E]), integers[_LAST_U]
    if at < 0 or seen & _DEPTH_NEEDS != _DEPTH_NEEDS or exchange_ts < 0 or _venue_ns(integers[_E]) < 0:
        return first, -1
    previous = integers[_PU] if seen & 1 << _PU else integers[_U] - 1
    fits = previous == state[NEWEST_ID] if state[JOINED] else previous <= state[NEWEST_ID]
    if newest <= state[NEWEST_ID] or not fits:
        return first, -1
    for row in range(first, filled):
        edges = (FIRST if row == first else 0) | (LAST if row == filled - 1 else 0)
        head = _word0(LEVEL, rows[row, 0], edges)
        _write(rows[row], head, exchange_ts, ingest_ts, rows[row, 5], rows[row, 6], newest)
    state[NEWEST_ID], state[JOINED] = newest, 1
    state[DEPTH_TS] = max(state[DEPTH_TS], exchange_ts)
    state[DEPTHS] += 1
    return filled, at


@njit(cache=True)
def _fields(block, at, levels, grid, rows, row, integers, decimals):
    """Bits of the fields that a frame's data has, the row after its levels, and the place after its line (-1: none).

    levels : ``b`` and ``a`` are lists of levels, whose side, price and quantity go into ``rows``
    """
    integers[:] = 0
    seen = 0
    while True:
        key, at = _key(block, at)
        field = _field_of(key)
        if at < 0 or (seen & 1 << max(field, 0) and field >= 0):
            return seen, row, -1
        if field < 0:
            at = word(block, at, _MARKET) if key == 88 else skipped(block, at)
        elif field == _MAKER:
            integers[_MAKER], at = truth(block, at)
        elif field < _BID:
            integers[field], at = integer(block, at)
        elif levels:
            if (field != _BID or seen & 1 << _ASK) and field != _ASK:  # bids come first
                return seen, row, -1
            row, at = _level_rows(block, at, BUY if field == _BID else SELL, grid, rows, row)
        else:
            decimals[field - _BID], at = decimal(block, at)
        if at < 0:
            return seen, row, -1
        seen |= 1 << field if field >= 0 else 0
        if block[at] == COMMA:
            at += 1
        elif block[at] == END and block[at + 1] == END and block[at + 2] == NEWLINE:
            return seen, row, at + 3
        else:
            return seen, row, -1


@njit(cache=True)
def _key(block, at):
    """A key of one or two letters, the first in the lower byte, and the place after its colon; -1 for another."""
    if block[at] != QUOTE or not _is_letter(block[at + 1]):
        return np.int64(0), -1
    key = np.int64(block[at + 1])
    at += 2
    if _is_letter(block[at]):
        key |= np.int64(block[at]) << 8
        at += 1
    return (key, at + 2) if block[at] == QUOTE and block[at + 1] == COLON else (key, -1)


@njit(cache=True)
def _is_letter(byte):
    return 65 <= byte <= 90 or 97 <= byte <= 122


@njit(cache=True)
def _field_of(key):
    """Which field a key of at most two letters names, -1 for those that say nothing about the market."""
    if key == 69:
        return _E
    if key == 84:
        return _T
    if key == 85:
        return _U
    if key == 117:
        return _LAST_U
    if key == 112 | 117 << 8:
        return _PU
    if key == 116:
        return _TRADE_ID
    if key == 109:
        return _MAKER
    if key == 98:
        return _BID
    if key == 66:
        return _BID_QTY
    if key == 97:
        return _ASK
    if key == 65:
        return _ASK_QTY
    if key == 112:
        return _PRICE
    if key == 113:
        return _QTY
    return -1


@njit(cache=True)
def _level_rows(block, at, side, grid, rows, row):
    """Write side, price and quantity of ``[["price","quantity"],...]``; the row and the place after it."""
    if block[at] != OPEN:
        return row, -1
    at += 1
    if block[at] == CLOSE:
        return row, at + 1
    while block[at] == OPEN and row < rows.shape[0]:
        price, at = decimal(block, at + 1)
        if at < 0 or block[at] != COMMA:
            return row, -1
        qty, at = decimal(block, at + 1)
        if at < 0 or block[at] != CLOSE:
            return row, -1
        ticks, lots = _steps(price, grid[0]), _steps(qty, grid[1])
        if ticks < 1 or lots < 0:
            return row, -1
        rows[row, 0], rows[row, 5], rows[row, 6] = side, ticks, lots
        row += 1
        if block[at + 1] == CLOSE:
            return row, at + 2
        if block[at + 1] != COMMA:
            return row, -1
        at += 2
    return row, -1


@njit(cache=True)
def _stamp(block, at):
    """ingest_ts of a line, ns, and the place after the space; -1 for a stamp that is not ordinary."""
    begin, value = at, np.int64(0)
    while ZERO <= block[at] <= NINE and at - begin < 19:
        value = value * 10 + (block[at] - ZERO)
        at += 1
    digits = at - begin
    if block[at] != SPACE or value < 0 or (digits != 19 and digits != 16):
        return value, -1
    return value if digits == 19 else value * 1_000, at + 1


@njit(cache=True)
def _venue_ns(stamp):
    """A venue's stamp, in milliseconds or microseconds by its size, in ns; -1 if it is neither."""
    if stamp <= LARGEST_MS:
        return stamp * 1_000_000
    if SMALLEST_US <= stamp <= LARGEST_MS * 1_000:
        return stamp * 1_000
    return -1


@njit(cache=True)
def _steps(value, step):
    """How many steps ``value`` is, -1 if it lies between two."""
    steps = value / step
    if not steps < MOST_STEPS:
        return -1
    whole = np.int64(np.rint(steps))
    return whole if abs(steps - whole) < GRID_TOLERANCE else -1


@njit(cache=True)
def _word0(kind, side, flags):
    return kind | (side & 0xFF) << 8 | flags << 16


@njit(cache=True)
def _write(row, head, exchange_ts, ingest_ts, price, qty, update_id):
    row[0], row[1], row[2], row[3], row[4] = head, exchange_ts, ingest_ts, 0, 0
    row[5], row[6], row[7] = price, qty, update_id
