"""``explain``: an order's name and its journal in, the whole answer out."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from backtest.mids import MidPath, mid_path
from backtest.venue import SimulatedVenue
from live.desk_views import book_view, side_name
from live.explain.answer import Explanation, OrderAsked
from live.explain.finding import Found, OrderName, find, order_name
from live.explain.outcomes import Terms, outcomes
from live.explain.parts import (
    deviations,
    fills_of,
    forecast_of,
    gates_of,
    legs_of,
    open_queue,
    order_latency_ns,
)
from live.explain.playing import Played, play
from live.explain.sizing import Asked, sizing_steps
from live.plan import MODEL_DESK, LivePlan, desks_of, plan_from, strategy_of
from live.resume import playback_since
from market.errors import JournalError
from market.events import empty_events
from market.orders import ENDED, FILL, REPORT_NAMES, TIF_NAMES
from market.units import NS_PER_MS
from storage.journal import read_headers, read_journal
from trading.parameters import REMEMBERED_ROWS
from trading.ports import Strategy
from trading.records import REASON_NAMES


def explain(journal: Path, bundles: Path, order: str, horizons_ms: Sequence[int]) -> Explanation:
    """Everything about an order, from its desk's journal alone.

    bundles : where the models lie that the journal names
    horizons_ms : of the markouts
    Raises JournalError if the journal does not hold the order, was written under several plans, or is damaged.
    """
    plan, name = _plan(journal), order_name(order)
    places = {desk.name: desk.place for desk in desks_of(plan)}
    if name.desk not in places:
        raise JournalError(f"no desk {name.desk!r} wrote this journal; there is {', '.join(places)}")
    found = find(read_journal(journal), places[name.desk], name.number)
    if found is None:
        raise JournalError(f"the journal in {journal} holds no order {name}")
    playback, since = playback_since(plan, journal, _begin(plan, found), partial(_strategy, plan, bundles))
    horizons, twin = (*horizons_ms, plan.trading.horizon_ms), SimulatedVenue(plan.instrument, plan.venue)
    played = play(playback, read_journal(journal, since), found, twin, horizons)
    return _answer(plan, name, found, played, horizons_ms)


def _begin(plan: LivePlan, found: Found) -> int:
    """Where the replay may begin, ns UTC: early enough for the features' past, and for a venue beside, at the start."""
    simulated = found.place != MODEL_DESK or plan.gateway == "paper"
    remembered_ns = REMEMBERED_ROWS * plan.features.row_interval_ms * NS_PER_MS
    return found.row_ts - remembered_ns if simulated else 0


def _strategy(plan: LivePlan, bundles: Path, sha: str) -> Strategy:
    return strategy_of(plan, bundles / sha)


def _plan(journal: Path) -> LivePlan:
    plans = [plan_from(header) for _, header in read_headers(journal)]
    if not plans:
        raise JournalError(f"no journal in {journal}")
    if any(plan != plans[0] for plan in plans):
        raise JournalError(f"the journal in {journal} was written under several plans; explain them apart")
    return plans[0]


def _answer(plan: LivePlan, name: OrderName, found: Found, played: Played, horizons_ms: Sequence[int]) -> Explanation:
    record, intent = played.looked.pair.again.record[0], found.intent
    account = (*played.before.account[:2], played.looked.floats)
    limits, mids = played.looked.limits, _mids(played)
    valued_ts = int(record["infer_ts"]) + plan.trading.horizon_ms * NS_PER_MS
    terms = Terms(plan.instrument, plan.venue, *plan.venue.fees, valued_ts)
    written, again = played.looked.pair.written, played.looked.pair.again
    return Explanation(
        asked=_asked(plan, name, found, played.looked.bundle_sha),
        reason=REASON_NAMES[int(record["reason"])],
        row_ts=found.row_ts,
        book=book_view(played.before.book, plan.instrument),
        features=deviations(played.before.rows, plan.features),
        forecast=forecast_of(record, played.looked.members, plan.trading.horizon_ms),
        sizing=sizing_steps(Asked(record, intent, account, limits, played.looked.view)),
        gates=gates_of(record, account, limits, played.looked.view),
        legs=legs_of(record, intent, found.reports),
        queue=open_queue(played.standings, found.reports, plan.instrument),
        fills=fills_of(found.reports, terms, mids, horizons_ms),
        settlement=plan.instrument.settlement,
        outcomes=outcomes(played, name.number, order_latency_ns(intent, found.reports, plan), terms, mids),
        same_as_written=written.record.tobytes() == again.record.tobytes()
        and written.intents.tobytes() == again.intents.tobytes(),
    )


def _asked(plan: LivePlan, name: OrderName, found: Found, bundle_sha: str) -> OrderAsked:
    instrument, intent = plan.instrument, found.intent
    return OrderAsked(
        symbol=instrument.name,
        venue=instrument.venue,
        desk=name.desk,
        order=str(name),
        side=side_name(int(intent["side"])),
        kind=TIF_NAMES[int(intent["tif"])],
        price=instrument.price(int(intent["price"])),
        quantity=int(intent["qty"]) * instrument.lot_size,
        sent_ts=int(intent["sent_ts"]),
        bundle_sha=bundle_sha,
        end=_end(found),
    )


def _end(found: Found) -> str:
    if not found.ended:
        return "works still, as far as the journal goes"
    last = found.reports[np.isin(found.reports["kind"], (*ENDED, FILL))][-1]
    return "filled" if last["kind"] == FILL else REPORT_NAMES[int(last["kind"])]


def _mids(played: Played) -> MidPath:
    events = [row.events for row in played.later]
    return mid_path(played.before.book, np.concatenate(events) if events else empty_events(0))
