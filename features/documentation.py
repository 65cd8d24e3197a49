"""The page that describes every feature, written from the catalogue."""

from dataclasses import replace

from features.catalogue import CATALOGUE_VERSION, STATUS_MEANINGS, STATUS_NAMES, Feature, catalogue
from features.normalizer import MAD_TO_SIGMA
from features.parameters import BUCKET_MS, FeatureParameters

_HEAD = f"""# Features

Catalogue {CATALOGUE_VERSION}, written from `features/catalogue.py` by `tools/features_docs.py`; a test holds
the two together.

A row closes at every multiple of `row_interval_ms` on the UTC ingest clock and holds the events with
`ingest_ts` up to that instant, also when nothing arrived. Windows are trailing, `(t - window, t]`, and exact on a
grid of {BUCKET_MS} ms. Sums are kept in integers, so a row has the same bytes wherever the stream was cut.

## Columns
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
| `rank` | share of samples below minus share above | -1 to 1; equal samples count as neither |

## Status of a row

Every feature of a row that is not valid is 0. The first reason that holds is given.

| code | status | when |
| --- | --- | --- |
"""


def features_page(parameters: FeatureParameters) -> str:
    """Markdown of docs/features.md, for these windows, with a leader."""
    return _HEAD + _columns(parameters) + _NORMALIZATION + _statuses()


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
