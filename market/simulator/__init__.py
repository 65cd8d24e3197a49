"""A synthetic market: ticks of a whole venue, or rows and buckets for months; no claim about a strategy rests on it.

``synthetic_capture`` is a small one for tests; ``SimulatedTape``, ``simulated_capture`` and ``fast`` are described in
docs/simulator.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from market.simulator.small_market import OFFSET_NS, Turn, synthetic_capture

__all__ = ["OFFSET_NS", "Turn", "synthetic_capture"]


def __getattr__(name: str) -> Any:
    """The small market when it is first asked for: ``fast`` needs none of its encoder of frames."""
    if name in __all__:
        return getattr(import_module("market.simulator.small_market"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
