"""What JSON is made of, read byte by byte inside compiled loops; whatever is unusual is refused, not guessed at.

Every function takes a block of bytes and a place in it, and gives the place after what it read, -1 for a refusal. None
reads beyond the first byte that it refuses, so a block needs no end mark but its newline and PADDING bytes.
"""

from typing import Final

import numpy as np
from numba import njit

PADDING: Final = 4  # bytes behind the last newline of a block: a reader may look that far ahead
NEWLINE, SPACE, QUOTE, COMMA, DOT, ZERO, NINE, COLON = 10, 32, 34, 44, 46, 48, 57, 58
AT_SIGN, OPEN, BACKSLASH, CLOSE, END, DELETE = 64, 91, 92, 93, 125, 127

_MOST_DIGITS: Final = 18  # of an integer: no int64 overflows
_EXACT: Final = 2**53
_POWERS: Final = np.array([10.0**places for places in range(_MOST_DIGITS + 1)])
_TRUE: Final = np.frombuffer(b"true", np.uint8)
_FALSE: Final = np.frombuffer(b"false", np.uint8)


@njit(cache=True)
def word(block, at, text):
    """The place after ``text`` where it stands at ``at``, else -1."""
    for place in range(text.size):
        if block[at + place] != text[place]:
            return -1
    return at + text.size


@njit(cache=True)
def integer(block, at):
    """A whole number as JSON prints it and the place after it, -1 for anything else."""
    begin, value = at, np.int64(0)
    while ZERO <= block[at] <= NINE and at - begin < _MOST_DIGITS:
        value = value * 10 + (block[at] - ZERO)
        at += 1
    if at == begin or ZERO <= block[at] <= NINE or (block[begin] == ZERO and at - begin > 1):
        return value, -1
    return value, at


@njit(cache=True)
def decimal(block, at):
    """A decimal number in quotes and the place after them, -1 for anything else; equals float() of the text."""
    if block[at] != QUOTE:
        return 0.0, -1
    at += 1
    begin, mantissa, places = at, np.int64(0), 0
    while ZERO <= block[at] <= NINE and at - begin < _MOST_DIGITS:
        mantissa = mantissa * 10 + (block[at] - ZERO)
        at += 1
    digits = at - begin
    if digits == 0 or (block[begin] == ZERO and digits > 1):
        return 0.0, -1
    if block[at] == DOT:
        at += 1
        while ZERO <= block[at] <= NINE and digits + places < _MOST_DIGITS:
            mantissa = mantissa * 10 + (block[at] - ZERO)
            at, places = at + 1, places + 1
        if places == 0:
            return 0.0, -1
    if block[at] != QUOTE or mantissa >= _EXACT:
        return 0.0, -1
    return mantissa / _POWERS[places], at + 1  # both exact, so the quotient is the nearest float


@njit(cache=True)
def truth(block, at):
    """1 or 0 and the place after ``true`` or ``false``, -1 for anything else."""
    after = word(block, at, _TRUE)
    return (1, after) if after > 0 else (0, word(block, at, _FALSE))


@njit(cache=True)
def skipped(block, at):
    """The place after a plain text, a whole number or a truth value; -1 for anything else."""
    if block[at] != QUOTE:
        after = integer(block, at)[1]
        return after if after > 0 else truth(block, at)[1]
    at += 1
    while SPACE <= block[at] < DELETE and block[at] != QUOTE and block[at] != BACKSLASH:
        at += 1
    return at + 1 if block[at] == QUOTE else -1
