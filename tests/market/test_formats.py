"""Which importer reads which format."""

import pytest

from market.errors import ConfigError
from market.sources.formats import FORMATS, MANY_FILES_A_DAY, importer_for
from market.sources.importing import BlockImporter
from tests.builders_market import COINM_BTC, RUNS


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_an_importer_that_has_met_nothing_yet(name: str) -> None:
    importer = importer_for(name, COINM_BTC)
    assert importer.instrument is COINM_BTC
    assert (importer.account.lines, importer.account.events, importer.account.bad) == (0, 0, 0)
    assert importer_for(name, COINM_BTC).account is not importer.account


@pytest.mark.parametrize("name", FORMATS)
def test_an_importer_of_no_file_gives_nothing(name: str) -> None:
    assert list(importer_for(name, COINM_BTC).batches([])) == []


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"format='csv' of binance-coinm-btcusd_perp is not one of \['capture'"):
        importer_for("csv", COINM_BTC)


def test_captures_of_binance_are_scanned_in_blocks() -> None:
    assert all(isinstance(importer_for("capture", instrument), BlockImporter) for instrument, _ in RUNS.values())


def test_formats_of_many_files_are_formats() -> None:
    assert set(FORMATS) >= MANY_FILES_A_DAY
    assert "capture" not in MANY_FILES_A_DAY
