"""A fit that goes on: from where it was killed, or from the weights of another."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from market.errors import ModelError
from modeling.survey import survey
from modeling.training_parts import InMemory
from tests.builders_modeling import labelled_rows, quick_training, random_model, small_network

torch = pytest.importorskip("torch")
from pytorch_lightning import Trainer  # noqa: E402  (needs torch)

from modeling.networks.network import network_weights  # noqa: E402  (needs torch)
from modeling.training import fit, start_of  # noqa: E402  (needs torch)

NETWORK = small_network(width=16, depth=1)
KILLED = """
import os, signal, sys
from pathlib import Path
from modeling.training import fit
from tests.builders_modeling import labelled_rows, quick_training
from tests.modeling.test_training_resumed import AUGMENTED, NETWORK

def report(epoch, val_nll):
    if epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)

sets = labelled_rows(seed=1), labelled_rows(seed=2)
fit(NETWORK, *sets, quick_training(**AUGMENTED), report, folder=Path(sys.argv[1]))
"""
AUGMENTED = {"epochs": 4, "mixup_alpha": 0.4, "cutout_share": 0.5}


def test_a_killed_fit_goes_on_to_the_same_bytes(sets, tmp_path):
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], env=os.environ | {"PYTHONPATH": str(root)})
    assert killed.returncode == -signal.SIGKILL
    seen = []
    resumed = fit(NETWORK, *sets, quick_training(**AUGMENTED), lambda *line: seen.append(line), folder=tmp_path)
    whole = fit(NETWORK, *sets, quick_training(**AUGMENTED))
    assert [epoch for epoch, _ in seen] == [2, 3]
    assert resumed.history == whole.history
    for name, array in whole.model.weights.items():
        assert array.tobytes() == resumed.model.weights[name].tobytes()
    with pytest.raises(ModelError, match=r"last.ckpt is of a fit with other settings"):
        fit(NETWORK, *sets, quick_training(**AUGMENTED, seed=4), folder=tmp_path)


def test_a_checkpoint_that_is_torn_while_it_is_written_leaves_the_one_before(sets, tmp_path, monkeypatch):
    whole, seen = Trainer.save_checkpoint, []

    def torn(trainer, path):
        whole(trainer, path)
        if trainer.current_epoch == 1:
            path.write_bytes(path.read_bytes()[:1000])
            raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "save_checkpoint", torn)
        with pytest.raises(OSError, match="no space left"):
            fit(NETWORK, *sets, quick_training(epochs=2), folder=tmp_path)
    fit(NETWORK, *sets, quick_training(epochs=2), lambda epoch, _: seen.append(epoch), folder=tmp_path)
    assert seen == [1]


@pytest.mark.parametrize("torn", [b"", None])
def test_a_torn_checkpoint_is_refused_in_one_line(sets, tmp_path, torn):
    fit(NETWORK, *sets, quick_training(epochs=1), folder=tmp_path)
    path = tmp_path / "last.ckpt"
    whole = path.read_bytes()
    half = whole[: len(whole) // 2]
    for content in (torn,) if torn is not None else (half, half + bytes(len(whole) - len(half))):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"^\S*last.ckpt is torn; remove it to begin anew$"):
            fit(NETWORK, *sets, quick_training(epochs=1), folder=tmp_path)


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(sets, tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        called = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *of, name=name, called=called: (done.append(name), called(*of))[1])
    fit(NETWORK, *sets, quick_training(epochs=1), folder=tmp_path)
    assert done == ["fsync", "replace"]


def test_a_fit_starts_from_the_weights_of_the_one_before(sets):
    first = fit(NETWORK, *sets, quick_training(epochs=8))
    cold, warm = (fit(NETWORK, *sets, quick_training(epochs=1, seed=5), before=at) for at in (None, first.model))
    assert warm.val_nll < cold.val_nll - 0.1
    assert warm.val_nll == pytest.approx(first.val_nll, rel=0.05)


def test_weights_of_another_architecture_are_refused_in_one_line(sets):
    other = fit(small_network(width=8, depth=1), *sets, quick_training(epochs=1)).model
    with pytest.raises(ModelError, match="cannot start from the weights of another network: width is 8, not 16"):
        fit(NETWORK, *sets, quick_training(), before=other)


def test_loaded_weights_are_the_ones_that_were_stored():
    found = survey(InMemory(labelled_rows()), NETWORK.receptive_rows, 50)
    stored = random_model(3, NETWORK)
    started = network_weights(start_of(NETWORK, found, stored))
    assert max(np.abs(stored.weights[name] - array).max() for name, array in started.items()) < 1e-6
