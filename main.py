"""Entry and wiring: reads the command line, hands each command to the room that knows how, and reports a fault in one
line. Run ``python main.py --help``.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.loading import PROFILES, choose_profile, load_live_keys, load_settings, refuse_live_keys
from config.settings import Settings
from market.errors import ConfigError, TickloopError

_WAREHOUSE = {
    "query": "print the answer to a question in SQL",
    "rebuild": "put a day of the lake in place of what is there",
}
_REGISTRY = {
    "list": "every version with its roles, and every line of the promotion ledger",
    "show": "one version: what it was made from, figures, gates, its lines of the ledger",
    "index": "write versions with parameters, and feature partitions with their catalogue, below var",
    "diff": "two versions: parameters, shas, figures by regime and gates that differ",
    "approve": "give a version a role; needs a person's name and reason",
    "reject": "take a version's roles and bar it from any; needs a person's name and reason",
    "rollback": "make the champion before the present one champion again; needs a person's name and reason",
}
_DECISIONS = ("approve", "reject", "rollback")
_NAMED = dict.fromkeys(("show", "approve", "reject"), ("model", "version")) | {
    "diff": ("model", "first", "second"),
    "rollback": ("model",),
}


def demo(settings: Settings, _: argparse.Namespace) -> None:
    """Run the whole chain on a real sample recording, or on a synthetic tape where none can be had; then trade live."""
    from orchestration.summary import demo_summary
    from orchestration.tapes import recorded_or_synthetic

    chosen = recorded_or_synthetic(settings, _say)
    _run_chain(chosen)
    _say(demo_summary(chosen, _run_live(chosen)))


def run(settings: Settings, _: argparse.Namespace) -> None:
    """Run the chain on the symbols of the configuration; what is up to date is reused."""
    from orchestration.tapes import fetch_recordings

    fetch_recordings(settings)
    _run_chain(settings)


def fetch(settings: Settings, arguments: argparse.Namespace) -> None:
    """Fetch recordings by name; without a name, list the catalogue."""
    from storage.progress import progress_of
    from storage.recordings import CATALOGUE
    from storage.recordings import fetch as fetch_recording

    for name in arguments.names:
        print(fetch_recording(name, settings.paths.recordings, progress_of(name)))
    if not arguments.names:
        for entry in CATALOGUE.values():
            print(f"{entry.name:40} {entry.bytes:>9,} bytes  {entry.licence}\n    {entry.url}")


def registry(settings: Settings, arguments: argparse.Namespace) -> None:
    """List, show, compare and index the registered versions; approve, reject or roll back as the person named."""
    from assets.registry_command import registry_report

    report = registry_report(settings, arguments)
    print(json.dumps(report.plain) if arguments.json else report.text)


def ab(settings: Settings, arguments: argparse.Namespace) -> None:
    """Hold the challenger against the champion on the journal's minutes: who wins, and what could be told apart."""
    from assets.ab_command import ab_report

    report = ab_report(settings, arguments)
    print(json.dumps(report.plain, allow_nan=False) if arguments.json else report.text)


def lake(settings: Settings, arguments: argparse.Namespace) -> None:
    """List, verify or compact what the lake holds; the exit status is 1 where verify or compact finds a fault."""
    from storage.lake import Lake
    from storage.lake_report import COMMANDS

    report = COMMANDS[arguments.action](Lake(settings.lake_root, settings.paths.lake_cache))
    print(json.dumps(report.plain) if arguments.json else report.text)
    if not report.sound:
        raise SystemExit(1)


def warehouse(settings: Settings, arguments: argparse.Namespace) -> None:
    """Ask ClickHouse in SQL, or load a day of the lake into it again; the exit status is 1 where the two differ."""
    from assets.warehouse_commands import COMMANDS

    report = COMMANDS[arguments.action](settings, arguments)
    print(json.dumps(report.plain) if arguments.json else report.text)
    if not report.sound:
        raise SystemExit(1)


def ui(settings: Settings, _: argparse.Namespace) -> None:
    """Serve Dagster's and MLflow's pages, and research's metrics, on loopback until interrupted."""
    from orchestration.pages import LOOPBACK, serve_pages

    print(f"Dagster  http://{LOOPBACK}:{settings.orchestration.dagster_port}")
    print(f"MLflow   http://{LOOPBACK}:{settings.orchestration.mlflow_port}")
    print(f"metrics  http://{LOOPBACK}:{settings.orchestration.metrics_port}/metrics")
    serve_pages(settings)


def exchange(settings: Settings, arguments: argparse.Namespace) -> None:
    """Serve captures over loopback sockets as their venue would; by default what the chain never saw of one."""
    from live.exchange import Replay, serve
    from live.exchange_faults import scripted_faults
    from live.exchange_order_side import offer_of
    from live.sources import held_back, listings_of, replay_ports

    _tether(arguments)
    first, *more = arguments.symbol or [settings.live.symbol]
    instrument, files, tape = listings_of(settings, [first], arguments.recording)[0]
    start, faults = arguments.start or held_back(settings), scripted_faults(arguments.fault, arguments.chaos)
    replay = Replay(files, start, arguments.end, arguments.speed, faults, tape=tape)
    ports = replay_ports(settings) if None in (named := (arguments.ws_port, arguments.rest_port)) else named
    serve(
        *(instrument, replay, ports, arguments.ready_file, _say),
        *(listings_of(settings, more, ()), offer_of(settings, os.environ)),
    )


def live(settings: Settings, arguments: argparse.Namespace) -> None:
    """Trade one symbol or several, on paper unless told otherwise: journal, decide, and take pushed models."""
    from live.plan import plan_of
    from live.runner import Folders
    from live.serve import Ending, lines_of, secrets_from, serve

    _tether(arguments)
    paths, now = settings.paths, time.time_ns()
    symbols = tuple(dict.fromkeys(arguments.symbol or settings.live.floor))
    gateway, permits = _way_of_orders(settings, symbols, arguments)
    folders = {symbol: Folders(paths.journal(symbol), paths.live_bundles(symbol)) for symbol in symbols}
    ending = Ending(arguments.until_end, arguments.ready_file)
    serve(
        *([plan_of(settings, symbol, now, gateway) for symbol in symbols], folders, paths.ledger),
        *(lines_of(settings, permits), secrets_from(dict(os.environ)), ending),
    )


def _way_of_orders(
    settings: Settings, symbols: tuple[str, ...], arguments: argparse.Namespace
) -> tuple[Any, dict[str, Any]]:
    from live.gateways.opening import adopting, chosen_gateway

    gateway, permits = chosen_gateway(settings, symbols, arguments.gateway, os.environ)
    return gateway, adopting(permits) if arguments.adopt_position else permits


def kernels(settings: Settings, arguments: argparse.Namespace) -> None:
    """Compile the kernels of forecast, decision and fill; a later start finds them."""
    from orchestration.compiling import compile_kernels

    _tether(arguments)
    compile_kernels(settings)


def record(settings: Settings, arguments: argparse.Namespace) -> None:
    """Record the frames of symbols in journals of ours, without trading."""
    from live.recorder import Recording
    from live.recorder import record as record_venues

    _tether(arguments)
    symbols = list(dict.fromkeys(arguments.symbol or [settings.live.symbol]))
    if arguments.journal and len(symbols) > 1:
        raise ConfigError(f"--journal names one folder, and there are {len(symbols)} symbols; leave it out")
    folders = [arguments.journal] if arguments.journal else [settings.paths.recorded(symbol) for symbol in symbols]
    instruments = [settings.instrument(symbol) for symbol in symbols]
    ending = (arguments.seconds, arguments.until_end, arguments.ready_file)
    record_venues(Recording(instruments, settings.wire, settings.live.venue_patience_s, folders, *ending), _say)


def export(settings: Settings, arguments: argparse.Namespace) -> None:
    """Write a day of the lake as an event array of hftbacktest."""
    from assets.export import export_day

    count = export_day(settings, arguments.symbol, arguments.date, arguments.file, arguments.stamps)
    print(f"{arguments.file}: {count:,} rows")


def backtest(settings: Settings, arguments: argparse.Namespace) -> None:
    """Backtest a bundle over a window of the lake, on one symbol or several: figures, page, and sweeps."""
    from assets.backtest_together import backtest_reports

    report = backtest_reports(settings, arguments)
    print(json.dumps(report.plain, allow_nan=False) if arguments.json else report.text)


def benchmark(settings: Settings, arguments: argparse.Namespace) -> None:
    """Train and score on FI-2010, beside what is published, or on recordings, walk-forward and with a verdict."""
    from assets.fi2010_command import benchmark_report
    from assets.recordings_command import recordings_report

    if arguments.name == "recordings":
        report = recordings_report(settings, arguments, lambda line: print(line, file=sys.stderr, flush=True))
    else:
        report = benchmark_report(settings, arguments, os.environ)
    print(json.dumps(report.plain, allow_nan=False) if arguments.json else report.text)


def cells(settings: Settings, arguments: argparse.Namespace) -> None:
    """Trade a slice's model over Val at every cell that it answers for; each is a trial of the slice's ledger."""
    from assets.cell_study import cell_report

    report = cell_report(settings, arguments)
    print(json.dumps(report.plain, allow_nan=False) if arguments.json else report.text)


def parity(settings: Settings, arguments: argparse.Namespace) -> None:
    """Hold a journal against its backtest, level by level; the exit status is 1 if one fails."""
    from live.ladder import climb
    from live.ladder_text import as_json, lines_of

    bundles = arguments.bundles or arguments.journal.parent / "bundles"
    ladder = climb(settings, arguments.journal, bundles, arguments.level)
    print(json.dumps(as_json(ladder), allow_nan=False) if arguments.json else "\n".join(lines_of(ladder)))
    if ladder.verdict == "failed":
        raise SystemExit(1)


def explain(settings: Settings, arguments: argparse.Namespace) -> None:
    """Say why an order was sent and what became of it, from the journal alone, by playing that back."""
    import msgspec

    from live.explain.explaining import explain as explain_order
    from live.explain.text import lines_of

    journal = arguments.journal or settings.paths.journal(arguments.symbol or settings.live.symbol)
    bundles = arguments.bundles or journal.parent / "bundles"
    told = explain_order(journal, bundles, arguments.order, settings.reports.markouts_ms)
    print(msgspec.json.encode(told).decode() if arguments.json else "\n".join(lines_of(told)))


def _tether(arguments: argparse.Namespace) -> None:
    from live.tether import end_with_starter

    if arguments.tethered:
        end_with_starter()


def _run_chain(settings: Settings) -> None:
    from orchestration.compiling import compiled_ahead
    from orchestration.instance import open_instance
    from orchestration.running import run_chain

    with compiled_ahead(settings, _say), open_instance(settings.paths.dagster) as instance:
        report = run_chain(settings, instance, _say)
    _say(f"{len(report.made)} tables made, {len(report.reused)} reused")


def _run_live(settings: Settings) -> list[str]:
    from orchestration.instance import open_instance
    from orchestration.live_demo import Playing, live_lines, run_live

    with open_instance(settings.paths.dagster) as instance:
        return live_lines(run_live(settings, instance, _say, Playing(settings.data.hold_back_s)))


def _settings_of(arguments: argparse.Namespace) -> Settings:
    """What --config or --profile asks for, also of the processes that we start; keys only for those that trade."""
    if arguments.config:
        os.environ["TICKLOOP_CONFIG"] = str(arguments.config.resolve())
    if named := getattr(arguments, "profile", None):
        choose_profile(named)
    if arguments.command in _TRADING:
        load_live_keys()
    settings = load_settings()
    if arguments.command in _RESEARCH:
        refuse_live_keys(os.environ)
    return settings


def _say(line: str) -> None:
    print(line, flush=True)


_ON_DATA = (fetch, lake, warehouse, registry, ab, export, backtest, benchmark, cells)
_RESEARCH = (demo, run, ui, *_ON_DATA)  # whatever stands in the environment, no order of these reaches an exchange
_TRADING = (exchange, live)


def command_line() -> argparse.ArgumentParser:
    """What may stand on the command line."""
    parser = argparse.ArgumentParser(prog="main.py", description="Raw order-book ticks to a model that trades.")
    parser.add_argument("--config", type=Path, help="a settings file instead of the profile that APP_ENV names")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (demo, run, *_ON_DATA, ui, exchange, live, kernels, record, parity, explain):
        about = (command.__doc__ or "").splitlines()[0]
        commands.add_parser(command.__name__, help=about, description=about).set_defaults(command=command)
    _add_data_arguments(commands.choices)
    _add_venue_arguments(commands.choices["exchange"])
    _add_live_arguments(commands.choices)
    _add_backtest_arguments(commands.choices["backtest"])
    return parser


def _add_data_arguments(commands: Mapping[str, argparse.ArgumentParser]) -> None:
    commands["fetch"].add_argument("names", nargs="*", metavar="NAME", help="a recording of the catalogue")
    commands["lake"].add_argument("action", choices=("list", "verify", "compact"))
    commands["lake"].add_argument("--json", action="store_true", help="print JSON instead of lines")
    _add_registry_arguments(commands["registry"])
    _add_ab_arguments(commands["ab"])
    _add_warehouse_arguments(commands["warehouse"])
    _add_export_arguments(commands["export"])
    _add_benchmark_arguments(commands["benchmark"])
    _add_cell_arguments(commands["cells"])


def _add_cell_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--symbol", help="an instrument of the configuration; the first of data.symbols unless given")
    parser.add_argument("--slice", help="key of a slice with a model; the newest unless given")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")


def _add_registry_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(action="list", json=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, about in _REGISTRY.items():
        action = actions.add_parser(name, help=about)
        action.add_argument("--json", action="store_true", help="print JSON instead of lines")
        for value in _NAMED.get(name, ()):
            action.add_argument(value, metavar=value.upper())
        if name in _DECISIONS:
            action.add_argument("--by", metavar="NAME", help="the person who decides")
            action.add_argument("--reason", metavar="TEXT", help="why; it stands in the ledger")
    roles = ("champion", "challenger", "fallback")
    actions.choices["approve"].add_argument("--role", choices=roles, default="champion")


def _add_ab_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--symbol", help="an instrument of the configuration; live.symbol unless given")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")


def _add_warehouse_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, dest="action", metavar="ACTION")
    query, rebuild = (actions.add_parser(name, help=about) for name, about in _WAREHOUSE.items())
    query.add_argument("sql", metavar="SQL", help="one statement that changes nothing; see docs/clickhouse.md")
    rebuild.add_argument("symbol", metavar="SYMBOL", help="an instrument of the configuration")
    rebuild.add_argument("date", metavar="DATE", help="UTC, like 2024-08-08")
    for action in (query, rebuild):
        action.add_argument("--json", action="store_true", help="print JSON instead of lines")


def _add_venue_arguments(parser: argparse.ArgumentParser) -> None:
    venue = parser.add_argument
    traded = "an instrument of the configuration, repeatable; SYMBOL=OTHER plays the tape of another one"
    venue("--symbol", action="append", help=f"{traded}; live.symbol unless given")
    venue("--recording", action="append", default=[], metavar="NAME", help="instead of the symbol's source; repeatable")
    venue("--start", help="ISO time, ns UTC, or last:120s")
    venue("--end", help="likewise")
    venue("--speed", type=float, default=1.0, help="seconds of tape a second")
    venue("--fault", action="append", default=[], metavar="KIND:AT_S", help="see live/exchange_faults.py; repeatable")
    about = "COUNT faults at random instants of the first SECONDS, the same for the same SEED"
    venue("--chaos", type=float, nargs=3, metavar=("SEED", "COUNT", "SECONDS"), help=about)
    for side in ("ws", "rest"):
        venue(f"--{side}-port", type=int, help="0: a free one; where the runner looks for it unless given")


def _add_live_arguments(commands: Mapping[str, argparse.ArgumentParser]) -> None:
    listened = "an instrument of the configuration, repeatable; live.symbol unless given"
    for name in ("live", "record"):
        commands[name].add_argument("--until-end", action="store_true", help="stop when a replay has come to its end")
        commands[name].add_argument("--symbol", action="append", help=listened)
    for name in ("exchange", "live", "record"):
        commands[name].add_argument("--ready-file", type=Path, help="ports and pid as JSON, written once it listens")
    for name in ("exchange", "live", "kernels", "record"):
        commands[name].add_argument("--tethered", action="store_true", help="end when standard input is closed")
    _add_trading_arguments(commands["live"])
    commands["record"].add_argument("--journal", type=Path, help="folder to record in; below var/recorded unless given")
    commands["record"].add_argument("--seconds", type=float, default=float("inf"), help="how long; until it is ended")
    _add_journal_arguments(commands["parity"], commands["explain"])


def _add_trading_arguments(live: argparse.ArgumentParser) -> None:
    orders = "where orders go; live.gateway unless given, which exchange needs too"
    live.add_argument("--gateway", choices=("paper", "shadow", "exchange"), help=orders)
    adopt = "begin a new journal with what the exchange says that the account holds; refused otherwise"
    live.add_argument("--adopt-position", action="store_true", help=adopt)
    profile = "settings to run under, as APP_ENV picks them; a --config must be laid over the same"
    live.add_argument("--profile", choices=PROFILES, help=profile)


def _add_journal_arguments(parity: argparse.ArgumentParser, explain: argparse.ArgumentParser) -> None:
    for parser in (parity, explain):
        parser.add_argument("--bundles", type=Path, help="models that it names; beside the journal unless given")
        parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parity.add_argument("journal", type=Path, metavar="JOURNAL", help="folder of a runner's journal")
    parity.add_argument("--level", type=int, choices=range(1, 5), default=4, help="the highest that is climbed")
    explain.add_argument("order", metavar="ORDER", help="DESK-NUMBER, as on the page: probe-12")
    explain.add_argument("--symbol", help="an instrument of the configuration; live.symbol unless given")
    explain.add_argument("--journal", type=Path, metavar="FOLDER", help="of a runner; the symbol's own unless given")


def _add_export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("symbol", metavar="SYMBOL")
    parser.add_argument("date", metavar="DATE", help="YYYY-MM-DD")
    parser.add_argument("file", metavar="FILE.npz", type=Path)
    about = "the venue's times: corrected to our clock, for a backtest, or as it gave them"
    parser.add_argument("--stamps", choices=("aligned", "raw"), default="aligned", help=about)


def _add_backtest_arguments(parser: argparse.ArgumentParser) -> None:
    _add_symbol_arguments(parser)
    parser.add_argument("--from", required=True, dest="start", metavar="T", help="ISO time, UTC, or ns")
    parser.add_argument("--to", required=True, dest="end", metavar="T", help="likewise")
    parser.add_argument(
        "--latency",
        default="constant",
        help="constant, stress:K times that, bootstrap from the journal, or trace as it was",
    )
    parser.add_argument("--queue", help="queue model; venue.queue_model unless given")
    parser.add_argument("--policy", default="take", help="take, quote or probe")
    parser.add_argument("--fees", metavar="MAKER,TAKER|TIER", help="bp a leg, or vip3; as configured unless given")
    parser.add_argument("--sweep", nargs="+", metavar="AXIS=V,V", help="fee (round trip, bp), latency and size (times)")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the points of a sweep")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="write the tear sheet there")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")


def _add_benchmark_arguments(parser: argparse.ArgumentParser) -> None:
    names = parser.add_subparsers(required=True, dest="name", metavar="DATA")
    public = names.add_parser("fi2010", help="the public data set; FI2010_DIR says where it lies")
    splits = ("setup2", *(f"anchored{fold}" for fold in range(1, 10)))
    public.add_argument("--split", choices=splits, default="setup2", help="seven days and three, or a fold a day")
    public.add_argument(
        "--normalisation", choices=("ZScore", "DecPre", "MinMax"), default="ZScore", help="of its files"
    )
    ours = names.add_parser("recordings", help="captures of the configuration, whole, walk-forward")
    _add_recordings_arguments(ours)
    for part in (public, ours):
        part.add_argument("--json", action="store_true", help="print JSON instead of lines")


def _add_recordings_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="judged together; data.symbols unless given")
    parser.add_argument("--teach", nargs="+", default=[], metavar="SYMBOL", help="whose rows are in Train alone")
    parser.add_argument("--seeds", type=int, default=3, help="of each kind; together they are its ensemble")
    parser.add_argument("--kinds", default="cnn", help="of networks, as cnn,gru,transformer")
    parser.add_argument("--budget-minutes", type=float, default=float("inf"), help="after which no fit begins")


def _add_symbol_arguments(parser: argparse.ArgumentParser) -> None:
    many = {"required": True, "action": "append"}
    parser.add_argument("--bundle", **many, help="folder, champion, challenger, or digits of its sha; one, or one each")
    parser.add_argument("--symbol", **many, help="an instrument that the lake holds; repeatable: all on one clock")
    parser.add_argument("--deposit", action="append", metavar="CURRENCY=AMOUNT", help="of one account for all symbols")
    parser.add_argument("--margin", type=float, default=1.0, help="initial margin of that account, share of notional")


def main() -> int:
    """Exit status: 0, 1 after a fault, 130 after an interrupt or a request to end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is open is closed, what was started is ended
    arguments = command_line().parse_args()
    try:
        arguments.command(_settings_of(arguments), arguments)
    except KeyboardInterrupt:
        return 130
    except (TickloopError, OSError) as fault:
        print(f"tickloop: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
