"""Many points of one desk, over processes that share one compiled stretch. Imports no Dagster: workers start soon.

Every point is a run of its own from the same opening, so that the rows do not depend on how many processes made them.
"""

import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import market  # noqa: F401  (points numba at its cache)
from backtest.compiled import Compiled
from backtest.surface import Desk, Point, Sweep, figures_at
from modeling.forecast import Floats
from storage.compiled import read_compiled, write_compiled
from storage.progress import Told, untold

_shared: dict[str, tuple[Compiled, Floats]] = {}  # of a worker: the stretch that it has mapped


def serial(desk: Desk, compiled: Compiled, forecasts: Floats, *, told: Told = untold) -> Sweep:
    """Runs points here, one after the other."""

    def sweep(points: Iterable[Point]) -> list[dict[str, Any]]:
        each = list(points)
        return [figures_at(desk, compiled, forecasts, point) for point in told(each, len(each))]

    return sweep


def parallel(
    desk: Desk, compiled: Compiled, forecasts: Floats, folder: Path, jobs: int, *, told: Told = untold
) -> Sweep:
    """Runs points in ``jobs`` processes; the stretch lies in a folder of its own below ``folder`` meanwhile."""

    def sweep(points: Iterable[Point]) -> list[dict[str, Any]]:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix="sweep-") as own:
            stretch = Path(own) / "stretch"
            write_compiled(stretch, compiled, forecasts)
            with ProcessPoolExecutor(jobs, _context()) as pool:
                each = list(points)
                return list(told(pool.map(partial(_at, str(stretch), desk), each), len(each)))

    return sweep


def sweep_with(
    desk: Desk, compiled: Compiled, forecasts: Floats, folder: Path, jobs: int, *, told: Told = untold
) -> Sweep:
    """``serial`` for one job, else ``parallel``; ``told`` hears of every point."""
    case = (desk, compiled, forecasts)
    return serial(*case, told=told) if jobs == 1 else parallel(*case, folder, jobs, told=told)


def _context() -> multiprocessing.context.BaseContext:
    """Workers are forked from a clean process that has imported this module, never from one that runs threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _at(stretch: str, desk: Desk, point: Point) -> dict[str, Any]:
    if stretch not in _shared:
        _shared.clear()
        _shared[stretch] = read_compiled(Path(stretch))
    return figures_at(desk, *_shared[stretch], point)
