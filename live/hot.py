"""What of a runner's newest row goes to the hot cache: decision, top of book and features of the hot symbols."""

from collections.abc import Callable, Mapping
from typing import Any

from live.desk import Desk
from live.plan import MODEL_DESK, LivePlan
from monitoring.metrics import Meters
from storage.hot_cache import HotCache, Hottest
from trading.decisions import Turn


class HotRows:
    """Puts the model's desk of every hot symbol into the cache, row by row."""

    def __init__(
        self, cache: HotCache, hottest: Hottest, messages: Mapping[str, Callable[[], int]], meters: Meters
    ) -> None:
        """``messages``: how many each symbol has received since the start."""
        self._cache = cache
        self._hottest = hottest
        self._messages = messages
        self._counted = dict.fromkeys(messages, 0)
        self._meters = meters

    def row(self, plan: LivePlan, desk: Desk, turn: Turn) -> None:
        """One row of a desk."""
        if desk.place != MODEL_DESK:
            return
        symbol, ts = plan.instrument.name, int(turn.decision.record["row_ts"][0])
        total = self._messages[symbol]()
        self._hottest.count(symbol, total - self._counted[symbol])
        self._counted[symbol] = total
        if symbol in self._hottest.now(ts):
            self._cache.put(symbol, value_of(plan, desk, turn), ts)
        self._meters.set("hot_dropped", self._cache.dropped)


class HotAges:
    """How old the newest value is that others can read, by symbol; what was never put has no age."""

    def __init__(self, cache: HotCache, symbol: str, now: Callable[[], int], meters: Meters) -> None:
        self._cache, self._symbol, self._now, self._meters = cache, symbol, now, meters
        meters.before_reading(self._refresh)

    def _refresh(self) -> None:
        if newest := self._cache.newest_ts(self._symbol):
            self._meters.set("hot_age_ms", (self._now() - newest) / 1e6)


def value_of(plan: LivePlan, desk: Desk, turn: Turn) -> dict[str, Any]:
    """A row's decision by field, its features in the order of the catalogue, and who made it."""
    record, row = turn.decision.record, desk.session.row
    names = record.dtype.names or ()
    return {
        "row_ts": int(record["row_ts"][0]),
        "bundle_sha": desk.bundle_sha,
        "catalogue_sha": plan.catalogue_sha,
        "status": row.status if row else 0,
        "features": row.values.tolist() if row else [],
        "decision": dict(zip(names, record[0].item(), strict=True)),
    }
