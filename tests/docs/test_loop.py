"""The page on what starts by itself names every schedule and sensor of the code location, and no other."""

import re
from pathlib import Path

from config.loading import load_settings
from orchestration.definitions import build_definitions

PAGE = Path(__file__).parents[2] / "docs" / "loop.md"


def test_every_schedule_and_sensor_has_its_line() -> None:
    repository = build_definitions(load_settings("dev")).get_repository_def()
    known = {one.name for one in (*repository.schedule_defs, *repository.sensor_defs)}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.M)) == known
