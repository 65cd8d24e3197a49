"""Two symbols on one clock: each trades as it would alone, unless an account they share cannot carry both."""

from dataclasses import replace
from functools import cache

import pytest

from backtest.portfolio import Portfolio
from backtest.runs import Run
from backtest.surface import run_desk
from backtest.together import Seat, run_together, total_of
from market.errors import BacktestError
from market.orders import NO_MARGIN, ORDER_REJECTED
from tests.builders_backtest import desk, imbalance_forecasts, stretch
from tests.builders_market import COINM_BTC


def seat(name: str, base: str = "BTC", kind: str = "probe") -> Seat:
    own = desk(kind)  # type: ignore[arg-type]
    traded = replace(COINM_BTC, name=name, base=base)
    return Seat(replace(own, terms=own.terms._replace(instrument=traded)), stretch()[0], imbalance_forecasts())


@cache
def pair(base: str = "BTC") -> tuple[Run, ...]:
    return tuple(run_together([seat("one"), seat("other", base, "take")]))


def test_symbols_with_means_of_their_own_trade_as_alone() -> None:
    for run, kind in zip(pair(), ("probe", "take"), strict=True):
        alone = run_desk(kind, desk(kind), stretch()[0], imbalance_forecasts())  # type: ignore[arg-type]
        assert run.result.reports.tobytes() == alone.result.reports.tobytes()
        assert run.performance == alone.performance
        assert run.performance.fills > 3


def test_a_total_of_one_settlement_currency_is_in_it_and_adds_up() -> None:
    total = total_of(pair())
    assert total.currency == "BTC"
    for name in ("net", "trading", "funding", "fees", "volume", "fills", "round_trips", "decisions"):
        assert getattr(total.figures, name) == pytest.approx(sum(getattr(run.performance, name) for run in pair()))
    assert total.figures.minutes == pair()[0].performance.minutes
    assert total.figures.max_drawdown <= sum(run.performance.max_drawdown for run in pair()) + 1e-12


def test_a_total_over_two_coins_is_in_quote_currency_at_the_stated_prices() -> None:
    total, runs = total_of(pair("ETH")), pair("ETH")
    assert total.currency == "USD, coin at each symbol's stated price"
    assert total.figures.net == pytest.approx(sum(run.performance.net_quote for run in runs))
    assert total.figures.volume == pytest.approx(
        sum(run.performance.volume * run.performance.settlement_price for run in runs)
    )
    assert runs[0].performance.settlement_price == pytest.approx(50_000, rel=0.2)


def test_one_account_refuses_what_it_cannot_carry_for_both() -> None:
    refused = {}
    for deposit in (1.0, 0.0):
        runs = run_together([seat("one"), seat("other")], Portfolio({"BTC": deposit}, 0.1))
        reports = [run.result.reports for run in runs]
        refused[deposit] = [
            int(((each["kind"] == ORDER_REJECTED) & (each["reason"] == NO_MARGIN)).sum()) for each in reports
        ]
        assert deposit == 0.0 or [run.performance.fills > 0 for run in runs] == [True, True]
    assert refused[1.0] == [0, 0]
    assert min(refused[0.0]) > 0


def test_symbols_over_two_windows_are_refused() -> None:
    other = seat("other")
    later = other.desk.terms.window._replace(start=other.desk.terms.window.start + 1)
    moved = other._replace(desk=replace(other.desk, terms=other.desk.terms._replace(window=later)))
    with pytest.raises(BacktestError, match="2 symbols over 2 windows"):
        run_together([seat("one"), moved])
