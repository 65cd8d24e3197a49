"""The parity ladder on a journal, all four levels: orders, decisions, profit, and profit among drawn latencies."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import polars as pl

from backtest.retold import Assumed
from config.orders import GatewayKind
from config.settings import Settings
from live.comparable import charged_by, fee_sha, require_comparable
from live.gateways.permission import LOOPBACK
from live.overheard import Decided, Overhearing
from live.parity import one_plan, orders_again, same_decisions, strategies_in, torn_bytes
from live.plan import MODEL_DESK, LivePlan, desks_of, reader_of
from live.profits import Asked, profits_of
from monitoring.parity import Parity
from monitoring.profit_parity import FAILED, INSUFFICIENT, NOT_ASKED, PASSED, Level, Verdict, Waterfall, whole_verdict
from storage.journal import Record, journal_bytes, read_journal, record_bytes
from storage.progress import Weighed, unweighed

HIGHEST: Final = 4
ELSEWHERE: Final = "its reports are the exchange's"


class Ladder(NamedTuple):
    """A journal's way up the ladder."""

    symbol: str
    gateway: str  # of the model's desk
    desk: str  # whose profit was compared, empty below level 3
    config_sha: str
    fee_sha: str
    levels: tuple[Level, ...]
    causes: Waterfall | None  # from level 3 on, as the minutes
    minutes: pl.DataFrame | None
    torn_bytes: int
    models: Mapping[str, Decided]  # by bundle sha, from level 2 on; those that the journal's desks decided with

    @property
    def verdict(self) -> Verdict:
        """What the levels come to together, see ``whole_verdict``."""
        return whole_verdict(self.levels)

    @property
    def why(self) -> str:
        """What each level came to, in one line."""
        return "; ".join(f"level {level.level} {level.verdict}: {level.why}" for level in self.levels) or "no level"


def climb(
    settings: Settings, journal: Path, bundles: Path, upto: int = HIGHEST, *, told: Weighed = unweighed
) -> Ladder:
    """Every level up to ``upto``; ``bundles`` holds the models that the journal names, ``told`` hears of each level.

    Raises JournalError, before any figure, if configuration, bundle or fees are not those of the journal, or if the
    journal is damaged, mixes plans, or was written on another build.
    """
    plan = one_plan(journal)
    require_comparable(settings, journal, plan, bundles)
    strategies = strategies_in(plan, bundles)
    heard = partial(heard_of, told, journal, upto)
    levels = [orders_level(orders_again(heard(1), plan, bundles)[0], plan.gateway)]
    causes, minutes, desk, models = None, None, "", dict[str, Decided]()
    if upto > 1:
        playback = Overhearing(reader_of(plan), desks_of(plan), strategies)
        levels.append(exact_level(2, same_decisions(playback.pairs(heard(2)))))
        models = playback.models
    if upto > 2:
        place = compared_desk(playback, plan)
        asked = Asked(settings.parity, replayed(settings, plan), settings.venue_models.rate_buckets, upto)
        assumed = Assumed(charged_by(settings, journal, plan), round(settings.labels.infer_latency_ms * 1e6))
        found = profits_of(playback.told(place, plan), assumed, asked, told)
        levels += found.levels
        causes, minutes, desk = found.causes, found.minutes, playback.desks[place].name
    shas, name = (plan.config_sha, fee_sha(plan.venue)), plan.instrument.name
    return Ladder(name, plan.gateway, desk, *shas, tuple(levels), causes, minutes, torn_bytes(journal), models)


def heard_of(told: Weighed, journal: Path, upto: int, level: int) -> Iterable[Record]:
    """The journal's records for one level; what share of its bytes has gone by is told."""
    return told(f"level {level} of {upto}", read_journal(journal), journal_bytes(journal), record_bytes)


def exact_level(level: int, found: Parity) -> Level:
    """Level 1 or 2 as a verdict: exact, different, or nothing to compare."""
    figures = {"rows": found.rows, "records": found.records, "different": found.different}
    verdict = PASSED if found.exact else FAILED if found.different else INSUFFICIENT
    return Level(level, verdict, str(found).partition(": ")[2], figures)  # type: ignore[arg-type]


def orders_level(found: Parity, gateway: GatewayKind) -> Level:
    """Level 1: of the desks on paper, for an exchange cannot be asked again; not asked where there is no such desk."""
    level = exact_level(1, found)
    if gateway != "exchange":
        return level
    if not found.rows:
        return level._replace(verdict=NOT_ASKED, why=f"not asked at an exchange gateway: {ELSEWHERE}")
    return level._replace(why=f"{level.why}; the desk at the exchange is not asked: {ELSEWHERE}")


def compared_desk(playback: Overhearing, plan: LivePlan) -> int:
    """Place of the desk whose orders left for an exchange, else of the one with most fills."""
    if plan.gateway == "exchange":
        return MODEL_DESK
    fills = [playback.fills_of(place) for place in range(len(playback.desks))]
    return fills.index(max(fills))


def replayed(settings: Settings, plan: LivePlan) -> bool:
    """Whether orders met a venue of this machine, which plays a recording; on paper they always do."""
    return plan.gateway != "exchange" or urlsplit(settings.live.orders.rest_url).hostname in LOOPBACK
