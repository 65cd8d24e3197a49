"""The first two levels of the parity ladder, on a journal as the runner left it."""

from pathlib import Path
from typing import NamedTuple

from live.plan import LivePlan, build_fingerprint, desks_of, plan_from, reader_of, strategy_of
from live.replay import Pair, Playback
from market.errors import JournalError
from market.orders import FILL
from monitoring.parity import Comparison, Parity, compare
from storage.journal import read_headers, read_journal, segments, torn_end


class ParityReport(NamedTuple):
    """Both levels, and how much they had to compare."""

    orders: Parity  # level 1: the journal's orders, replayed against a fresh venue, bring the same reports
    decisions: Parity  # level 2: decisions recomputed from raw frames are the same
    fills: int
    torn_bytes: int  # of an unfinished record at the journal's end, left out

    @property
    def exact(self) -> bool:
        """Whether both levels are equal bit for bit."""
        return self.orders.exact and self.decisions.exact


def parity_of(journal: Path, bundles: Path) -> ParityReport:
    """Replay a journal twice; ``bundles`` holds the models that it names.

    Raises JournalError if the journal is damaged, mixes plans, or was written on another build: bits are equal on one
    build only.
    """
    plan = _one_plan(journal)
    filled = 0

    def reports(pair: Pair) -> Comparison:
        nonlocal filled
        filled += int((pair.written_reports["kind"] == FILL).sum()) if pair.written_reports.size else 0
        return Comparison(pair.row_ts, pair.written_reports, pair.again_reports)

    first = compare(
        "level 1, reports of the journal's orders", map(reports, _playback(plan, bundles).fills(read_journal(journal)))
    )
    pairs = _playback(plan, bundles).decisions(read_journal(journal))
    second = compare("level 2, decisions from raw frames", (_decided(pair) for pair in pairs))
    torn = torn_end(segments(journal)[-1])
    return ParityReport(first, second, filled, torn.size if torn else 0)


def _decided(pair: Pair) -> Comparison:
    """Decision and intents as one byte string each, so that either difference shows."""
    written, again = pair.written, pair.again
    if written.record.tobytes() != again.record.tobytes():
        return Comparison(pair.row_ts, written.record, again.record)
    if written.intents.tobytes() != again.intents.tobytes():
        return Comparison(pair.row_ts, written.intents, again.intents)
    return Comparison(pair.row_ts, written.record, again.record)


def _playback(plan: LivePlan, bundles: Path) -> Playback:
    return Playback(reader_of(plan), desks_of(plan), lambda sha: strategy_of(plan, bundles / sha))


def _one_plan(journal: Path) -> LivePlan:
    plans = [(segment, plan_from(header)) for segment, header in read_headers(journal)]
    if not plans:
        raise JournalError(f"no journal in {journal}")
    oldest, first = plans[0]
    for segment, plan in plans:
        if plan != first:
            raise JournalError(f"{segment} was written under another plan than {oldest}; compare them apart")
    here = build_fingerprint()
    if first.build != here:
        raise JournalError(f"the journal was written by {first.build}, this is {here}: bits cannot be compared")
    return first
