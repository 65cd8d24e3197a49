"""The ordered list of features, what a row's status means, and the sha that binds a model to both."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, cast

from features.layout import LIQUIDATIONS, TOP
from features.parameters import FeatureParameters

Normalization = Literal["none", "median_mad", "rank"]

CATALOGUE_VERSION: Final = "2.1"
LEVELS: Final = range(1, TOP + 1)

# status of a row; every other value than VALID is the first reason that holds, from the top
VALID: Final = 0
BOOK_CLOSED: Final = 1
ONE_SIDED: Final = 2
CROSSED: Final = 3
SILENT: Final = 4
WARMING_UP: Final = 5
LATE_FUNDING: Final = 6
NO_LEADER: Final = 7

STATUS_NAMES: Final = {
    VALID: "valid",
    BOOK_CLOSED: "book closed",
    ONE_SIDED: "one-sided book",
    CROSSED: "crossed book",
    SILENT: "silent feed",
    WARMING_UP: "warming up",
    LATE_FUNDING: "late funding",
    NO_LEADER: "no leader",
}
STATUS_MEANINGS: Final = {
    VALID: "all features hold",
    BOOK_CLOSED: "no snapshot yet, or a gap since the last one",
    ONE_SIDED: "a side of the book is empty",
    CROSSED: "the best bid is not below the best ask",
    SILENT: "no event for longer than `max_silence_ms`",
    WARMING_UP: "less than the longest window since the book opened or a silence ended, or too few samples in the "
    "normaliser",
    LATE_FUNDING: "no funding rate for longer than `max_funding_age_s`, where one is required",
    NO_LEADER: "no valid row of the leader for longer than `max_silence_ms`, or not yet for the longest window",
}


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a row."""

    name: str
    unit: str  # of the raw value
    window_ms: int  # ms of trailing window, 0 for what holds at the instant
    normalization: Normalization
    floor: float  # least deviation to divide by, in units of the raw value (median_mad only)
    definition: str
    source: str  # the literature that it follows, empty where it is plain arithmetic
    stream: str  # what it is made from: the book, trades, funding ...

    def bound(self, parameters: FeatureParameters) -> float:
        """Largest absolute value that a model sees."""
        return parameters.normalizer_clip if self.normalization == "median_mad" else 1.0


_OFI: Final = "Cont, Kukanov & Stoikov (2014), The price impact of order book events"
_QUEUE: Final = "Gould & Bonart (2016), Queue imbalance as a one-tick-ahead price predictor in a limit order book"

_FUNDING: Final = "funding"  # the stream of the venue without which the feature stays 0
_MARK: Final = "mark and index"
_FORCED: Final = "liquidations"


def _instant(name: str, unit: str, normalization: Normalization, definition: str, **rest: Any) -> Feature:
    return Feature(name, unit, 0, normalization, rest.pop("floor", 0.0), definition, **_complete(rest))


def _windowed(name: str, unit: str, normalization: Normalization, definition: str, **rest: Any) -> Feature:
    return Feature(name, unit, 1, normalization, rest.pop("floor", 0.0), definition, **_complete(rest))


def _complete(rest: dict[str, Any]) -> dict[str, Any]:
    return {"source": "", "stream": "book"} | rest


def _sides(name: str, unit: str, floor: float, definition: str) -> tuple[Feature, ...]:
    """One feature for each of the best levels of each side, bids first."""
    return tuple(
        _instant(
            name.format(side=side, level=level),
            unit,
            "median_mad",
            definition.format(side=side, level=level),
            floor=floor,
        )
        for side in ("bid", "ask")
        for level in LEVELS
    )


INSTANT: Final = (
    _instant("spread_ticks", "ticks", "median_mad", "best ask minus best bid", floor=1.0),
    _instant(
        "queue_imbalance",
        "share",
        "none",
        "(bid - ask) / (bid + ask) of the lots resting at the touch: the imbalance over one level",
        source=_QUEUE,
    ),
    _instant("imbalance_5", "share", "none", "the same over the best 5 levels of each side"),
    _instant("imbalance_10", "share", "none", "the same over the best 10 levels of each side"),
    _instant(
        "microprice_deviation",
        "ticks",
        "median_mad",
        "the touch weighted by the opposite side's lots, minus the mid",
        floor=0.05,
    ),
    *_sides("log_{side}_size_{level}", "log lots", 0.5, "log(1 + lots) at {side} level {level}; 0: no such level"),
    *_sides(
        "sqrt_{side}_offset_{level}",
        "sqrt ticks",
        1.0,
        "root of the distance of {side} level {level} from the mid; 0: no such level",
    ),
    _instant(
        "delay_ms",
        "ms",
        "median_mad",
        "ingest minus aligned time of the newest event, not clamped",
        floor=0.5,
        stream="every event",
    ),
    _instant(
        "delay_jitter",
        "ms",
        "median_mad",
        "mean absolute change of the delay, in whole us, between stamped messages, over the longest window",
        floor=0.5,
        stream="every event",
    ),
    _instant(
        "log_trade_age",
        "log ms",
        "median_mad",
        "log(1 + ms since the newest trade; since the first event before any trade)",
        floor=0.5,
        stream="trades",
    ),
    _instant(
        "trade_run", "log trades", "rank", "log(1 + trades in a row by one aggressor), signed like it", stream="trades"
    ),
    _instant("funding_rate", "bp", "median_mad", "newest published funding rate", floor=0.01, stream=_FUNDING),
    _instant("time_to_funding", "share", "none", "time to the next funding, of 8 hours, at most 1", stream=_FUNDING),
    _instant("basis", "bp", "median_mad", "mark price over index price, minus 1", floor=0.01, stream=_MARK),
    *(
        _instant(
            f"log_liquidated_{word}",
            "log lots",
            "median_mad",
            f"log(1 + lots, as a measure of notional at the mid, of the forced {word} orders among the newest "
            f"{LIQUIDATIONS} of both sides within `liquidation_reach_bp` of it, each halved every "
            "`liquidation_halflife_s`)",
            floor=0.5,
            stream=_FORCED,
        )
        for word in ("buy", "sell")
    ),
    _instant(
        "session_open",
        "flag",
        "none",
        "1 in the first `session_flag_minutes` of a session, local clock, Monday to Friday",
        stream="calendar",
    ),
    _instant("session_close", "flag", "none", "1 in the last `session_flag_minutes` of a session", stream="calendar"),
    _instant(
        "volume_burst",
        "flag",
        "none",
        "1 where `log_volume` of the longest window lies `burst_deviations` or more above its trailing median, a "
        "deviation being at least half a log lot",
        stream="trades",
    ),
)
WINDOWED: Final = (
    _windowed(
        "order_flow_imbalance",
        "lots",
        "rank",
        "sum over messages of lots joining minus leaving the best bid, less the same at the best ask",
        source=_OFI,
    ),
    _windowed(
        "order_flow_imbalance_5",
        "lots",
        "rank",
        "sum over messages of the change of lots at bid prices less that at ask prices, over the prices that the best "
        "5 levels reach to both before and after the message",
    ),
    _windowed(
        "trade_imbalance",
        "share",
        "none",
        "(bought - sold) / (bought + sold) lots by aggressor; 0: none",
        stream="trades",
    ),
    _windowed(
        "trade_sign", "share", "none", "mean sign of the trades, +1 for a buying aggressor; 0: none", stream="trades"
    ),
    _windowed("log_event_count", "log events", "rank", "log(1 + events)", stream="every event"),
    _windowed("log_trade_count", "log trades", "rank", "log(1 + trades)", stream="trades"),
    _windowed("log_volume", "log lots", "rank", "log(1 + traded lots)", stream="trades"),
    _windowed("log_touch_churn", "log moves", "rank", "log(1 + moves of the best bid or the best ask)"),
    _windowed(
        "cancel_share",
        "share",
        "none",
        "cancelled / (cancelled + added) lots of the best 5 levels, where cancelled = removed - traded, at least 0",
        stream="book and trades",
    ),
    _windowed(
        "realized_volatility", "ticks", "rank", "root of the sum of squared changes of the mid, message by message"
    ),
    _windowed(
        "vwap_distance", "ticks", "rank", "mid minus volume-weighted trade price; 0: no trade", stream="book and trades"
    ),
    _windowed("momentum", "ticks", "rank", "mid now minus mid at the start of the window"),
)
LEADER_INSTANT: Final = (
    _instant("leader_imbalance", "share", "none", "queue imbalance of the leader's newest row", stream="leader"),
    _instant(
        "leader_premium",
        "bp",
        "median_mad",
        "log of our mid over the leader's, both in ticks, so that its level hangs on the two tick sizes",
        floor=0.05,
        stream="leader",
    ),
)
LEADER_WINDOWED: Final = (
    _windowed("leader_return", "bp", "rank", "change of the leader's mid over the window", stream="leader"),
)


def catalogue(parameters: FeatureParameters) -> tuple[Feature, ...]:
    """Every feature in column order: the instant ones, those of each window from the shortest, the leader's."""
    windows_ms = parameters.windows_ms
    windowed = (_over(feature, window_ms) for window_ms in windows_ms for feature in WINDOWED)
    leading = (_over(feature, window_ms) for window_ms in windows_ms for feature in LEADER_WINDOWED)
    return (*INSTANT, *windowed, *(LEADER_INSTANT + tuple(leading) if parameters.leader else ()))


def _over(feature: Feature, window_ms: int) -> Feature:
    return replace(feature, name=f"{feature.name}_{window_ms}ms", window_ms=window_ms)


def feature_names(parameters: FeatureParameters) -> tuple[str, ...]:
    """Names of the columns under these windows."""
    return tuple(feature.name for feature in catalogue(parameters))


def catalogue_content(parameters: FeatureParameters) -> dict[str, Any]:
    """Everything that decides what a column means, as JSON allows: version, features, parameters."""
    features = [asdict(feature) for feature in catalogue(parameters)]
    content = {"version": CATALOGUE_VERSION, "features": features, "parameters": _settings(parameters)}
    return cast(dict[str, Any], json.loads(json.dumps(content)))


def _settings(parameters: FeatureParameters) -> dict[str, Any]:
    """The parameters; a phase only where there is one, as rows without are those of catalogues that knew none."""
    settings = asdict(parameters)
    phased = settings.pop("phased")
    return settings if phased else {name: value for name, value in settings.items() if name != "phase_ms"}


def content_sha(content: Mapping[str, Any]) -> str:
    """Sha256 of a catalogue's content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def catalogue_sha(parameters: FeatureParameters) -> str:
    """Sha256 of everything that decides what a column means; a model refuses rows of another one."""
    return content_sha(catalogue_content(parameters))


def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """In what two contents differ, in a few words: version, columns, settings; the first of each.

    >>> difference({"version": "1.0"}, {"version": "2.0"})
    'catalogue 1.0 instead of 2.0'
    """
    words = []
    if theirs.get("version") != ours.get("version"):
        words.append(f"catalogue {theirs.get('version')} instead of {ours.get('version')}")
    old, new = ({each["name"]: each for each in content.get("features", ())} for content in (theirs, ours))
    words += [f"{name} is not one of ours" for name in sorted(old.keys() - new.keys())[:1]]
    words += [f"{name} is unknown to it" for name in sorted(new.keys() - old.keys())[:1]]
    words += [f"{name} means something else" for name in new if name in old and old[name] != new[name]][:1]
    words += ["its columns stand in another order"] if old.keys() == new.keys() and [*old] != [*new] else []
    settings, mine = theirs.get("parameters", {}), ours.get("parameters", {})
    changed = [key for key in sorted(settings.keys() | mine.keys()) if settings.get(key) != mine.get(key)]
    words += [f"{key}={settings.get(key)} instead of {mine.get(key)}" for key in changed[:1]]
    return ", ".join(words)


def branch_columns(parameters: FeatureParameters) -> tuple[tuple[int, ...], ...]:
    """For each window, shortest first: the columns of the instant features and of that window's own."""
    windows = [feature.window_ms for feature in catalogue(parameters)]
    return tuple(
        tuple(column for column, window_ms in enumerate(windows) if window_ms in (0, branch))
        for branch in parameters.windows_ms
    )
