"""Whether a model may be asked for again: a cooldown for each cause, and a budget that all of them share."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from monitoring.parameters import RetrainingParameters

DAY_S: Final = 86_400.0


class Request(NamedTuple):
    """A model that was asked for."""

    cause: str
    at: float  # s UTC


def reason_to_wait(cause: str, now: float, earlier: Sequence[Request], parameters: RetrainingParameters) -> str | None:
    """Why a request of this cause has to wait, in words; None if it may be made.

    now : s UTC, as the stamps of the earlier requests

    >>> rules = RetrainingParameters(cooldown_s=3600.0, most_per_day=2)
    >>> reason_to_wait("drift", 5000.0, [Request("drift", 2000.0)], rules)
    'the last request for drift is 3000 s old, the cooldown 3600 s'
    >>> reason_to_wait("ir_decay", 5000.0, [Request("drift", 2000.0)], rules) is None
    True
    >>> reason_to_wait("ir_decay", 5000.0, [Request("drift", 0.0), Request("drift", 4000.0)], rules)
    '2 models were asked for within a day (drift, drift), 2 allowed'
    """
    own = [request.at for request in earlier if request.cause == cause]
    if own and now - max(own) < parameters.cooldown_s:
        return f"the last request for {cause} is {now - max(own):.0f} s old, the cooldown {parameters.cooldown_s:g} s"
    newest = [request.cause for request in earlier if now - request.at < DAY_S]
    if len(newest) >= parameters.most_per_day:
        causes = ", ".join(newest)
        return f"{len(newest)} models were asked for within a day ({causes}), {parameters.most_per_day} allowed"
    return None
