"""A compiled stretch comes back from its files as it was, mapped and not copied."""

from pathlib import Path

import numpy as np

from backtest.compiled import run_compiled
from storage.compiled import read_compiled, write_compiled
from tests.builders_backtest import desk, imbalance_forecasts, stretch


def test_a_stretch_read_back_is_the_one_written_and_lies_in_the_file(tmp_path: Path) -> None:
    compiled, forecasts = stretch()[0], imbalance_forecasts()
    write_compiled(tmp_path / "stretch", compiled, forecasts)
    read, said = read_compiled(tmp_path / "stretch")
    assert isinstance(read.tape, np.memmap)
    pairs = [(read.tape, compiled.tape), (said, forecasts), (read.mids.mid, compiled.mids.mid)]
    pairs += list(zip([*read.rows, *read.book], [*compiled.rows, *compiled.book], strict=True))
    pairs += [(read.venue[name], array) for name, array in compiled.venue.items()]
    assert read.mids.end == compiled.mids.end
    assert [place for place, (one, other) in enumerate(pairs) if one.tobytes() != other.tobytes()] == []


def test_a_run_over_the_files_is_the_run_over_the_arrays_and_leaves_them_alone(tmp_path: Path) -> None:
    compiled, forecasts, own = stretch()[0], imbalance_forecasts(), desk("take")
    write_compiled(tmp_path / "stretch", compiled, forecasts)
    files = {path.name: path.read_bytes() for path in (tmp_path / "stretch").iterdir()}
    read, said = read_compiled(tmp_path / "stretch")
    traces = [
        run_compiled(market, known, own.strategy, own.terms, own.features)
        for market, known in ((compiled, forecasts), (read, said))
    ]
    assert traces[0].result.reports.size > 5
    assert traces[0].result.decisions.tobytes() == traces[1].result.decisions.tobytes()
    assert traces[0].orders.tobytes() == traces[1].orders.tobytes()
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "stretch").iterdir()}
