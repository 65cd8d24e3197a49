"""Imports point down, and stay light where a process must start at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "lightning", "pytorch_lightning", "mlflow", "evidently", "sklearn", "arch")
LIGHT = ("config", "config.loading", "live.runner", "orchestration.definitions", "storage.bundle", "storage.registry")


def _exists(module: str) -> bool:
    path = ROOT / module.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_the_layers_hold() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("module", [module for module in LIGHT if _exists(module)])
def test_importing_this_module_loads_nothing_heavy(module: str) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout.splitlines()[-1])).isdisjoint(HEAVY)


@pytest.mark.parametrize("parameters", sorted(ROOT.glob("*/parameters.py")), ids=lambda path: path.parent.name)
def test_the_settings_of_a_room_load_without_compiler_and_frames(parameters: Path) -> None:
    code = f"import json, sys, {parameters.parent.name}.parameters; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)).isdisjoint((*HEAVY, "numba", "polars", "pandas"))
