"""Versions of fitted venue models: read back as written, numbered in order, refused where a byte is not its own."""

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from backtest.answers import EffectiveRates, Share
from backtest.fits import Interval, VenueFit
from backtest.queue_fit import QueueFit
from market.errors import CorruptFile, DataError
from market.latency import latency_table
from storage.venue_models import FIT, MANIFEST, TABLE, VenueModels

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
TABLE_OF_TWO = latency_table([[1, 2, 3, 4], [5, 6, 7, 8]], rates=[3, 40], edges=[10, 20], spacing_ns=99, block_rows=2)
RATES = EffectiveRates(Share(1, 600), Share(0, 600), Share(2, 9), Share(0, 7), Share(0, 7))
WHOLE = VenueFit(
    TABLE_OF_TWO,
    {"entry_ns": {"p50": Interval(5.0, 3.0, 7.0)}},
    RATES,
    QueueFit("power", 2.0, (1.5, 3.0), 0.9, {"power(2)": -12.5, "front": -40.0}, 300, 250),
    {"cancels": "insufficient: 7 cancels of orders that still stood, 500 are needed"},
    1,
)
NOTHING = VenueFit(None, {}, RATES, None, {"latency": "insufficient", "queue": "insufficient"}, 0)


@pytest.fixture
def store(tmp_path: Path) -> VenueModels:
    return VenueModels(tmp_path / "venue_models")


def _same(left: VenueFit, right: VenueFit) -> bool:
    tables = (left.latency, right.latency)
    arrays = tables == (None, None) or all(np.array_equal(a, b) for a, b in zip(*tables, strict=True))  # type: ignore[arg-type]
    return arrays and left._replace(latency=None) == right._replace(latency=None)


@pytest.mark.parametrize("fit", [WHOLE, NOTHING], ids=["whole", "nothing"])
def test_a_fit_comes_back_as_it_was(store: VenueModels, fit: VenueFit) -> None:
    written = store.publish("coin", fit, "journal a", NOW)
    read = store.newest("coin")
    assert read is not None
    assert _same(read.fit, fit)
    assert read._replace(fit=fit) == written
    assert (read.version, read.journal, read.created) == (1, "journal a", "2026-05-04T12:30:00+00:00")


def test_versions_are_added_and_the_newest_counts(store: VenueModels) -> None:
    assert store.newest("coin") is None
    for journal, fit in (("a", NOTHING), ("b", WHOLE), ("c", NOTHING)):
        store.publish("coin", fit, journal, NOW)
    assert store.versions("coin") == [1, 2, 3]
    newest = store.newest("coin")
    assert newest is not None
    assert newest.journal == "c"
    assert _same(store.read("coin", 2).fit, WHOLE)
    assert store.versions("other") == []


def test_the_same_fit_of_the_same_journal_is_no_new_version(store: VenueModels) -> None:
    first = store.publish("coin", WHOLE, "a", NOW)
    assert store.publish("coin", WHOLE, "a", datetime(2027, 1, 1, tzinfo=UTC)).sha256 == first.sha256
    assert store.publish("coin", WHOLE, "b", NOW).version == 2
    assert store.publish("coin", NOTHING, "b", NOW).version == 3


@pytest.mark.parametrize("name", [FIT, TABLE, MANIFEST])
@pytest.mark.parametrize("damage", ["torn", "changed", "missing"])
def test_a_version_with_a_damaged_file_is_refused(store: VenueModels, name: str, damage: str) -> None:
    store.publish("coin", WHOLE, "a", NOW)
    path = store.root / "coin" / "v000001" / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-9] if damage == "torn" else content.replace(content[40:41], b"~", 1))
    with pytest.raises(CorruptFile, match=name):
        store.newest("coin")
    with pytest.raises(CorruptFile):
        store.publish("coin", WHOLE, "b", NOW)


def test_a_version_that_was_replaced_shows_in_the_next_one(store: VenueModels, tmp_path: Path) -> None:
    store.publish("coin", NOTHING, "a", NOW)
    store.publish("coin", WHOLE, "b", NOW)
    other = VenueModels(tmp_path / "other")
    other.publish("coin", NOTHING, "forged", NOW)
    (store.root / "coin" / "v000001" / MANIFEST).write_bytes((other.root / "coin" / "v000001" / MANIFEST).read_bytes())
    with pytest.raises(CorruptFile, match="was changed after version 2 was written"):
        store.newest("coin")


def test_a_version_under_another_name_is_refused(store: VenueModels) -> None:
    store.publish("coin", WHOLE, "a", NOW)
    (store.root / "coin").rename(store.root / "other")
    with pytest.raises(CorruptFile, match="is version 1 of coin"):
        store.newest("other")


def test_a_version_that_never_was_is_named(store: VenueModels) -> None:
    store.publish("coin", WHOLE, "a", NOW)
    with pytest.raises(DataError, match=r"no venue models of version 7; there are \[1\]"):
        store.read("coin", 7)


def test_a_write_that_fails_leaves_no_version(store: VenueModels, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.publish("coin", WHOLE, "a", NOW)
    assert store.newest("coin") is None
    assert [path.name for path in (store.root / "coin").iterdir()] == []
    assert store.publish("coin", WHOLE, "a", NOW).version == 1


def test_nothing_stored_can_be_run(store: VenueModels) -> None:
    store.publish("coin", WHOLE, "a", NOW)
    with np.load(store.root / "coin" / "v000001" / TABLE, allow_pickle=False) as found:
        assert {found[name].dtype.kind for name in found.files} <= {"i", "f"}
