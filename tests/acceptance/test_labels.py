"""Labels of whole recordings hold the published no-trade shares, and the page about labels holds ours."""

import re
from pathlib import Path

import polars as pl
import pytest

from tests.builders_labels import PUBLISHED, shares
from tests.builders_market import recorded_events

pytestmark = pytest.mark.acceptance
PAGE = Path(__file__).resolve().parents[2] / "docs" / "labels.md"
ROW = re.compile(r"^[|] (binance-\S+) [|] (\d+) bp [|] (published|as published|our own) [|] (.+) [|]$", re.M)


def stated() -> dict[tuple[str, float, str], list[float]]:
    """No-trade shares in % of the page's table, by run, budget and conventions."""
    return {
        (run, float(budget), how): [float(cell) for cell in cells.split(" | ")]
        for run, budget, how, cells in ROW.findall(PAGE.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("run", PUBLISHED)
def test_no_trade_shares_are_the_published_ones_and_the_pages(run: str) -> None:
    events, page = recorded_events(run), stated()
    for how, as_published in (("as published", True), ("our own", False)):
        grid = shares(run, events, as_published=as_published)
        for budget, published in PUBLISHED[run].items():
            ours = grid.filter(pl.col("budget_bp") == budget)["no_trade"].to_numpy() * 100
            assert ours == pytest.approx(published, abs=1.5), f"{how}, budget {budget} bp"
            assert page[run, budget, how] == pytest.approx(ours, abs=0.06)
            assert page[run, budget, "published"] == list(published)
