"""Models and what can be claimed of them: registry, ab, backtest, benchmark, cells."""

import argparse
import os
from pathlib import Path
from typing import Any, Final

from commands.command import Command, add_json, count, positive, say_aside, show
from config.settings import Settings

_REGISTRY: Final = {
    "list": "every version with its roles, and every line of the promotion ledger",
    "show": "one version: what it was made from, figures, gates, its lines of the ledger",
    "index": "write versions with parameters, and feature partitions with their catalogue, below var",
    "diff": "two versions: parameters, shas, figures by regime and gates that differ",
    "approve": "give a version a role; needs a person's name and reason",
    "reject": "take a version's roles and bar it from any; needs a person's name and reason",
    "rollback": "make the champion before the present one champion again; needs a person's name and reason",
}
_DECISIONS: Final = ("approve", "reject", "rollback")
_NAMED: Final[dict[str, tuple[str, ...]]] = dict.fromkeys(("show", "approve", "reject"), ("model", "version")) | {
    "diff": ("model", "first", "second"),
    "rollback": ("model",),
}


def registry(settings: Settings, arguments: argparse.Namespace) -> None:
    """List, show, compare and index the registered versions; approve, reject or roll back as the person named."""
    from assets.registry_command import registry_report

    show(registry_report(settings, arguments), arguments.json)


def ab(settings: Settings, arguments: argparse.Namespace) -> None:
    """Hold the challenger against the champion on the journal's minutes: who wins, and what could be told apart."""
    from assets.ab_command import ab_report

    show(ab_report(settings, arguments), arguments.json)


def backtest(settings: Settings, arguments: argparse.Namespace) -> None:
    """Backtest a bundle over a window of the lake, on one symbol or several: figures, page, and sweeps."""
    from assets.backtest_together import backtest_reports

    show(backtest_reports(settings, arguments), arguments.json)


def benchmark(settings: Settings, arguments: argparse.Namespace) -> None:
    """Train and score on FI-2010, beside what is published, or on recordings, walk-forward and with a verdict."""
    from assets.fi2010_command import benchmark_report
    from assets.recordings_command import recordings_report

    if arguments.name == "recordings":
        report = recordings_report(settings, arguments, say_aside)
    else:
        report = benchmark_report(settings, arguments, os.environ)
    show(report, arguments.json)


def cells(settings: Settings, arguments: argparse.Namespace) -> None:
    """Trade a slice's model over Val at every cell that it answers for; each is a trial of the slice's ledger."""
    from assets.cell_study import cell_report

    show(cell_report(settings, arguments), arguments.json)


def _add_registry(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(action="list", json=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, about in _REGISTRY.items():
        action = actions.add_parser(name, help=about)
        add_json(action)
        for value in _NAMED.get(name, ()):
            action.add_argument(value, metavar=value.upper())
        if name in _DECISIONS:
            action.add_argument("--by", metavar="NAME", help="the person who decides")
            action.add_argument("--reason", metavar="TEXT", help="why; it stands in the ledger")
    roles = ("champion", "challenger", "fallback")
    actions.choices["approve"].add_argument("--role", choices=roles, default="champion")


def _add_ab(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--symbol", help="an instrument of the configuration; live.symbol unless given")
    add_json(parser)


def _add_cells(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--symbol", help="an instrument of the configuration; the first of data.symbols unless given")
    parser.add_argument("--slice", help="key of a slice with a model; the newest unless given")
    add_json(parser)


def _add_backtest(parser: argparse.ArgumentParser) -> None:
    _add_seats(parser)
    parser.add_argument("--from", required=True, dest="start", metavar="T", help="ISO time, UTC, or ns")
    parser.add_argument("--to", required=True, dest="end", metavar="T", help="likewise")
    latency = "constant, stress:K times that, bootstrap from the journal, or trace as it was"
    parser.add_argument("--latency", default="constant", help=latency)
    parser.add_argument("--queue", help="queue model; venue.queue_model unless given")
    parser.add_argument("--policy", default="take", help="take, quote or probe")
    parser.add_argument("--fees", metavar="MAKER,TAKER|TIER", help="bp a leg, or vip3; as configured unless given")
    parser.add_argument("--sweep", nargs="+", metavar="AXIS=V,V", help="fee (round trip, bp), latency and size (times)")
    parser.add_argument("--jobs", type=count, default=1, help="processes that share the points of a sweep")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="write the tear sheet there")
    add_json(parser)


def _add_seats(parser: argparse.ArgumentParser) -> None:
    many: dict[str, Any] = {"required": True, "action": "append"}
    parser.add_argument("--bundle", **many, help="folder, champion, challenger, or digits of its sha; one, or one each")
    parser.add_argument("--symbol", **many, help="an instrument that the lake holds; repeatable: all on one clock")
    parser.add_argument("--deposit", action="append", metavar="CURRENCY=AMOUNT", help="of one account for all symbols")
    parser.add_argument(
        "--margin", type=positive, default=1.0, help="initial margin of that account, share of notional"
    )


def _add_benchmark(parser: argparse.ArgumentParser) -> None:
    names = parser.add_subparsers(required=True, dest="name", metavar="DATA")
    public = names.add_parser("fi2010", help="the public data set; FI2010_DIR says where it lies")
    splits = ("setup2", *(f"anchored{fold}" for fold in range(1, 10)))
    public.add_argument("--split", choices=splits, default="setup2", help="seven days and three, or a fold a day")
    scales = ("ZScore", "DecPre", "MinMax")
    public.add_argument("--normalisation", choices=scales, default="ZScore", help="of its files")
    ours = names.add_parser("recordings", help="captures of the configuration, whole, walk-forward")
    _add_recordings(ours)
    for part in (public, ours):
        add_json(part)


def _add_recordings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="judged together; data.symbols unless given")
    parser.add_argument("--teach", nargs="+", default=[], metavar="SYMBOL", help="whose rows are in Train alone")
    parser.add_argument("--seeds", type=count, default=3, help="of each kind; together they are its ensemble")
    parser.add_argument("--kinds", default="cnn", help="of networks, as cnn,gru,transformer")
    parser.add_argument("--budget-minutes", type=positive, default=float("inf"), help="after which no fit begins")


COMMANDS: Final = (
    Command(registry, _add_registry),
    Command(ab, _add_ab),
    Command(backtest, _add_backtest),
    Command(benchmark, _add_benchmark),
    Command(cells, _add_cells),
)
