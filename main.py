"""Entry and wiring: reads the command line, hands each command to the room that knows how, and reports a fault in one
line. Run ``python main.py --help``.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from config.loading import load_settings
from config.settings import Settings
from market.errors import TickloopError


def demo(settings: Settings, _: argparse.Namespace) -> None:
    """Run the whole chain on a real sample recording, or on a synthetic tape where none can be had."""
    from orchestration.summary import demo_summary
    from orchestration.tapes import recorded_or_synthetic

    chosen = recorded_or_synthetic(settings, _say)
    _run_chain(chosen)
    _say(demo_summary(chosen))


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


def registry(settings: Settings, _: argparse.Namespace) -> None:
    """Show the registered versions and the promotion ledger."""
    from assets.registered_model import model_name
    from storage.registry import Registry

    known = Registry(settings.paths.mlflow)
    for version in [
        found for symbol in settings.data.symbols for found in known.versions(model_name(settings, symbol))
    ]:
        print(f"{version.model} {version.version}  run {version.run_id}  bundle {version.bundle_sha}")
    for entry in known.ledger.promotions():
        print(f"{entry.when}  {entry.model} {entry.to_version} is {entry.alias}, by {entry.who}: {entry.reason}")


def ui(settings: Settings, _: argparse.Namespace) -> None:
    """Serve Dagster's and MLflow's pages on loopback until interrupted."""
    from orchestration.pages import LOOPBACK, serve_pages

    print(f"Dagster  http://{LOOPBACK}:{settings.orchestration.dagster_port}")
    print(f"MLflow   http://{LOOPBACK}:{settings.orchestration.mlflow_port}")
    serve_pages(settings)


def _run_chain(settings: Settings) -> None:
    from orchestration.instance import open_instance
    from orchestration.running import run_chain

    with open_instance(settings.paths.dagster) as instance:
        report = run_chain(settings, instance, _say)
    _say(f"{len(report.made)} tables made, {len(report.reused)} reused")


def _say(line: str) -> None:
    print(line, flush=True)


def command_line() -> argparse.ArgumentParser:
    """What may stand on the command line."""
    parser = argparse.ArgumentParser(prog="main.py", description="Raw order-book ticks to a model that trades.")
    parser.add_argument("--config", type=Path, help="a settings file instead of the profile that APP_ENV names")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (demo, run, fetch, registry, ui):
        about = (command.__doc__ or "").splitlines()[0]
        commands.add_parser(command.__name__, help=about, description=about).set_defaults(command=command)
    commands.choices["fetch"].add_argument("names", nargs="*", metavar="NAME", help="a recording of the catalogue")
    return parser


def main() -> int:
    """Exit status: 0, 1 after a fault, 130 after an interrupt or a request to end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is open is closed, what was started is ended
    arguments = command_line().parse_args()
    if arguments.config:
        os.environ["TICKLOOP_CONFIG"] = str(arguments.config.resolve())  # for the processes that we start, too
    try:
        arguments.command(load_settings(), arguments)
    except KeyboardInterrupt:
        return 130
    except (TickloopError, OSError) as fault:
        print(f"tickloop: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
