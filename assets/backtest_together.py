"""What ``main.py backtest`` does with several symbols: all on one clock, figures of each, and of the whole."""

import argparse
from typing import Any

from assets.backtest_command import Opened, backtest_report, notes_on, open_asked, plain_of, text_of
from assets.backtest_terms import numbers
from assets.report import Report
from assets.resources import lake_of
from backtest.portfolio import Portfolio
from backtest.report import Page, Study, figure_text, render
from backtest.runs import Run
from backtest.together import Seat, Total, run_together, total_of
from config.settings import Settings
from market.errors import ConfigError
from storage.files import replace_file

_TOTALS = ("net", "trading", "funding", "fees", "net_bp", "breakeven_fee_bp", "volume", "max_drawdown", "fills")


def backtest_reports(settings: Settings, arguments: argparse.Namespace) -> Report:
    """The report of one symbol, or of several on one clock.

    Raises TickloopError, one line, if the command line or the lake does not allow it.
    """
    each = one_by_one(arguments)
    if len(each) == 1:
        return backtest_report(settings, each[0])
    if arguments.sweep:
        raise ConfigError("sweep takes one symbol")
    lake = lake_of(settings)
    opened = [open_asked(settings, lake, one) for one in each]
    account = account_of(arguments.deposit, arguments.margin)
    runs = run_together([Seat(*one.case) for one in opened], account)
    return report_of(opened, runs, account)


def one_by_one(arguments: argparse.Namespace) -> list[argparse.Namespace]:
    """The command line of each symbol. Raises ConfigError unless there is one bundle, or one for each symbol."""
    symbols, bundles = arguments.symbol, arguments.bundle
    if len(set(symbols)) < len(symbols):
        raise ConfigError(f"symbol={', '.join(symbols)} names one twice")
    if len(bundles) not in (1, len(symbols)):
        raise ConfigError(f"{len(bundles)} bundles for {len(symbols)} symbols: one for all, or one each in their order")
    named = bundles * len(symbols) if len(bundles) == 1 else bundles
    return [
        argparse.Namespace(**vars(arguments) | {"symbol": symbol, "bundle": bundle})
        for symbol, bundle in zip(symbols, named, strict=True)
    ]


def account_of(deposits: list[str] | None, margin: float) -> Portfolio | None:
    """The account of ``BTC=0.5`` words and an initial margin; without a deposit there is none, and no limit.

    Raises ConfigError if a word is no such pair, BacktestError if an amount or the margin is out of its range.
    """
    found: dict[str, float] = {}
    for word in deposits or ():
        currency, _, amount = word.partition("=")
        found[currency] = numbers(f"deposit {currency}", amount, 1)[0]
    return Portfolio(found, margin) if found else None


def report_of(opened: list[Opened], runs: list[Run], account: Portfolio | None) -> Report:
    """Lines and values of each symbol and of the total; the page of each where one is asked for."""
    total = total_of(runs)
    means = "each symbol has means of its own, without limit"
    if account is not None:
        means = "one account: " + ", ".join(f"{amount:g} {name}" for name, amount in account.deposits.items())
    texts, plains = [], {}
    for one, run in zip(opened, runs, strict=True):
        shared = [
            f"one of {len(runs)} symbols on one clock; {means}",
            *notes_on(one.case.stretch, one.asked.window, run),
        ]
        texts.append(text_of(run, Study(run.name), one.facts, shared))
        plains[run.symbol] = plain_of(run, Study(run.name), one.facts, shared)
        _write_page(one, run, shared)
    plain = {"symbols": plains, "total": {"currency": total.currency, **total.figures.as_dict()}, "account": means}
    return Report("\n\n".join([*texts, total_text(total)]), plain)


def total_text(total: Total) -> str:
    """The total, a figure a line."""
    found: dict[str, Any] = total.figures.as_dict()
    lines = [f"{'all symbols, money in':<30}{total.currency}"]
    return "\n".join([*lines, *(f"{name.replace('_', ' '):<30}{figure_text(found[name])}" for name in _TOTALS)])


def _write_page(one: Opened, run: Run, notes: list[str]) -> None:
    path = one.asked.page
    if path is None:
        return
    page = Page(f"{run.symbol}, {one.facts['window']}", tuple(notes), one.facts, None)
    html = render(page, [run], one.asked.settings.instrument(run.symbol))
    replace_file(path.with_stem(f"{path.stem}-{run.symbol}"), html.encode())
