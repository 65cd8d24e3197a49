"""What a person decides of a version: a role, its end, or the champion before; each is a line of the ledger."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from assets.live_deployment import bundle_of
from assets.promotion import GATE_TAG, ROLLBACK
from assets.registered_model import approve_fallback, promote
from market.errors import RegistryError
from storage.bundle import bundle_sha
from storage.promotions import REJECTED, Promotion
from storage.registry import CHAMPION, FALLBACK, Registry, Version

SHORTEST_REASON: Final = 8  # characters; "ok" is none


def approve(registry: Registry, arguments: argparse.Namespace) -> Promotion:
    """Give a version the role that a person names; with a champion comes its median band, as fallback.

    Raises RegistryError if nobody is named, no reason is given, the version was never judged, or has the role already.
    """
    version, role = registry.version(arguments.model, arguments.version), arguments.role
    require_person(arguments)
    if role == FALLBACK:
        _give_fallback(registry, version, arguments.by)
        return _newest(registry, version, FALLBACK)
    gates = verdicts_of(registry, version)
    if role == CHAMPION and not gates:
        raise RegistryError(f"{version.model} {version.version} was never put before the gates; run the job registry")
    if not promote(registry, version, role, arguments.reason, gates, arguments.by):
        raise RegistryError(f"{version.model} {version.version} is {role} already")
    if role == CHAMPION and FALLBACK in registry.artifacts(version):
        _give_fallback(registry, version, arguments.by)
    return _newest(registry, version, role)


def reject(registry: Registry, arguments: argparse.Namespace) -> Promotion:
    """Take a version's roles and bar it from any, until a person approves it again.

    Raises RegistryError if nobody is named, no reason is given, or it is rejected already.
    """
    version = registry.version(arguments.model, arguments.version)
    require_person(arguments)
    if known := registry.ledger.rejection(version.bundle_sha, version.model):
        raise RegistryError(f"{version.model} {version.version} was rejected already, by {known.who}: {known.reason}")
    entry = Promotion(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        who=arguments.by,
        model=version.model,
        alias=REJECTED,
        from_version=None,
        to_version=version.version,
        bundle_sha=version.bundle_sha,
        gates=verdicts_of(registry, version),
        reason=arguments.reason,
    )
    registry.reject(entry)
    return entry


def rollback(registry: Registry, arguments: argparse.Namespace) -> Promotion:
    """Make the champion before the present one champion again, and its median band the fallback.

    Raises RegistryError if nobody is named, no reason is given, or there is no champion before that still stands and
    that the registry holds.
    """
    require_person(arguments)
    before = registry.ledger.before(arguments.model, CHAMPION)
    if before is None:
        raise RegistryError(f"{arguments.model} has no champion before the present one that still stands")
    version = registry.holding(arguments.model, before.bundle_sha)
    if version is None:
        raise RegistryError(f"the registry has lost the champion before, bundle {before.bundle_sha[:12]}")
    promote(registry, version, CHAMPION, f"{ROLLBACK}{arguments.reason}", before.gates, arguments.by)
    if FALLBACK in registry.artifacts(version):
        _give_fallback(registry, version, arguments.by)
    return _newest(registry, version, CHAMPION)


def gates_of(registry: Registry, version: Version) -> dict[str, str]:
    """What the gates said of a version when it was last judged; empty if it never was."""
    tags = registry.tags(version)
    return {name.removeprefix(GATE_TAG): said for name, said in sorted(tags.items()) if name.startswith(GATE_TAG)}


def verdicts_of(registry: Registry, version: Version) -> dict[str, str]:
    """The same without the figures and reasons behind them."""
    return {name: said.partition(":")[0] for name, said in gates_of(registry, version).items()}


def require_person(arguments: argparse.Namespace) -> None:
    """Raises RegistryError unless the command names a person and a reason."""
    if not (arguments.by or "").strip():
        raise RegistryError(f"{arguments.action} needs --by NAME: the ledger says who decided")
    if len((arguments.reason or "").strip()) < SHORTEST_REASON:
        raise RegistryError(f"{arguments.action} needs --reason TEXT of at least {SHORTEST_REASON} characters")


def _give_fallback(registry: Registry, version: Version, who: str) -> None:
    if FALLBACK not in registry.artifacts(version):
        raise RegistryError(f"{version.model} {version.version} came without a fallback")
    with TemporaryDirectory() as folder:
        sha = bundle_sha(bundle_of(registry, version, Path(folder), FALLBACK))
    approve_fallback(registry, version, sha, who)


def _newest(registry: Registry, version: Version, role: str) -> Promotion:
    entry = registry.ledger.newest(version.model, role)
    if entry is None:
        raise RegistryError(f"{version.model} has no {role} in the ledger")
    return entry
