"""The live half: exchange, live, record, and what their journals tell, parity and explain."""

import argparse
import os
import time
from pathlib import Path
from typing import Any, Final

from commands.command import Command, add_json, finite, json_of, positive, say, tether
from config.loading import PROFILES
from config.settings import Settings
from market.errors import ConfigError


def exchange(settings: Settings, arguments: argparse.Namespace) -> None:
    """Serve captures over loopback sockets as their venue would; by default what the chain never saw of one."""
    from live.exchange import Opening, Replay, serve
    from live.exchange_faults import scripted_faults
    from live.exchange_order_side import offer_of
    from live.sources import held_back, listings_of, replay_ports

    tether(arguments)
    first, *more = arguments.symbol or [settings.live.symbol]
    instrument, files, tape = listings_of(settings, [first], arguments.recording)[0]
    start, faults = arguments.start or held_back(settings), scripted_faults(arguments.fault, arguments.chaos)
    replay = Replay(files, start, arguments.end, arguments.speed, faults, tape=tape)
    ports = replay_ports(settings) if None in (named := (arguments.ws_port, arguments.rest_port)) else named
    serve(
        *(instrument, replay, Opening(ports, arguments.ready_file, say)),
        *(listings_of(settings, more, ()), offer_of(settings, os.environ)),
    )


def live(settings: Settings, arguments: argparse.Namespace) -> None:
    """Trade one symbol or several, on paper unless told otherwise: journal, decide, and take pushed models."""
    from live.lines import Ending, lines_of, places_of, secrets_from
    from live.plan import plan_of
    from live.serve import serve

    tether(arguments)
    now = time.time_ns()
    symbols = tuple(dict.fromkeys(arguments.symbol or settings.live.floor))
    gateway, permits = _way_of_orders(settings, symbols, arguments)
    plans = [plan_of(settings, symbol, now, gateway) for symbol in symbols]
    ending = Ending(arguments.until_end, arguments.ready_file)
    serve(plans, places_of(settings.paths, symbols), lines_of(settings, permits), secrets_from(os.environ), ending)


def record(settings: Settings, arguments: argparse.Namespace) -> None:
    """Record the frames of symbols in journals of ours, without trading."""
    from live.recorder import Recording
    from live.recorder import record as record_venues
    from storage.progress import LastLine

    tether(arguments)
    symbols = list(dict.fromkeys(arguments.symbol or [settings.live.symbol]))
    if arguments.journal and len(symbols) > 1:
        raise ConfigError(f"--journal names one folder, and there are {len(symbols)} symbols; leave it out")
    folders = [arguments.journal] if arguments.journal else [settings.paths.recorded(symbol) for symbol in symbols]
    instruments = [settings.instrument(symbol) for symbol in symbols]
    ending = (arguments.seconds, arguments.until_end, arguments.ready_file)
    record_venues(
        Recording(instruments, settings.wire, settings.live.venue_patience_s, folders, *ending), say, LastLine()
    )


def parity(settings: Settings, arguments: argparse.Namespace) -> None:
    """Hold a journal against its backtest, level by level; the exit status is 1 if one fails."""
    from live.ladder import climb
    from live.ladder_text import as_json, lines_of
    from storage.progress import Weighing

    bundles = arguments.bundles or arguments.journal.parent / "bundles"
    ladder = climb(settings, arguments.journal, bundles, arguments.level, told=Weighing())
    say(json_of(as_json(ladder)) if arguments.json else "\n".join(lines_of(ladder)))
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
    say(msgspec.json.encode(told).decode() if arguments.json else "\n".join(lines_of(told)))


def port(text: str) -> int:
    """A port of the command line. Raises ValueError, which the parser reports, if it is none.

    >>> port("8790")
    8790
    """
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError(text)
    return number


def _way_of_orders(
    settings: Settings, symbols: tuple[str, ...], arguments: argparse.Namespace
) -> tuple[Any, dict[str, Any]]:
    from live.gateways.opening import adopting, chosen_gateway

    gateway, permits = chosen_gateway(settings, symbols, arguments.gateway, os.environ)
    return gateway, adopting(permits) if arguments.adopt_position else permits


def _add_exchange(venue: argparse.ArgumentParser) -> None:
    _add_process(venue)
    traded = "an instrument of the configuration, repeatable; SYMBOL=OTHER plays the tape of another one"
    named = "instead of the symbol's source; repeatable"
    venue.add_argument("--symbol", action="append", help=f"{traded}; live.symbol unless given")
    venue.add_argument("--recording", action="append", default=[], metavar="NAME", help=named)
    venue.add_argument("--start", help="ISO time, ns UTC, or last:120s")
    venue.add_argument("--end", help="likewise")
    venue.add_argument("--speed", type=positive, default=1.0, help="seconds of tape a second")
    _add_faults(venue)
    for side in ("ws", "rest"):
        about = "0: a free one; where the runner looks for it unless given"
        venue.add_argument(f"--{side}-port", type=port, metavar="PORT", help=about)


def _add_faults(venue: argparse.ArgumentParser) -> None:
    about = "see live/exchange_faults.py; repeatable"
    venue.add_argument("--fault", action="append", default=[], metavar="KIND:AT_S", help=about)
    about = "COUNT faults at random instants of the first SECONDS, the same for the same SEED"
    venue.add_argument("--chaos", type=finite, nargs=3, metavar=("SEED", "COUNT", "SECONDS"), help=about)


def _add_process(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ready-file", type=Path, help="ports and pid as JSON, written once it listens")
    parser.add_argument("--tethered", action="store_true", help="end when standard input is closed")


def _add_listening(parser: argparse.ArgumentParser) -> None:
    _add_process(parser)
    listened = "an instrument of the configuration, repeatable; live.symbol unless given"
    parser.add_argument("--until-end", action="store_true", help="stop when a replay has come to its end")
    parser.add_argument("--symbol", action="append", help=listened)


def _add_live(parser: argparse.ArgumentParser) -> None:
    _add_listening(parser)
    orders = "where orders go; live.gateway unless given, which exchange needs too"
    parser.add_argument("--gateway", choices=("paper", "shadow", "exchange"), help=orders)
    adopt = "begin a new journal with what the exchange says that the account holds; refused otherwise"
    parser.add_argument("--adopt-position", action="store_true", help=adopt)
    profile = "settings to run under, as APP_ENV picks them; a --config must be laid over the same"
    parser.add_argument("--profile", choices=PROFILES, help=profile)


def _add_record(parser: argparse.ArgumentParser) -> None:
    _add_listening(parser)
    parser.add_argument("--journal", type=Path, help="folder to record in; below var/recorded unless given")
    parser.add_argument("--seconds", type=positive, default=float("inf"), help="how long; until it is ended")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundles", type=Path, help="models that it names; beside the journal unless given")
    add_json(parser)


def _add_parity(parser: argparse.ArgumentParser) -> None:
    _add_reading(parser)
    parser.add_argument("journal", type=Path, metavar="JOURNAL", help="folder of a runner's journal")
    parser.add_argument("--level", type=int, choices=range(1, 5), default=4, help="the highest that is climbed")


def _add_explain(parser: argparse.ArgumentParser) -> None:
    _add_reading(parser)
    parser.add_argument("order", metavar="ORDER", help="DESK-NUMBER, as on the page: probe-12")
    parser.add_argument("--symbol", help="an instrument of the configuration; live.symbol unless given")
    parser.add_argument("--journal", type=Path, metavar="FOLDER", help="of a runner; the symbol's own unless given")


COMMANDS: Final = (
    Command(exchange, _add_exchange),
    Command(live, _add_live),
    Command(record, _add_record),
    Command(parity, _add_parity),
    Command(explain, _add_explain),
)
