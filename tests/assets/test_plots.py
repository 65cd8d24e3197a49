"""Charts and tables that Dagster's pages show: whole XML, small, with a hole where there is nothing."""

import re
from base64 import b64decode
from xml.etree import ElementTree

import numpy as np

from assets.plots import MOST_POINTS, line_chart, markdown_table

STAMPS = 1_723_161_599_000_000_000 + np.arange(MOST_POINTS) * 10_000_000_000


def picture(markdown: str) -> ElementTree.Element:
    found = re.fullmatch(r"!\[(.*)\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert found
    return ElementTree.fromstring(b64decode(found[2]))


def test_a_chart_is_whole_and_small_and_names_its_lines() -> None:
    noise = np.random.default_rng(0).gamma(2, 5, STAMPS.size)
    markdown = line_chart("delay <ms>", STAMPS, {"p50": noise, "p95": noise + 20}, limit=60.0)
    assert len(markdown) < 20_000
    texts = [element.text for element in picture(markdown).iter() if element.tag.endswith("text")]
    assert {"delay <ms>", "p50", "p95", "limit 60", "23:59:59"} <= set(texts)


def test_a_hole_breaks_the_line_and_a_lone_point_is_drawn() -> None:
    values = np.array([1.0, 2.0, np.nan, 3.0])
    [path] = [e for e in picture(line_chart("x", STAMPS[:4], {"x": values})).iter() if e.get("stroke-width")]
    assert path.attrib["d"].count("M") == 2
    assert path.attrib["d"].count("L") == 1


def test_a_limit_far_away_is_left_out_and_a_flat_line_has_room() -> None:
    markdown = line_chart("x", STAMPS[:2], {"x": np.array([5.0, 5.0])}, limit=5_000.0)
    assert "limit 5,000" not in [element.text for element in picture(markdown).iter()]
    assert markdown != "none"


def test_nothing_to_show_is_said() -> None:
    assert line_chart("x", STAMPS[:0], {}) == "none"
    assert line_chart("x", STAMPS[:1], {"x": np.array([np.nan])}) == "none"
    assert markdown_table(("a",), []) == "none"


def test_a_cell_cannot_break_its_table() -> None:
    assert markdown_table(("a",), [["x|y\nz"]]).splitlines()[2] == "| x\\|y z |"
