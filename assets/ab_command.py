"""What the A/B of a journal comes to, for whoever asks at the command line."""

import argparse
from datetime import UTC, datetime
from typing import Final

from assets.ab_pairs import DESKS, Contest, contest_of
from assets.report import Report
from assets.resources import lake_of
from backtest.report import figure_text
from config.settings import Settings
from monitoring.ab import AbResult
from monitoring.ab_figures import FIGURES

NAMES: Final = {
    "sharpe": "Sharpe ratio, a minute",
    "hit_rate": "hit rate of minutes",
    "tail_loss": "mean loss of the worst 1 % of minutes",
    "cost_bp": "cost, bp of turnover",
}


def ab_report(settings: Settings, arguments: argparse.Namespace) -> Report:
    """The verdict on the newest journal of a symbol.

    Raises DataError if the lake holds no journal of it that passed its checks, or one without two models.
    """
    symbol = settings.instrument(arguments.symbol or settings.live.symbol).name
    found = contest_of(settings, lake_of(settings), symbol)
    lines = [f"{symbol}: {found.result.sentence}", _who(found), *figure_lines(found.result)]
    return Report(
        "\n".join(lines), {"symbol": symbol, **found.shas, "since_ts": found.since_ts, **found.result.as_dict()}
    )


def _who(found: Contest) -> str:
    since = datetime.fromtimestamp(found.since_ts / 1e9, UTC)
    arms = ", ".join(f"{name} {sha[:12]}" for name, sha in found.shas.items())
    return f"  {arms}, both since {since:%Y-%m-%d %H:%M} UTC"


def figure_lines(found: AbResult) -> list[str]:
    """Both arms and their difference, a line a figure."""
    return [_line(found, name) for name in FIGURES if name in found.differences]


def _line(found: AbResult, name: str) -> str:
    gap, arms = found.differences[name], [f"{arm} {figure_text(found.arms[arm][name]):>10}" for arm in DESKS]
    interval = f"[{gap.low:+.4g}, {gap.high:+.4g}]" if gap.low is not None and gap.high is not None else gap.note
    return f"  {NAMES[name]:40} {'  '.join(arms)}  {figure_text(gap.estimate)} {interval}"
