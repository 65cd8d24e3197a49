"""One explanation in a process of its own, as JSON: replaying a journal must not cost the runner a row."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from live.explain.explaining import explain
from market.errors import TickloopError

NICENESS: Final = 10


def main() -> int:
    """Exit status: 0, or 1 with one line that says why there is no answer."""
    parser = argparse.ArgumentParser(prog="live.explain")
    parser.add_argument("journal", type=Path)
    parser.add_argument("bundles", type=Path)
    parser.add_argument("order")
    parser.add_argument("horizons_ms", type=int, nargs="+")
    asked = parser.parse_args()
    os.nice(NICENESS)
    try:
        told = explain(asked.journal, asked.bundles, asked.order, asked.horizons_ms)
    except (TickloopError, OSError) as fault:
        print(fault, file=sys.stderr)  # noqa: T201
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
