"""Instruments of a profile, where a venue's exchange-info answer is given as well."""

import json
from pathlib import Path
from typing import Any

import pytest

from config.loading import load_settings
from live.exchange_rest import exchange_info
from market.errors import ConfigError
from tests.builders_market import COINM_BTC, COINM_ETH


def profile(folder: Path, info: bytes, data: str = "", instruments: str = "") -> Path:
    (folder / "info.json").write_bytes(info)
    path = folder / "profile.yaml"
    given = f"exchange_info: {{binance-coinm: {folder / 'info.json'}}}"
    path.write_text(f"extends: dev\ndata:\n  {given}\n{data}\n{instruments}\n")
    return path


def told(**changed: Any) -> bytes:
    body = exchange_info(COINM_BTC, 0)
    body["symbols"][0] |= changed
    return json.dumps(body).encode()


def test_a_description_that_agrees_changes_nothing(tmp_path):
    assert load_settings(path=profile(tmp_path, told())).instrument(COINM_BTC.name) == COINM_BTC


def test_a_symbol_that_its_venue_describes_needs_no_entry(tmp_path):
    body = json.loads(told())
    body["symbols"].append(exchange_info(COINM_ETH, 0)["symbols"][0] | {"symbol": "ETHUSD_241227"})
    name = "binance-coinm-ethusd_241227"
    data = f"  symbols: [{name}]\n  sources: {{{name}: somewhere}}"
    found = load_settings(path=profile(tmp_path, json.dumps(body).encode(), data)).instrument(name)
    assert (found.venue_symbol, found.tick_size, found.multiplier) == ("ethusd_241227", 0.01, 10.0)


def test_a_contradiction_names_the_key_both_values_and_the_file(tmp_path):
    path = profile(tmp_path, told(contractSize=10))
    with pytest.raises(ConfigError, match=r"profile.yaml: data.exchange_info.binance-coinm: multiplier=100.0 .* 10.0"):
        load_settings(path=path)


@pytest.mark.parametrize(("info", "words"), [(b"{", "cannot be read"), (b'{"symbols":[]}', "holds no symbol")])
def test_a_description_that_cannot_serve_is_refused_in_one_line(tmp_path, info, words):
    with pytest.raises(ConfigError, match=words) as refused:
        load_settings(path=profile(tmp_path, info))
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    path = profile(tmp_path, told())
    (tmp_path / "info.json").unlink()
    with pytest.raises(ConfigError, match=r"info.json: No such file"):
        load_settings(path=path)
