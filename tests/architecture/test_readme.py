"""What the first page says exists."""

import re
import subprocess
from pathlib import Path

from config.loading import load_settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_configuration_of_the_readme_loads(tmp_path: Path) -> None:
    example = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert len(example) == 1
    (tmp_path / "own.yaml").write_text(example[0])
    assert load_settings(path=tmp_path / "own.yaml").data.symbols == ("binance-usdm-btcusdt",)


def test_another_python_is_refused_in_one_line(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho CPython 3.12.1\n")
    python.chmod(0o755)
    done = subprocess.run(["make", "-s", "setup", f"PYTHON={python}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"tickloop: '{python}' is CPython 3.12.1; tickloop needs CPython 3.11" in done.stderr
    assert len(done.stderr.splitlines()) == 2  # ours, and make's own
