"""What ``main.py registry`` shows: versions, the ledger, one version whole, two side by side, and the index of all."""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from assets.registry_decisions import approve, gates_of, reject, rollback, verdicts_of
from assets.report import Report
from assets.resources import lake_of, registry_of
from backtest.report import figure_text
from config.settings import Settings
from features.regimes import REGIME_NAMES
from storage.files import replace_file
from storage.promotions import Promotion
from storage.registry import CHALLENGER, CHAMPION, FALLBACK, Registry, Version

ROLES: Final = (CHAMPION, CHALLENGER, FALLBACK)
SHAS: Final = ("bundle_sha", "catalogue_sha", "config_sha", "data_fingerprint", "slice")


def list_versions(settings: Settings, registry: Registry, _: argparse.Namespace) -> Report:
    """Every registered version with its roles, and every line of the ledger."""
    rows = [version_row(registry, version) for model in registry.models() for version in registry.versions(model)]
    entries = registry.ledger.promotions()
    lines = [
        f"{row['model']} {row['version']:>3}  {', '.join(row['roles']) or row['rejected'] or '-':24}  {row['gates']:34}"
        f"  bundle {row['bundle_sha'][:12]}  run {row['run_id']}"
        for row in rows
    ]
    text = "\n".join([*lines, *map(ledger_line, entries)]) or "no version is registered; main.py run makes one"
    return Report(text, {"versions": rows, "ledger": [asdict(entry) for entry in entries]})


def show(settings: Settings, registry: Registry, arguments: argparse.Namespace) -> Report:
    """One version: what it was made from, its headline figures, its gates, and its lines of the ledger."""
    version = registry.version(arguments.model, arguments.version)
    run, gates = registry.run(version), gates_of(registry, version)
    lines = [one for one in registry.ledger.promotions() if one.model == version.model]
    own = [one for one in lines if version.version in (one.to_version, one.from_version)]
    headline = {name: value for name, value in sorted(run.data.metrics.items()) if name.startswith("headline/")}
    made = {name: run.data.tags[name] for name in SHAS if name in run.data.tags}
    plain = version_row(registry, version) | {"made_from": made, "headline": headline, "gates": gates}
    plain |= {"params": dict(sorted(run.data.params.items())), "ledger": [asdict(one) for one in own]}
    text = [f"{version.model} version {version.version}, run {version.run_id}"]
    text += [f"  {name:18} {value}" for name, value in made.items()]
    text += [f"  {name:18} {said}" for name, said in gates.items()]
    text += [f"  {name:40} {figure_text(value)}" for name, value in headline.items()]
    return Report("\n".join([*text, *map(ledger_line, own)]), plain)


def diff(settings: Settings, registry: Registry, arguments: argparse.Namespace) -> Report:
    """Two versions of a model: parameters, shas, figures by regime and gates that are not the same."""
    versions = [registry.version(arguments.model, number) for number in (arguments.first, arguments.second)]
    first, second = (_content(registry, version) for version in versions)
    found = {part: differing(first[part], second[part]) for part in first}
    lines = [f"{arguments.model}: version {arguments.first} | version {arguments.second}"]
    for part, rows in found.items():
        lines.append(f"{part}: {'equal' if not rows else ''}".rstrip())
        lines += [f"  {name:48} {_shown(pair[0])} | {_shown(pair[1])}" for name, pair in rows.items()]
    return Report("\n".join(lines), found)


def index(settings: Settings, registry: Registry, _: argparse.Namespace) -> Report:
    """Every version with its parameters and shas, and every feature partition with its catalogue; written below var."""
    versions = [_indexed(registry, version) for model in registry.models() for version in registry.versions(model)]
    manifests, faults = lake_of(settings).manifests()
    partitions = [
        {
            "symbol": one.symbol,
            "date": one.date,
            "rows": one.rows,
            "rows_sha256": one.rows_sha256,
            "catalogue_sha": one.metadata.get("catalogue_sha"),
            "verdict": one.verdict,
        }
        for one in manifests
        if one.dataset == "features"
    ]
    plain = {"versions": versions, "features": partitions, "unreadable": faults}
    path = settings.paths.registry_index
    replace_file(path, json.dumps(plain, indent=1, sort_keys=True).encode())
    return Report(f"{path}: {len(versions)} versions, {len(partitions)} feature partitions", plain)


def decided(act: Callable[..., Promotion]) -> Callable[[Settings, Registry, argparse.Namespace], Report]:
    """A command that adds a line to the ledger, and shows it."""

    def command(settings: Settings, registry: Registry, arguments: argparse.Namespace) -> Report:
        entry = act(registry, arguments)
        return Report(ledger_line(entry), asdict(entry))

    return command


COMMANDS: Final[dict[str, Callable[[Settings, Registry, argparse.Namespace], Report]]] = {
    "list": list_versions,
    "show": show,
    "index": index,
    "diff": diff,
    "approve": decided(approve),
    "reject": decided(reject),
    "rollback": decided(rollback),
}


def registry_report(settings: Settings, arguments: argparse.Namespace) -> Report:
    """What the command line asked of the registry."""
    return COMMANDS[arguments.action or "list"](settings, registry_of(settings), arguments)


def version_row(registry: Registry, version: Version) -> dict[str, Any]:
    """A version in brief: its roles by the ledger, whether it was rejected, how many gates it passed."""
    newest = {role: registry.ledger.newest(version.model, role) for role in ROLES}
    rejection = registry.ledger.rejection(version.bundle_sha, version.model)
    verdicts = [*verdicts_of(registry, version).values()]
    return {
        "model": version.model,
        "version": version.version,
        "run_id": version.run_id,
        "bundle_sha": version.bundle_sha,
        "roles": [role for role, line in newest.items() if line and line.to_version == version.version],
        "rejected": f"rejected by {rejection.who}: {rejection.reason}" if rejection else None,
        "gates": f"{verdicts.count('passed')} of {len(verdicts)} gates passed" if verdicts else "not judged",
    }


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What two mappings do not hold alike; None where one lacks it.

    >>> differing({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    {'b': (2, 3), 'c': (None, 4)}
    """
    names = sorted({*first, *second})
    return {name: (first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)}


def ledger_line(entry: Promotion) -> str:
    """A line of the ledger as people read it."""
    return f"{entry.when}  {entry.model} {entry.to_version} is {entry.alias}, by {entry.who}: {entry.reason}"


def _content(registry: Registry, version: Version) -> dict[str, Mapping[str, Any]]:
    run, regimes = registry.run(version), [name.replace(" ", "_") for name in REGIME_NAMES.values()]
    shown = {name for name in run.data.metrics if name.startswith("headline/")}
    shown |= {name for name in run.data.metrics if name.rpartition("/")[2] in regimes and "/model/" in name}
    return {
        "parameters": run.data.params,
        "made from": {name: run.data.tags.get(name) for name in SHAS},
        "figures": {name: run.data.metrics[name] for name in shown},
        "gates": gates_of(registry, version),
    }


def _indexed(registry: Registry, version: Version) -> dict[str, Any]:
    run = registry.run(version)
    made = {name: run.data.tags.get(name) for name in SHAS}
    return version_row(registry, version) | made | {"params": dict(run.data.params)}


def _shown(value: Any) -> str:
    return figure_text(value) if isinstance(value, float | None) else str(value)
