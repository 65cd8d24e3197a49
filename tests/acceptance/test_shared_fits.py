"""One fit in two processes, as torchrun starts them: both ranks end with the same finite weights."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from market.errors import ModelError
from tests.builders_modeling import labelled_rows, quick_training, small_network

pytestmark = pytest.mark.acceptance

PATIENCE_S = 300.0
ROOT = Path(__file__).parents[2]
FIT = """
import sys
import numpy as np
from modeling.training import fit
from tests.builders_modeling import labelled_rows, quick_training, small_network

network, settings = small_network(width=16, depth=1), quick_training(epochs=3, devices=2, strategy="ddp")
found = fit(network, labelled_rows(seed=1), labelled_rows(seed=2), settings)
np.savez(sys.argv[1], val_nll=[epoch.val_nll for epoch in found.history], **found.model.weights)
"""


def started(rank: int, port: int, target: Path) -> "subprocess.Popen[bytes]":
    """One of the two processes, with the environment that torchrun gives it."""
    launched = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    launched |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    launched |= {"GROUP_RANK": "0", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", FIT, target], env=os.environ | launched, cwd=ROOT)


def test_two_processes_end_with_the_same_finite_weights(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    targets = [tmp_path / f"{rank}.npz" for rank in range(2)]
    processes = [started(rank, port, target) for rank, target in enumerate(targets)]
    try:
        assert [process.wait(PATIENCE_S) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    first, second = (dict(np.load(target)) for target in targets)
    for name, array in first.items():
        assert np.isfinite(array).all(), name
        assert array.tobytes() == second[name].tobytes(), name
    assert first["val_nll"][-1] < first["val_nll"][0]


def test_two_devices_without_their_processes_are_refused_in_one_line() -> None:
    from modeling.training import fit

    with pytest.raises(ModelError, match="devices=2 needs as many processes: torchrun --nproc-per-node 2; else set 1"):
        fit(small_network(16, 1), labelled_rows(), labelled_rows(seed=2), quick_training(devices=2, strategy="ddp"))
