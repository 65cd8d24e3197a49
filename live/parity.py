"""The first two levels of the parity ladder, on a journal as the runner left it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from live.desk import recalls
from live.plan import LivePlan, build_fingerprint, desks_of, plan_from, reader_of, strategy_of
from live.replay import Pair, Playback, Strategies
from market.errors import JournalError
from market.orders import FILL
from monitoring.parity import Comparison, Parity, compare
from storage.journal import Record, read_headers, read_journal, segments, torn_end


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
    plan = one_plan(journal)
    orders, fills = orders_again(read_journal(journal), plan, bundles)
    playback = Playback(reader_of(plan), desks_of(plan), strategies_in(plan, bundles))
    return ParityReport(orders, same_decisions(playback.decisions(read_journal(journal))), fills, torn_bytes(journal))


def orders_again(records: Iterable[Record], plan: LivePlan, bundles: Path) -> tuple[Parity, int]:
    """Level 1, and all fills of a journal. An exchange cannot be asked again: its desk's rows are not compared."""
    playback, filled = Playback(reader_of(plan), desks_of(plan), strategies_in(plan, bundles)), 0

    def reports() -> Iterator[Comparison]:
        nonlocal filled
        for pair in playback.fills(records):
            filled += int((pair.written_reports["kind"] == FILL).sum()) if pair.written_reports.size else 0
            if not recalls(playback.desks[pair.desk].gateway):
                yield Comparison(pair.row_ts, pair.written_reports, pair.again_reports)

    return compare("level 1, reports of the journal's orders", reports()), filled


def same_decisions(pairs: Iterable[Pair]) -> Parity:
    """Level 2."""
    return compare("level 2, decisions from raw frames", map(_decided, pairs))


def torn_bytes(journal: Path) -> int:
    """Bytes of an unfinished record at the journal's end."""
    torn = torn_end(segments(journal)[-1])
    return torn.size if torn else 0


def strategies_in(plan: LivePlan, bundles: Path) -> Strategies:
    """The strategies of bundles that lie in a folder, each under its own sha."""
    return lambda sha: strategy_of(plan, bundles / sha)


def _decided(pair: Pair) -> Comparison:
    """Decision and intents as one byte string each, so that either difference shows."""
    written, again = pair.written, pair.again
    if written.record.tobytes() != again.record.tobytes():
        return Comparison(pair.row_ts, written.record, again.record)
    if written.intents.tobytes() != again.intents.tobytes():
        return Comparison(pair.row_ts, written.intents, again.intents)
    return Comparison(pair.row_ts, written.record, again.record)


def one_plan(journal: Path) -> LivePlan:
    """The plan that all of a journal was written under.

    Raises JournalError if there is none, or several, or it was written on another build.
    """
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
