"""What a command of ``main.py`` has to say."""

from typing import Any, NamedTuple


class Report(NamedTuple):
    """An answer for people and for programs."""

    text: str
    plain: Any  # the same as JSON takes it
    sound: bool = True  # False: something was found that must not be
