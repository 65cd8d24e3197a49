"""Tables and line charts as Markdown that Dagster's pages show: a chart is an SVG picture inside a data URI."""

import math
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_POINTS: Final = 300  # of a line; more would not be seen, and every picture is stored with its run
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 252, 64, 12, 40, 24  # pixels
_COLOURS: Final = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#94740d", "#0b7285", "#c2255c", "#495057")
_CELL: Final = (64, 26)  # of a heat map, pixels
_LIMIT_COLOUR: Final = "#c92a2a"

Floats = NDArray[np.float64]


def utc_time(ns: int) -> str:
    """Time of day of a stamp, UTC, to the millisecond.

    >>> utc_time(1_723_161_599_250_000_000)
    '23:59:59.250'
    """
    return datetime.fromtimestamp(ns // 1_000_000 / 1e3, UTC).strftime("%H:%M:%S.%f")[:-3]


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; "none" without a row.

    >>> print(markdown_table(["at", "gap"], [["12:00", 3]]))
    | at | gap |
    | --- | --- |
    | 12:00 | 3 |
    """
    lines = [" | ".join(_cell(cell) for cell in row) for row in rows]
    if not lines:
        return "none"
    return "\n".join(f"| {line} |" for line in [" | ".join(header), " | ".join("---" for _ in header), *lines])


def line_chart(title: str, stamps: NDArray[np.int64], lines: Mapping[str, Floats], limit: float | None = None) -> str:
    """A picture of lines over the time of day; NaN leaves a hole. "none" where nothing is finite.

    stamps : shape (n,), ns UTC, rising; lines : shape (n,) each
    limit : drawn as a dashed line, where it is not so far away that it would flatten the rest
    """
    ends = (utc_time(int(stamps[0]))[:8], f"{utc_time(int(stamps[-1]))[:8]} UTC") if stamps.size else ("", "")
    return _embedded(title, _svg(title, stamps, lines, limit, ends))


def number_chart(title: str, numbers: NDArray[np.int64], lines: Mapping[str, Floats]) -> str:
    """A picture of lines over whole numbers, such as epochs; NaN leaves a hole. "none" where nothing is finite.

    numbers : shape (n,), rising; lines : shape (n,) each
    """
    ends = (str(numbers[0]), str(numbers[-1])) if numbers.size else ("", "")
    return _embedded(title, _svg(title, numbers, lines, None, ends))


def svg_of(chart: str) -> bytes:
    """The picture inside a chart's Markdown; empty where it holds none."""
    _, found, encoded = chart.partition("data:image/svg+xml;base64,")
    return b64decode(encoded.removesuffix(")")) if found else b""


def _embedded(title: str, picture: str) -> str:
    return f"![{title}](data:image/svg+xml;base64,{b64encode(picture.encode()).decode()})" if picture else "none"


def heat_map(title: str, across: Sequence[str], down: Sequence[str], shares: Floats) -> str:
    """A picture of shares, 0 to 1, in a grid, the value in each cell; a cell that is NaN is grey.

    shares : shape (len(down), len(across))
    """
    cells = [
        f'<rect x="{x}" y="{y}" width="{_CELL[0]}" height="{_CELL[1]}" fill="{_shade(share)}" stroke="#fff"/>'
        f'<text x="{x + _CELL[0] / 2}" y="{y + 17}" text-anchor="middle" fill="#000">{_percent(share)}</text>'
        for (row, column), share in np.ndenumerate(shares)
        for x, y in [(_LEFT + column * _CELL[0], 40 + row * _CELL[1])]
    ]
    heads = [
        f'<text x="{_LEFT + (column + 0.5) * _CELL[0]}" y="34" fill="#555" text-anchor="middle">{escape(name)}</text>'
        for column, name in enumerate(across)
    ]
    names = [
        f'<text x="{_LEFT - 6}" y="{57 + row * _CELL[1]}" fill="#555" text-anchor="end">{escape(name)}</text>'
        for row, name in enumerate(down)
    ]
    width, height = _LEFT + len(across) * _CELL[0] + _RIGHT, 40 + len(down) * _CELL[1] + 8
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="11"><rect width="{width}" height="{height}" fill="#fff"/>'
        f'<text x="8" y="16" fill="#000" font-weight="bold">{escape(title)}</text>'
    )
    picture = "".join([picture, *heads, *names, *cells, "</svg>"])
    return _embedded(title, picture)


def _shade(share: float) -> str:
    """White for none, blue for all."""
    if math.isnan(share):
        return "#ddd"
    return f"rgb({255 - round(200 * share)},{255 - round(120 * share)},255)"


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.1f}"


def _svg(
    title: str, stamps: NDArray[np.int64], lines: Mapping[str, Floats], limit: float | None, ends: tuple[str, str]
) -> str:
    values = np.concatenate([np.asarray(line, np.float64) for line in lines.values()]) if lines else np.empty(0)
    values = values[np.isfinite(values)]
    if not values.size:
        return ""
    low, high = _bounds(float(values.min()), float(values.max()), limit)
    start, end = int(stamps[0]), max(int(stamps[-1]), int(stamps[0]) + 1)
    across = _LEFT + (stamps - start) / (end - start) * (_WIDTH - _LEFT - _RIGHT)
    parts = [_frame(title, *ends), *_grid(low, high), *_legend(list(lines))]
    for number, line in enumerate(lines.values()):
        parts.append(_path(across, _heights(line, low, high), _colour(number)))
    if limit is not None and low <= limit <= high:
        y = _heights(np.array([limit]), low, high)[0]
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_LIMIT_COLOUR}" stroke-dasharray="4 3"/>'
            f'<text x="{_WIDTH - _RIGHT}" y="{y - 3:.1f}" fill="{_LIMIT_COLOUR}" text-anchor="end">'
            f"limit {_short(limit)}</text>"
        )
    return "".join([*parts, "</svg>"])


def _legend(names: Sequence[str]) -> Iterable[str]:
    """The names of the lines in their colours, below the title."""
    step = min(90.0, (_WIDTH - _LEFT - _RIGHT) / max(len(names), 1))
    for number, name in enumerate(names):
        x = _LEFT + step * number
        yield f'<text x="{x:.0f}" y="32" fill="{_colour(number)}">{escape(name)}</text>'


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _bounds(low: float, high: float, limit: float | None) -> tuple[float, float]:
    """What the axis covers: all values, the limit where it is near, and never nothing."""
    span = high - low
    if limit is not None and low - 2 * span <= limit <= high + 2 * span:
        low, high = min(low, limit), max(high, limit)
    margin = 0.05 * (high - low) or max(abs(high) * 0.05, 0.5)
    return low - margin, high + margin


def _frame(title: str, start: str, end: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" '
        f'font-size="11" fill="none"><rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
        f'<text x="{_LEFT}" y="16" fill="#000" font-weight="bold">{escape(title)}</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}" fill="#555">{start}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" fill="#555" text-anchor="end">{end}</text>'
    )


def _grid(low: float, high: float) -> Iterable[str]:
    """Horizontal lines at round values, with those values."""
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step *= next((factor for factor in (1, 2, 5) if (high - low) / (step * factor) <= 6), 10)
    for place in range(math.ceil(low / step), math.floor(high / step) + 1):
        y = _heights(np.array([place * step]), low, high)[0]
        yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#e3e3e3"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" fill="#555" text-anchor="end">{_short(place * step)}</text>'


def _path(across: Floats, heights: Floats, colour: str) -> str:
    """A line broken where it has holes; a point between two holes is a dot."""
    strokes, pen_down = [], False
    for x, y in zip(across, heights, strict=True):
        if math.isfinite(y):
            strokes.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}" + ("" if pen_down else "h.1"))
        pen_down = math.isfinite(y)
    return f'<path d="{"".join(strokes)}" stroke="{colour}" stroke-width="1.5" stroke-linecap="round"/>'


def _heights(values: Floats, low: float, high: float) -> Floats:
    return np.asarray(_HEIGHT - _BOTTOM - (values - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM))


def _short(value: float) -> str:
    return f"{value:,.6g}"


def _cell(value: object) -> str:
    text = f"{value:,.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
