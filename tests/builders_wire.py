"""Feeds of both venues at the replay venue, and what was played, to compare with."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from live.clock import Clock, replay_clock
from live.connectors.symbol_feed import SymbolFeed
from live.exchange import Exchange, Replay
from live.exchange_faults import parse_fault
from market.book import ASK, BID, Book, is_open, top_levels
from market.events import TRADE, Events
from tests.builders_live import QUICK, Reader, bybit_of, feeds_of, follow, until, wire_at
from tests.builders_market import COINM_BTC

START = "2024-08-08T23:54:18"
BYBIT = bybit_of(COINM_BTC)
VENUES = pytest.mark.parametrize("instrument", [COINM_BTC, BYBIT], ids=["binance", "bybit"])
LEVELS = 40  # that both venues tell


def top(book: Book) -> list[list[int]]:
    """Prices and lots of the best levels of both sides."""
    levels = np.zeros((4, LEVELS), np.int64)
    counts = top_levels(book, BID, levels[0], levels[1]), top_levels(book, ASK, levels[2], levels[3])
    assert counts == (LEVELS, LEVELS)
    return levels.tolist()


def trades(events: Events) -> list[tuple[Any, ...]]:
    return [tuple(event) for event in events[["update_id", "price", "qty", "side", "exchange_ts"]].tolist()]


def replay_of(capture: Path, *faults: str, speed: float = 20.0) -> Replay:
    return Replay([capture], START, speed=speed, faults=tuple(map(parse_fault, faults)), tape=COINM_BTC)


async def clock_at(exchange: Exchange) -> Clock:
    clock = await replay_clock(f"http://127.0.0.1:{exchange.ports[1]}", 0)
    assert clock
    return clock


async def read_out(exchange: Exchange, *readers: Reader, **settings: float) -> list[SymbolFeed]:
    """The feeds of some readers, which have followed the tape to its end."""
    clock = await clock_at(exchange)
    feeds = feeds_of(wire_at(exchange.ports, replace(QUICK, **settings)), *readers)
    await asyncio.gather(*(follow(feed, reader, clock) for feed, reader in zip(feeds, readers, strict=True)))
    return feeds


async def lose(exchange: Exchange, reader: Reader, *faults: str) -> None:
    """Let faults end the lines one after another, each once the reader has had its book since the one before."""
    for number, fault in enumerate(map(parse_fault, faults), 1):
        await until(lambda number=number: [up for up, _ in reader.connections].count(True) == number)
        await until(lambda: is_open(reader.book))
        exchange.delivery._befall(fault, 0)


def played_trades(exchange: Exchange, whole: Reader) -> list[tuple[Any, ...]]:
    """All trades of the stretch that a venue has played."""
    events = whole.of_kind(TRADE)
    return trades(events[events["ingest_ts"] >= exchange.start_ns])
