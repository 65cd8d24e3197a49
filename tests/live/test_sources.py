"""What a replay venue may play."""

from dataclasses import replace

import pytest

from config.loading import load_settings
from config.sources import FileSource
from live.sources import captures_of
from market.errors import DataError

SYMBOL = "binance-usdm-btcusdt"


def test_files_of_a_vendor_cannot_be_played() -> None:
    settings = load_settings("dev")
    data = replace(settings.data, symbols=(SYMBOL,), sources={SYMBOL: FileSource("tardis", "folder")})
    with pytest.raises(DataError, match=rf"plays recordings .* source of {SYMBOL} is tardis files folder"):
        captures_of(replace(settings, data=data), SYMBOL, ())
