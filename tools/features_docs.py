"""Write what is documented of features: docs/features.md from the catalogue, its pictures and regimes from recordings.

python tools/features_docs.py [text | pictures | regimes ...]    (all three unless named)
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402

from assets.feature_pages import feature_pictures  # noqa: E402
from assets.plots import markdown_table  # noqa: E402
from config.loading import load_settings  # noqa: E402
from config.settings import Settings  # noqa: E402
from features.batch import Rows, feature_rows, leader_rows, rows_to_frame  # noqa: E402
from features.catalogue import VALID, catalogue  # noqa: E402
from features.documentation import LEADER_PICTURE, PICTURE, features_page, regimes_page  # noqa: E402
from features.layout import ALONE, LeaderRows  # noqa: E402
from features.regimes import REGIME_NAMES, UNKNOWN, new_regime, regimes, spells  # noqa: E402
from features.step import new_state  # noqa: E402
from market.clock import align, new_clock  # noqa: E402
from market.events import Events  # noqa: E402
from market.kernel_cache import use_kernel_cache  # noqa: E402
from market.sources.formats import importer_for  # noqa: E402
from storage.captures import input_file  # noqa: E402
from storage.recordings import local_recording  # noqa: E402

DOCS: Final = ROOT / "docs"
PICTURED: Final = ("binance-usdm-btcusdt", ("binance/usdm/btcusdt_20230404.gz",))  # has funding, mark and index
LEADER: Final = "binance-usdm-btcusdt"
FOLLOWER: Final = "binance-coinm-btcusd_perp"
WARM_NS: Final = 60_000_000_000  # of valid rows before the minute that is drawn
MINUTE_NS: Final = 60_000_000_000


def main(parts: Sequence[str]) -> None:
    """Write the parts that are asked for."""
    settings = load_settings("dev")
    if "text" in parts:
        (DOCS / "features.md").write_text(features_page(settings.features), encoding="utf-8")
    if "pictures" in parts:
        (DOCS / PICTURE).parent.mkdir(exist_ok=True)
        (DOCS / PICTURE).write_text(every_feature(settings), encoding="utf-8")
        (DOCS / LEADER_PICTURE).write_text(what_a_follower_sees(settings), encoding="utf-8")
    if "regimes" in parts:
        table = regimes_page(settings.regimes, regime_table(settings))
        (DOCS / "regimes.md").write_text(table, encoding="utf-8")


def every_feature(settings: Settings) -> str:
    """A real minute of every feature of a market without a leader, SVG."""
    rows = rows_of(settings, aligned(settings, *PICTURED))
    return feature_pictures(minute(rows_to_frame(rows, settings.features)), catalogue(settings.features))


def what_a_follower_sees(settings: Settings) -> str:
    """A real minute of the features that are made of a leader's rows, SVG."""
    leader = rows_of(settings, recorded(settings, LEADER))
    rows = rows_of(settings, recorded(settings, FOLLOWER), leader_rows(leader, settings.features), LEADER)
    led = replace(settings.features, leader=LEADER)
    shown = [feature for feature in catalogue(led) if feature.stream == "leader"]
    return feature_pictures(minute(rows_to_frame(rows, led)), shown)


def regime_table(settings: Settings) -> str:
    """Share and mean duration of each regime on every recording of the profile, as Markdown."""
    named = [name for code, name in REGIME_NAMES.items() if code != UNKNOWN]
    header = ["recording", "minutes", *(f"{name}, {what}" for name in named for what in ("share", "mean s"))]
    return markdown_table(header, (list(_regime_line(settings, symbol)) for symbol in settings.data.sources))


def _regime_line(settings: Settings, symbol: str) -> Iterator[str]:
    rows = rows_of(settings, recorded(settings, symbol))
    mid2 = np.where(rows.status == VALID, rows.best_bid + rows.best_ask, 0)
    found = spells(regimes(new_regime(settings.regimes), rows.row_ts, mid2), settings.features.row_interval_ms)
    yield symbol
    yield f"{(rows.row_ts[-1] - rows.row_ts[0]) / MINUTE_NS:.1f}"
    for share, seconds in found.values():
        yield from (f"{share:.2f}", f"{seconds:.0f}")


def recorded(settings: Settings, symbol: str) -> Events:
    """Aligned events of the recordings that the profile names for a symbol."""
    names = settings.data.sources[symbol]
    assert isinstance(names, tuple), f"{symbol} comes from {names}, which is no recording"
    return aligned(settings, symbol, names)


def aligned(settings: Settings, symbol: str, names: Sequence[str]) -> Events:
    """Events of recordings through decoder and clock."""
    clock, importer = new_clock(settings.clock), importer_for("capture", settings.instrument(symbol))
    batches = list(importer.batches([input_file(local_recording(name)) for name in names]))
    for events in batches:
        align(clock, settings.clock, events)
    return np.concatenate(batches)


def rows_of(settings: Settings, events: Events, seen: LeaderRows = ALONE, leader: str = "") -> Rows:
    """Rows of a tape from a cold start."""
    parameters = replace(settings.features, leader=leader)
    return feature_rows(events, new_state(parameters), parameters, int(events["ingest_ts"][-1]), seen)


def minute(frame: pl.DataFrame) -> pl.DataFrame:
    """The valid rows of one minute, once the market has been open for another."""
    valid = frame.filter(pl.col("status") == VALID)
    start = int(valid["row_ts"][0]) + WARM_NS
    return valid.filter(pl.col("row_ts").is_between(start, start + MINUTE_NS, closed="left"))


if __name__ == "__main__":
    use_kernel_cache()
    main(sys.argv[1:] or ("text", "pictures", "regimes"))
