"""Dagster's events as lines for the person who waits: which step runs, and how long it took."""

import logging
from collections.abc import Callable

import dagster as dg

Progress = Callable[[str], None]


class StepLines(logging.Handler):
    """Tells ``progress`` what assets log, and which steps end well; how a run failed is told by whoever started it."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.DEBUG)
        self.progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_event", None)
        if event is None and record.levelno == logging.INFO:
            self.progress(f"    {record.dagster_meta['orig_message']}")  # type: ignore[attr-defined]
        elif event is not None and event.event_type == dg.DagsterEventType.STEP_SUCCESS:
            self.progress(f"  {event.step_key} {event.step_success_data.duration_ms / 1000:.1f} s")


def step_logger(progress: Progress) -> dg.LoggerDefinition:
    """Dagster's console logger, replaced by one line a step."""

    def build(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("tickloop.steps", logging.DEBUG)
        logger.addHandler(StepLines(progress))
        return logger

    return dg.LoggerDefinition(build)
