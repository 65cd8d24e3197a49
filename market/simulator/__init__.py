"""A synthetic market: ticks of a whole venue, or rows and buckets for months; no claim about a strategy rests on it.

``synthetic_capture`` is a small one for tests; ``SimulatedTape``, ``simulated_capture`` and ``fast`` are described in
docs/simulator.md.
"""

from market.simulator.small_market import OFFSET_NS, synthetic_capture

__all__ = ["OFFSET_NS", "synthetic_capture"]
