"""Opening hours follow the wall clock of their place, also over a change of daylight saving."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from features.parameters import TradingSession
from features.sessions import offset_changes, session_flags, session_table
from market.errors import ConfigError

NEW_YORK = TradingSession("America/New_York", "09:30", "16:00")
LONDON = TradingSession("Europe/London", "08:00", "16:30")


def flags_at(iso: str, *sessions: TradingSession) -> tuple[float, float]:
    row_ts = int(datetime.fromisoformat(iso).replace(tzinfo=UTC).timestamp()) * 1_000_000_000
    return session_flags(session_table(sessions), 0, 1_800, row_ts)


@pytest.mark.parametrize(
    ("iso", "flags"),
    [
        ("2024-03-08T14:29:59", (0.0, 0.0)),
        ("2024-03-08T14:30:00", (1.0, 0.0)),  # Friday, winter: 09:30 is 14:30 UTC
        ("2024-03-08T14:59:59", (1.0, 0.0)),
        ("2024-03-08T15:00:00", (0.0, 0.0)),
        ("2024-03-08T20:30:00", (0.0, 1.0)),
        ("2024-03-08T21:00:00", (0.0, 0.0)),
        ("2024-03-09T14:30:00", (0.0, 0.0)),  # Saturday
        ("2024-03-11T13:30:00", (1.0, 0.0)),  # Monday, summer time since the day before
        ("2024-03-11T14:30:00", (0.0, 0.0)),
    ],
)
def test_new_york_opens_and_closes_by_its_own_clock(iso, flags):
    assert flags_at(iso, NEW_YORK) == flags


def test_sessions_that_meet_flag_both():
    assert flags_at("2024-08-08T15:00:00", NEW_YORK, LONDON) == (0.0, 1.0)
    assert flags_at("2024-08-08T13:40:00", NEW_YORK, LONDON) == (1.0, 0.0)
    assert flags_at("2024-08-08T13:40:00") == (0.0, 0.0)


@pytest.mark.parametrize("timezone", ["America/New_York", "Europe/London", "Australia/Sydney", "Asia/Kolkata", "UTC"])
def test_offsets_agree_with_the_time_zone_every_hour(timezone):
    changes, zone = offset_changes(timezone), ZoneInfo(timezone)
    instant = datetime(2023, 1, 1, tzinfo=UTC)
    for hour in range(2 * 365 * 24):
        moment = instant + timedelta(hours=hour)
        known = [offset for since, offset in changes if since <= moment.timestamp()][-1]
        assert timedelta(seconds=known) == moment.astimezone(zone).utcoffset()


def test_an_unknown_time_zone_is_refused():
    with pytest.raises(ConfigError, match="IANA"):
        offset_changes("Europe/Atlantis")
