"""The arithmetic of the page on scale, from its own unit costs."""

import re

import pytest

from tests.builders_pages import ROOT

PAGE = (ROOT / "docs" / "scale.md").read_text()
EVENTS, ROWS = 81.3e6, 4.32e6


def number(text: str) -> float:
    return float(re.sub(r"[^\d.]", "", text))


def steps() -> list[list[str]]:
    """Cells of the table of steps, without its head and its sum."""
    table = PAGE.split("| step |")[1].split("| **a day** |")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:] if line]


def costs(share: float) -> tuple[float, float]:
    """Seconds and MB of a symbol-day with that share of BTC's events, from the unit costs alone."""
    seconds = megabytes = 0.0
    for _, unit, *_ in steps():
        count = ROWS if "row" in unit else EVENTS * share
        for rate, scale in re.findall(r"([\d.]+) ([Mk]) (?:events|rows)/s", unit):
            seconds += count / (float(rate) * {"M": 1e6, "k": 1e3}[scale])
        megabytes += sum(count * float(size) / 1e6 for size in re.findall(r"([\d.]+) bytes", unit))
    return seconds, megabytes


def test_steps_sum_to_the_day() -> None:
    [total] = re.findall(r"\*\*a day\*\* \| \| \*\*([\d.,]+)\*\* \| \*\*([\d.,]+)\*\*", PAGE)
    for column, told in enumerate(total, start=2):
        assert sum(number(cells[column]) for cells in steps() if cells[column]) == pytest.approx(number(told), rel=2e-3)
        assert costs(1.0)[column - 2] == pytest.approx(number(told), rel=5e-3)
    [quiet] = re.findall(r"as many rows: ([\d.]+) s and (\d+) MB", PAGE)
    assert tuple(map(number, quiet)) == pytest.approx(costs(0.1), rel=5e-3)


def test_many_are_that_many_times_one() -> None:
    lines = re.findall(
        r"^\| .* \| ([\d,]+) \| (.*?) machine-hours, (.*?) TB \| (.*?) machine-hours, (.*?) TB \|$", PAGE, re.M
    )
    assert len(lines) == 2
    for days, *told in lines:
        for share, hours, terabytes in ((1.0, *told[:2]), (0.1, *told[2:])):
            seconds, megabytes = costs(share)
            assert number(hours) == pytest.approx(number(days) * seconds / 3600, rel=0.01)
            assert number(terabytes) == pytest.approx(number(days) * megabytes / 1e6, rel=0.02)


def test_fits_take_what_their_rows_take() -> None:
    [cpu, gpu, rows, epochs] = re.findall(
        r"passes (\d+) k rows.*?and ([\d.]+) M on.*?([\d.]+) M rows, for (\w+) epochs", PAGE, re.S
    )[0]
    passed = number(rows) * 1e6 * {"twenty": 20}[epochs]
    [hours, seconds, fits, all_hours] = re.findall(
        r"take ([\d.]+) hours and (\d+) seconds.*?are ([\d,]+) such fits, ([\d,]+) hours", PAGE, re.S
    )[0]
    assert number(hours) == pytest.approx(passed / number(cpu) / 1e3 / 3600, rel=0.02)
    assert number(seconds) == pytest.approx(passed / number(gpu) / 1e6, rel=0.01)
    assert number(all_hours) == pytest.approx(number(fits) * number(seconds) / 3600, rel=0.01)
