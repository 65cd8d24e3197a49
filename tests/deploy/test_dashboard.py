"""Grafana's files: the dashboard that the tool writes, laid out without overlap, on the data source provisioned."""

import json
from itertools import pairwise

import yaml

from tests.builders_prometheus import DEPLOY
from tools import grafana_dashboard


def test_the_dashboard_is_the_one_that_the_tool_writes() -> None:
    assert grafana_dashboard.TARGET.read_text() == grafana_dashboard.text(), "run make docs"


def test_panels_fill_a_grid_without_overlap_below_their_row() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in grafana_dashboard.dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= grafana_dashboard.COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in grafana_dashboard.dashboard()["panels"]]
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers))


def test_the_rows_asked_for_are_there_and_titles_are_unique() -> None:
    rows = [panel["title"] for panel in grafana_dashboard.dashboard()["panels"] if panel["type"] == "row"]
    assert rows == ["Market and line", "Signal and model", "Trading and PnL", "Latency", "Risk", "System"]
    titles = [panel.title for row in grafana_dashboard.ROWS.values() for panel in row]
    assert len(set(titles)) == len(titles) > 25


def test_panels_ask_the_data_source_that_is_provisioned() -> None:
    provisioned = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/tickloop.yml").read_text())
    [source] = provisioned["datasources"]
    content = json.loads(grafana_dashboard.TARGET.read_text())
    asked = {target["datasource"]["uid"] for panel in content["panels"] for target in panel.get("targets", [])}
    assert asked == {source["uid"]}
