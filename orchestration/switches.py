"""Whether sensors and schedules run unless somebody says otherwise in the UI: not in dev, always in prod."""

import dagster as dg

from config.settings import Settings


def sensor_status(settings: Settings) -> dg.DefaultSensorStatus:
    """Of every sensor."""
    running = settings.orchestration.schedules_running
    return dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED


def schedule_status(settings: Settings) -> dg.DefaultScheduleStatus:
    """Of every schedule."""
    running = settings.orchestration.schedules_running
    return dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED
