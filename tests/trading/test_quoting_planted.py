"""Quotes on a market whose signal was planted: to listen to the forecast is worth money."""

from functools import cache
from typing import Any

import numpy as np

from market.orders import FILL
from tests.builders_policies import planted, traded
from tests.builders_trading import trading
from trading.parameters import NEVER_BP


@cache
def earned_usd(forecast_share: float, pull_bp: float, seed: int = 0) -> float:
    """Profit of a run, USD at 60,000; checks that it traded."""
    keys: dict[str, Any] = {"forecast_share": forecast_share, "pull_bp": pull_bp}
    rules = trading(quote=keys, risk={"max_drawdown_usd": 1e9, "loss_streak": 10**6})
    result, _ = traded(planted(420, seed=seed), "quote", rules)
    assert (result.reports["kind"] == FILL).sum() > 50
    assert np.abs(result.decisions["position"]).max() <= 40  # 4,000 USD
    return float(result.decisions["equity"][-1]) * 60_000


def test_pulling_the_side_that_the_forecast_runs_against_saves_money() -> None:
    assert earned_usd(0.0, 0.3) > earned_usd(0.0, NEVER_BP) + 5.0


def test_leaning_and_pulling_together_earn_where_plain_quotes_lose() -> None:
    assert earned_usd(0.0, NEVER_BP) < 0 < earned_usd(1.0, 0.3)
