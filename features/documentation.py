"""The page that describes every feature, written from the catalogue."""

from dataclasses import asdict, replace
from typing import Final

from features.catalogue import CATALOGUE_VERSION, STATUS_MEANINGS, STATUS_NAMES, Feature, catalogue
from features.normalizer import MAD_TO_SIGMA
from features.parameters import BUCKET_MS, FeatureParameters, RegimeParameters
from features.sessions import FIRST_YEAR, LAST_YEAR

PICTURE: Final = "images/features.svg"  # below docs/
LEADER_PICTURE: Final = "images/leader_features.svg"

_HEAD = f"""# Features

Catalogue {CATALOGUE_VERSION}, written from `features/catalogue.py` by `tools/features_docs.py`; a test holds
the two together.

A row closes at every multiple of `row_interval_ms` on the UTC ingest clock, later by its symbol's `phase_ms` where
rows are `phased`, and holds the events with `ingest_ts` up to that instant, also when nothing arrived. Windows are
trailing, `(t - window, t]`, and exact on a grid of {BUCKET_MS} ms that rows close on. Sums are kept in integers, so a
row has the same bytes wherever the stream was cut.
Regimes are described in [regimes.md](regimes.md).

## Columns
"""

_PICTURES = f"""
## A real minute

Each feature in its own unit, and its range, over a minute of the USD-M BTC recording of 2023-04-04, which has
funding, mark and index. A flat line: nothing of the kind happened in that minute.

![every feature over a minute]({PICTURE})

What COIN-M BTC sees of USD-M BTC as its leader, over a minute of 2024-08-08:

![features of a leader over a minute]({LEADER_PICTURE})

A symbol gets a leader by `data.leaders`, and can then be trained and backtested. The runner reads one symbol, and
refuses one that follows another.
"""

_CALENDAR = f"""
## Sessions

`session_open` and `session_close` follow the opening hours of `features.sessions` on the local clock, daylight saving
included, Monday to Friday. Holidays and half days are not known: the flags rise on them as on any other weekday.
Changes of the clock are known from {FIRST_YEAR} to {LAST_YEAR}.
"""

_REGIMES = """# Regimes

Every row lies in one regime, told from rows up to itself alone (`features/regimes.py`). Once a second the mid of a
valid row is sampled. Over the last `span_s` samples, volatility is the root of the sum of squared log returns, and
efficiency is how far the mid got, as a share of the way that it went.

| regime | entered at | left below |
| --- | --- | --- |
| high volatility | a share of {high_enter:g} of the last {memory_s} s below it, ties half | {high_leave:g} |
| trend | efficiency {trend_enter:g}, volatility not high | {trend_leave:g} |
| range | otherwise | |

A regime is unknown before `span_s` = {span_s} s of mids and `least_s` = {least_s} s of volatilities, and again after a
hole of more than five seconds without a valid row. The numbers are those of the dev profile.

## On the recordings

Share of the rows whose regime is known, and how long a regime lasts on average; written by
`python tools/features_docs.py regimes`. They are hardly longer than the volatilities are remembered, and what was high
stays so down to a lower rank: on them high volatility takes more than the 1 - {high_enter:g} of a long day's ranks.

"""

_NORMALIZATION = f"""
## Normalisation

Each feature is stored twice: `raw_<name>` in its unit, and `<name>` as models see it. The normaliser samples the
raw row every `normalizer_sample_ms` while rows are valid, keeps the samples of `normalizer_window_s`, and takes a
sample in only after that row has been normalised.

| normalisation | value | range |
| --- | --- | --- |
| `none` | the raw value | -1 to 1 |
| `median_mad` | (raw - median) / max({MAD_TO_SIGMA} x MAD, floor) | plus and minus `normalizer_clip` |
| `rank` | share of samples below minus share above | -1 to 1 |

Ties: samples equal to the value count as neither below nor above, so a value that equals all of them has rank 0.

## Status of a row

Every feature of a row that is not valid is 0. The first reason that holds is given.

| code | status | when |
| --- | --- | --- |
"""


def features_page(parameters: FeatureParameters) -> str:
    """Markdown of docs/features.md, for these windows, with a leader."""
    return _HEAD + _columns(parameters) + _PICTURES + _NORMALIZATION + _statuses() + _CALENDAR


def regimes_page(parameters: RegimeParameters, table: str) -> str:
    """Markdown of docs/regimes.md, around a table of what the recordings hold."""
    return _REGIMES.format(**asdict(parameters)) + table + "\n"


def _columns(parameters: FeatureParameters) -> str:
    features = catalogue(replace(parameters, leader="LEADER"))
    head = "| name | unit | window | made from | definition | normalisation | floor | source |\n" + "| --- " * 8 + "|\n"
    return "\n" + head + "\n".join(_line(feature) for feature in features) + "\n"


def _line(feature: Feature) -> str:
    window = f"{feature.window_ms} ms" if feature.window_ms else "instant"
    floor = f"{feature.floor:g}" if feature.normalization == "median_mad" else ""
    cells = (
        f"`{feature.name}`",
        feature.unit,
        window,
        feature.stream,
        feature.definition,
        feature.normalization,
        floor,
    )
    return "| " + " | ".join((*cells, feature.source)) + " |"


def _statuses() -> str:
    return "\n".join(f"| {code} | {name} | {STATUS_MEANINGS[code]} |" for code, name in STATUS_NAMES.items()) + "\n"
