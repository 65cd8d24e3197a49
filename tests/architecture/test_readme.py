"""What the first page says exists."""

import re
import subprocess
from pathlib import Path

import pytest

from config.loading import load_settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_target_of_the_readme_is_in_the_makefile() -> None:
    named = set(re.findall(r"^make (\w+)", README, re.MULTILINE))
    assert len(named) > 3
    assert named <= TARGETS


def test_the_configuration_of_the_readme_loads(tmp_path: Path) -> None:
    example = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert len(example) == 1
    (tmp_path / "own.yaml").write_text(example[0])
    assert load_settings(path=tmp_path / "own.yaml").data.symbols == ("binance-usdm-btcusdt",)


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/configuration.md"])
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text())
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_another_python_is_refused_in_one_line(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho CPython 3.12.1\n")
    python.chmod(0o755)
    done = subprocess.run(["make", "-s", "setup", f"PYTHON={python}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"tickloop: '{python}' is CPython 3.12.1; tickloop needs CPython 3.11" in done.stderr
    assert len(done.stderr.splitlines()) == 2  # ours, and make's own
