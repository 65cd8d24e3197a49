"""One fit in two processes, started by us and by torchrun: the same bytes; a fit that fails leaves no process."""

import multiprocessing
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from assets.shared_fit import Work, fit_on_devices
from market.errors import ModelError
from modeling.training_parts import InMemory
from modeling.training_rows import TrainingSet
from tests.builders_modeling import labelled_rows, quick_training, small_network

pytestmark = pytest.mark.acceptance

PATIENCE_S = 300.0
ROOT = Path(__file__).parents[2]
SHARED = """
import os, sys
import numpy as np
from tests.acceptance.test_shared_fits import fitted, work_for_two

found = fitted(work_for_two())
np.savez(f"{sys.argv[1]}.{os.environ['RANK']}.npz", val_nll=found["val_nll"], **found["weights"])
"""


def work_for_two() -> Work:
    training = quick_training(epochs=3, devices=2, strategy="ddp", mixup_alpha=0.4)
    return Work(small_network(width=16, depth=1), labelled_rows(seed=1), labelled_rows(seed=2), training)


def fitted(work: Work) -> dict[str, object]:
    found = fit_on_devices(work)
    return {"weights": found.model.weights, "val_nll": [epoch.val_nll for epoch in found.history]}


@dataclass(frozen=True)
class Unreadable(InMemory):
    """A source that cannot be read by the second process."""

    def part(self, place: int) -> TrainingSet:
        if os.environ["RANK"] == "1":
            raise ModelError("part 0 of Train is gone")
        return self.data


def test_whoever_starts_the_processes_the_weights_are_the_same_bytes(tmp_path: Path) -> None:
    script, target = tmp_path / "shared.py", tmp_path / "fit"
    script.write_text(SHARED)
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, target]
    subprocess.run(launched, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=ROOT, timeout=PATIENCE_S, check=True)
    ours = fitted(work_for_two())
    for rank in range(2):
        theirs = dict(np.load(f"{target}.{rank}.npz"))
        assert theirs.pop("val_nll").tolist() == ours["val_nll"]
        assert {name: array.tobytes() for name, array in theirs.items()} == {
            name: array.tobytes() for name, array in ours["weights"].items()
        }
    assert ours["val_nll"][-1] < ours["val_nll"][0]


def test_what_is_wrong_in_one_process_is_said_and_none_is_left() -> None:
    source = Unreadable(labelled_rows(seed=1))
    with pytest.raises(ModelError, match="part 0 of Train is gone"):
        fit_on_devices(replace(work_for_two(), train=source))
    assert multiprocessing.active_children() == []


def test_a_report_that_stops_the_fit_leaves_no_process() -> None:
    def stop(epoch: int, _: float) -> None:
        raise ModelError(f"stopped behind epoch {epoch}")

    with pytest.raises(ModelError, match="stopped behind epoch 0"):
        fit_on_devices(work_for_two(), stop)
    assert multiprocessing.active_children() == []


def test_two_devices_without_their_processes_are_refused_in_one_line() -> None:
    from modeling.training import fit

    work = work_for_two()
    with pytest.raises(ModelError, match="devices=2 needs as many processes: torchrun --nproc-per-node 2; else set 1"):
        fit(work.network, work.train, work.val, work.training)
