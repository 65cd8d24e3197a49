"""Whether a journal and a backtest may be compared at all: one configuration, one set of fees, one model."""

import hashlib
import json
from pathlib import Path

from backtest.parameters import VenueParameters
from config.settings import Settings, config_sha
from live.plan import LivePlan
from market.errors import JournalError
from storage.bundle import bundle_sha
from storage.journal import MODEL, read_journal


def fee_sha(venue: VenueParameters) -> str:
    """Hex sha256 of the fees that a venue charges, maker's and taker's."""
    return hashlib.sha256(json.dumps(venue.fees).encode()).hexdigest()


def charged_by(settings: Settings, journal: Path, plan: LivePlan) -> VenueParameters:
    """The venue as configured, at the fees of the journal's first day. Raises JournalError if it holds no record."""
    first = next(read_journal(journal), None)
    if first is None:
        raise JournalError(f"the journal in {journal} holds no record yet")
    return settings.venue.charged(plan.instrument.venue, first.ts, first.ts)


def require_comparable(settings: Settings, journal: Path, plan: LivePlan, bundles: Path) -> None:
    """Raises JournalError, one line, if configuration, fees or a bundle are not the journal's."""
    _require("configuration", plan.config_sha, config_sha(settings))
    _require("fees", fee_sha(plan.venue), fee_sha(charged_by(settings, journal, plan)))
    for sha in sorted(bundles_named(journal)):
        _require(f"bundle in {bundles / sha}", sha, bundle_sha(bundles / sha))


def bundles_named(journal: Path) -> set[str]:
    """Shas of the models that a journal's desks decided with."""
    return {record.payload.decode() for record in read_journal(journal) if record.kind == MODEL} - {""}


def _require(what: str, written: str, here: str) -> None:
    if written != here:
        raise JournalError(
            f"unequal {what}: the journal was written under {written[:12]}, the backtest would run under {here[:12]}; "
            "no figure compares the two"
        )
