"""Frames of Binance by hand, and what a decoder makes of them."""

import json

from market.events import Events
from market.sources.decoder import Decoder

NOW = 1_723_161_600_000_000_000
MS = 1_000_000


def frame(topic: str, symbol: str = "btcusd_perp", **data: object) -> bytes:
    return json.dumps({"stream": f"{symbol}@{topic}", "data": data}).encode()


def depth(first: int, last: int, previous: int | None, bids=(), asks=(), ms: int = 1_000, **changed) -> bytes:
    ids = {"U": first, "u": last} | ({} if previous is None else {"pu": previous, "T": ms})
    return frame("depth@0ms", **({"E": ms + 5} | ids | {"b": list(bids), "a": list(asks)} | changed))


def snapshot(last: int, bids=(("100.0", "5"),), asks=(("100.1", "6"),), **stamps: int) -> bytes:
    return json.dumps({"lastUpdateId": last, "bids": list(bids), "asks": list(asks)} | stamps).encode()


def trade(**changed: object) -> bytes:
    data = {"e": "trade", "E": 1_005, "T": 1_000, "t": 7, "p": "100.2", "q": "3", "X": "MARKET", "m": True}
    return frame("trade", **(data | changed))


def decoded(decoder: Decoder, *frames: bytes) -> list[Events]:
    return [decoder.decode(data, NOW + place) for place, data in enumerate(frames)]


def kinds(events: Events) -> list[int]:
    return events["kind"].tolist()


def joined(decoder: Decoder) -> Decoder:
    """A decoder whose book ends at update id 20."""
    decoded(decoder, snapshot(10, T=900), depth(9, 20, 8, [["99.9", "1"]]))
    return decoder


def agg_trade(first: int, last: int, **changed: object) -> bytes:
    data = {"e": "aggTrade", "E": 1_005, "a": 1, "p": "100.2", "q": "3", "f": first, "l": last, "T": 1_000, "m": True}
    return frame("aggTrade", **(data | changed))
