"""The chain as a whole, and its pages: demo, run, ui, kernels."""

import argparse
from collections.abc import Callable
from typing import Any, Final

from commands.command import Command, add_json, nothing_more, say, say_aside, show, tether
from config.settings import Settings
from storage.lake_report import Report

Say = Callable[[str], None]


def demo(settings: Settings, arguments: argparse.Namespace) -> None:
    """Run the whole chain on a real sample recording, or on a synthetic tape where none can be had; then trade live."""
    from orchestration.facts import demo_facts
    from orchestration.live_demo import live_lines
    from orchestration.summary import demo_summary
    from orchestration.tapes import recorded_or_synthetic

    progress = say_aside if arguments.json else say
    chosen = recorded_or_synthetic(settings, progress)
    _run_chain(chosen, progress)
    live, facts = _run_live(chosen, progress), demo_facts(chosen)
    show(Report(demo_summary(facts, live_lines(live)), facts | {"live": live}), arguments.json)


def run(settings: Settings, _: argparse.Namespace) -> None:
    """Run the chain on the symbols of the configuration; what is up to date is reused."""
    from orchestration.tapes import fetch_recordings

    fetch_recordings(settings)
    _run_chain(settings, say)


def ui(settings: Settings, _: argparse.Namespace) -> None:
    """Serve Dagster's and MLflow's pages, and research's metrics, on loopback until interrupted."""
    from orchestration.pages import LOOPBACK, serve_pages

    say(f"Dagster  http://{LOOPBACK}:{settings.orchestration.dagster_port}")
    say(f"MLflow   {settings.registry.url or f'http://{LOOPBACK}:{settings.orchestration.mlflow_port}'}")
    say(f"metrics  http://{LOOPBACK}:{settings.orchestration.metrics_port}/metrics")
    serve_pages(settings)


def metrics(settings: Settings, _: argparse.Namespace) -> None:
    """Serve research's metrics alone, on loopback, until interrupted; ui serves them beside its pages."""
    from orchestration.pages import LOOPBACK, serve_metrics

    say(f"metrics  http://{LOOPBACK}:{settings.orchestration.metrics_port}/metrics")
    serve_metrics(settings)


def kernels(settings: Settings, arguments: argparse.Namespace) -> None:
    """Compile the kernels of forecast, decision and fill; a later start finds them."""
    from orchestration.compiling import compile_kernels

    tether(arguments)
    compile_kernels(settings)


def _run_chain(settings: Settings, progress: Say) -> None:
    from orchestration.compiling import compiled_ahead
    from orchestration.instance import open_instance
    from orchestration.running import run_chain

    with compiled_ahead(settings, progress), open_instance(settings.paths.dagster) as instance:
        report = run_chain(settings, instance, progress)
    progress(f"{len(report.made)} tables made, {len(report.reused)} reused")


def _run_live(settings: Settings, progress: Say) -> dict[str, Any]:
    from orchestration.instance import open_instance
    from orchestration.live_demo import Playing, live_facts, run_live

    with open_instance(settings.paths.dagster) as instance:
        return live_facts(run_live(settings, instance, progress, Playing(settings.data.hold_back_s)))


def _add_kernels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tethered", action="store_true", help="end when standard input is closed")


COMMANDS: Final = (
    Command(demo, add_json),
    Command(run, nothing_more),
    Command(ui, nothing_more),
    Command(metrics, nothing_more),
    Command(kernels, _add_kernels),
)
