"""Asking again for what has failed: Dagster drops a run key that it has seen, whatever became of its run."""

import math
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG

Clock = Callable[[], float]

FIRST_WAIT_S: Final = 600.0  # after a run that failed; twice as long after each that follows
LONGEST_WAIT_S: Final = 86_400.0


def attempts(
    instance: dg.DagsterInstance,
    requests: Sequence[dg.RunRequest],
    clock: Clock = time.time,
    most: float = math.inf,
) -> list[dg.RunRequest] | dg.SkipReason:
    """Those of the requests that Dagster has not seen or whose run failed long enough ago; else why there is none.

    most : runs of one request that may fail
    """
    answers = [_attempt(instance, request, clock(), most) for request in requests]
    granted = [answer for answer in answers if isinstance(answer, dg.RunRequest)]
    return granted or dg.SkipReason("; ".join(str(answer) for answer in answers))


def _attempt(instance: dg.DagsterInstance, request: dg.RunRequest, now: float, most: float) -> dg.RunRequest | str:
    said = ""
    for number in count(1):
        key = f"{request.run_key}|{number}" if number > 1 else str(request.run_key)
        found = instance.get_run_records(dg.RunsFilter(tags={RUN_KEY_TAG: key}), limit=1)
        if not found:
            return said or dg.RunRequest(key, run_config=request.run_config, tags=dict(request.tags))
        run, since = found[0].dagster_run, now - found[0].update_timestamp.timestamp()
        if run.status != dg.DagsterRunStatus.FAILURE:
            return f"{request.run_key}: run {run.run_id[:8]}, {run.status.value.lower()}"
        if number >= most:
            return f"{request.run_key}: {number} runs failed, no other is asked for; run the job {run.job_name} by hand"
        wait = wait_s(number)
        said = f"{key}: run {run.run_id[:8]} failed, the next one {wait:.0f} s after it" if since < wait else ""
    raise AssertionError("numbers have no end")


def wait_s(failed: int) -> float:
    """How long after so many runs that failed the next one may begin, s.

    >>> [wait_s(failed) for failed in (1, 2, 3, 20)]
    [600.0, 1200.0, 2400.0, 86400.0]
    """
    return float(min(FIRST_WAIT_S * 2.0 ** (failed - 1), LONGEST_WAIT_S))
