"""When exchanges open and close on the UTC clock: opening hours and daylight saving as a table for the step."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.parameters import TradingSession
from market.errors import ConfigError

FIRST_YEAR: Final = 2015
LAST_YEAR: Final = 2040  # later than any tape; rules of the time zones are known up to the next change of law
DAY_S: Final = 86_400


def session_table(sessions: Iterable[TradingSession]) -> NDArray[np.int64]:
    """All sessions in a row: open and close in s of the local day, how many changes of offset, and the changes.

    A change is when it begins, s UTC, and the local clock minus UTC from then on, s.
    Raises ConfigError if a time zone is unknown.
    """
    table = [0]
    for session in sessions:
        table[0] += 1
        changes = offset_changes(session.timezone)
        table += [_seconds(session.opens), _seconds(session.closes), len(changes)]
        table += [number for change in changes for number in change]
    return np.array(table, np.int64)


def _seconds(clock_time: str) -> int:
    hours, minutes = clock_time.split(":")
    return int(hours) * 3_600 + int(minutes) * 60


@cache
def offset_changes(timezone: str) -> tuple[tuple[int, int], ...]:
    """(s UTC, offset in s from then on) of a time zone, FIRST_YEAR to LAST_YEAR; the first is in force at the start.

    >>> offset_changes("Asia/Tokyo")
    ((1420070400, 32400),)
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"timezone={timezone!r} is not of the IANA database") from error
    instant, end = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)
    changes = [(int(instant.timestamp()), _offset(zone, instant))]
    while instant < end:
        following = instant + timedelta(days=1)
        if _offset(zone, following) != changes[-1][1]:
            hour = _first_hour(zone, instant, changes[-1][1])
            changes.append((int(hour.timestamp()), _offset(zone, hour)))
        instant = following
    return tuple(changes)


def _first_hour(zone: ZoneInfo, day: datetime, offset: int) -> datetime:
    hours = (day + timedelta(hours=hour) for hour in range(1, 25))
    return next(hour for hour in hours if _offset(zone, hour) != offset)


def _offset(zone: ZoneInfo, instant: datetime) -> int:
    moved = instant.astimezone(zone).utcoffset()
    return int(moved.total_seconds()) if moved is not None else 0


@njit(cache=True)
def session_flags(table, start, flag_s, row_ts):
    """Whether ``row_ts`` (ns) lies within ``flag_s`` after an open, and within ``flag_s`` before a close: two numbers.

    table : holds what ``session_table`` returned from place ``start`` on
    """
    now_s, place = row_ts // 1_000_000_000, start + 1
    opening = closing = 0.0
    for _ in range(table[start]):
        opens, closes, count = table[place], table[place + 1], table[place + 2]
        change = place + 3 + 2 * (count - 1)
        while change > place + 3 and table[change] > now_s:
            change -= 2
        local_s = now_s + table[change + 1]
        of_day, weekday = local_s % DAY_S, (local_s // DAY_S + 3) % 7  # day 0 was a Thursday
        if weekday < 5:
            if opens <= of_day < opens + flag_s:
                opening = 1.0
            if closes - flag_s <= of_day < closes:
                closing = 1.0
        place += 3 + 2 * count
    return opening, closing
