"""Dagster's events as lines for the person who waits: which step runs, and how long it took."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import dagster as dg

from storage.progress import LastLine, remaining

Progress = Callable[[str], None]
Item = TypeVar("Item")


class Underway:
    """A terminal's last line while a chain runs: which part it is at, and what its step says in passing."""

    def __init__(self, line: LastLine, clock: Callable[[], float] = time.monotonic) -> None:
        self._line, self._clock = line, clock
        self._place = self._shown = ""

    def each(self, what: str, parts: Sequence[Item], made: Callable[[], int]) -> Iterator[Item]:
        """The parts, one by one; the rest takes as long as those did that were not up to date.

        made : how much has been made so far; a part that adds nothing to it was up to date
        """
        seconds: list[float] = []
        for number, part in enumerate(parts):
            left = remaining(len(seconds), len(seconds) + len(parts) - number, sum(seconds))
            self._place = f"{what} {number + 1} of {len(parts)}{left}"
            self._show(self._place)
            before, begun = made(), self._clock()
            yield part
            if made() > before:
                seconds.append(self._clock() - begun)
        self._place = ""
        self.clear()

    def above(self, progress: Progress) -> Progress:
        """The same lines, after each of which the last one is there again."""

        def tell(line: str) -> None:
            progress(line)
            self._line.show(self._shown)

        return tell

    def say(self, passing: str) -> None:
        """Show what a step says, behind the place."""
        self._show("; ".join(filter(None, (self._place, passing))))

    def clear(self) -> None:
        """Leave nothing there."""
        self._show("")

    def _show(self, line: str) -> None:
        self._shown = line
        self._line.show(line)


class StepLines(logging.Handler):
    """Tells ``progress`` what assets log, and which steps end well; how a run failed is told by whoever started it.

    passing : shows their details, which are soon out of date
    """

    def __init__(self, progress: Progress, passing: Progress) -> None:
        super().__init__(logging.DEBUG)
        self.progress, self.passing = progress, passing

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_event", None)
        if event is None and record.levelno == logging.INFO:
            self.progress(f"    {record.dagster_meta['orig_message']}")  # type: ignore[attr-defined]
        elif event is None and record.levelno == logging.DEBUG:
            self.passing(record.dagster_meta["orig_message"].partition("\n")[0])  # type: ignore[attr-defined]
        elif event is not None and event.event_type == dg.DagsterEventType.STEP_SUCCESS:
            self.progress(f"  {event.step_key} {event.step_success_data.duration_ms / 1000:.1f} s")


def step_logger(progress: Progress, passing: Progress = lambda _: None) -> dg.LoggerDefinition:
    """Dagster's console logger, replaced by one line a step; details go to ``passing``."""

    def build(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("tickloop.steps", logging.DEBUG)
        logger.addHandler(StepLines(progress, passing))
        return logger

    return dg.LoggerDefinition(build)
