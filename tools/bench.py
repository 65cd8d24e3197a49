"""Run every benchmarks/bench_*.py in a process of its own, then print all figures beside their peers' and bars."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from benchmarks.harness import FIGURES_FILE, Figure, save, table, verdict
from storage.progress import remaining

ROOT: Final = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None, folder: Path = ROOT / "benchmarks") -> int:
    """How many benchmarks could not be run, at most 1; a bar that is not met is printed as such and is no failure."""
    options = _parser().parse_args(arguments)
    benchmarks = [path for path in sorted(folder.glob("bench_*.py")) if not options.only or path.stem in options.only]
    figures, failed = run_all(benchmarks, sys.stderr.fileno() if options.json else None)
    if options.json:
        print(json.dumps([asdict(figure) | {"ratio": figure.ratio, "met": figure.met} for figure in figures], indent=1))
    else:
        print(f"\n{table(figures)}\n\n{verdict(figures)}")
    for name in failed:
        print(f"{name} could not be run: see what it said above", file=sys.stderr)
    if options.save and figures:
        kept = save(figures, folder / "history").relative_to(folder.parent)
        print(f"saved to {kept}; `make docs` writes docs/performance.md anew", file=sys.stderr)
    return min(len(failed), 1)


def run_all(benchmarks: Sequence[Path], output: int | None = None) -> tuple[list[Figure], list[str]]:
    """Figures of all benchmarks that ran to their end, and the names of those that did not.

    output : descriptor that they print to, None for our own
    """
    figures, failed, begun = list[Figure](), list[str](), time.monotonic()
    for done, benchmark in enumerate(benchmarks):
        left = remaining(done, len(benchmarks), time.monotonic() - begun)
        print(f"== {done + 1} of {len(benchmarks)}, {benchmark.stem}{left}", file=sys.stderr, flush=True)
        found = _run(benchmark, output)
        if found is None:
            failed.append(benchmark.stem)
        figures += found or []
    return figures, failed


def _run(benchmark: Path, output: int | None) -> list[Figure] | None:
    with tempfile.TemporaryDirectory() as folder:
        left = Path(folder) / "figures.jsonl"
        environment = os.environ | {FIGURES_FILE: str(left)}
        done = subprocess.run([sys.executable, str(benchmark)], cwd=ROOT, env=environment, stdout=output)
        if done.returncode:
            return None
        lines = left.read_text(encoding="utf-8").splitlines() if left.exists() else []
    return [replace(Figure(**json.loads(line)), benchmark=benchmark.stem) for line in lines]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", metavar="bench_NAME", help="these benchmarks alone")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, and the rest to stderr")
    parser.add_argument("--save", action="store_true", help="append the figures to benchmarks/history/")
    return parser


if __name__ == "__main__":
    sys.exit(main())
