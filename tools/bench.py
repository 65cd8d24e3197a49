"""Run every benchmarks/bench_*.py in turn; each prints its own figures beside its peer's."""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]


def main() -> int:
    """The first failing benchmark's exit status, else 0."""
    benchmarks = sorted(ROOT.glob("benchmarks/bench_*.py"))
    print(f"{len(benchmarks)} benchmarks")
    for benchmark in benchmarks:
        print(f"== {benchmark.stem}", flush=True)
        status = subprocess.run([sys.executable, str(benchmark)], cwd=ROOT).returncode
        if status != 0:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
