"""Rows whose outcome is under way: from the decision over its begin to its end on the venue's clock, quote to quote."""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from labeling.quotes import NO_QUOTE, Quote

LATE_ROWS: Final = 4_096  # by which messages may be late before an outcome is given up


class Span(NamedTuple):
    """Where an outcome lies behind its row, ns."""

    delay_ns: int  # from the row to its begin
    horizon_ns: int  # and from there to its end


class Said(NamedTuple):
    """What is remembered of a row until its outcome is over."""

    at: int  # when the outcome begins, then when it is over, the venue's time, ns
    numbers: tuple[float, ...]
    start: Quote = NO_QUOTE  # that the outcome begins with


class UnderWay:
    """Rows that were said something of; each comes back once, with the quotes that its outcome leads between.

    A quote counts from when it stood until a later one stands; it is that of a row which had heard of nothing later.
    Holds its state.
    """

    def __init__(self, span: Span, row_ns: int) -> None:
        self._span = span
        self._most = LATE_ROWS + math.ceil(sum(span) / row_ns)
        self._to_begin: deque[Said] = deque(maxlen=self._most)
        self._begun: deque[Said] = deque(maxlen=self._most)

    def remember(self, row_ts: int, *numbers: float) -> None:
        """What was said of the row that closed at ``row_ts``, ns UTC."""
        self._to_begin.append(Said(row_ts + self._span.delay_ns, numbers))

    def over(self, over_ts: int, newest: Quote) -> Iterator[Said]:
        """The rows whose outcomes are over by now, with what they began with; each ended with ``newest``.

        over_ts : up to when all is heard, the venue's time, ns; newest : of the row before this
        """
        while self._to_begin and self._to_begin[0].at <= over_ts:
            said = self._to_begin.popleft()
            self._begun.append(Said(said.at + self._span.horizon_ns, said.numbers, newest))
        while self._begun and self._begun[0].at <= over_ts:
            yield self._begun.popleft()

    @property
    def identity(self) -> list[int]:
        """What tells it from another cell's or delay's."""
        return [*self._span, self._most]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: what is still to come; NaN and infinity as text."""
        waiting = {"to_begin": self._to_begin, "begun": self._begun}
        return {
            name: [[row.at, _text(row.numbers), _text(row.start)] for row in rows] for name, rows in waiting.items()
        }

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Go on where ``as_dict`` was called."""
        for name, rows in (("to_begin", self._to_begin), ("begun", self._begun)):
            rows.clear()
            rows.extend(Said(int(at), _numbers(said), Quote(*_numbers(start))) for at, said, start in stored[name])


def _text(numbers: tuple[float, ...]) -> list[str]:
    return list(map(str, numbers))


def _numbers(texts: list[str]) -> tuple[float, ...]:
    return tuple(map(float, texts))
