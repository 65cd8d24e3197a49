"""Symbols that share sockets, and a symbol that has several: each gets its own, and loses its own."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from config.connectors import SocketSettings, VenueSettings, Wire
from live.exchange import Exchange, Replay
from live.exchange_reels import Listing
from market.errors import ConfigError
from market.events import TRADE
from market.instrument import Instrument
from tests.builders_live import QUICK, Reader, feeds_of, follow, in_loop, other_symbol, until, venue, wire_at
from tests.builders_market import COINM_BTC
from tests.builders_wire import VENUES, clock_at, lose, played_trades, read_out, replay_of, top, trades


@VENUES
@in_loop
async def test_symbols_share_sockets_and_each_gets_its_own(
    capture: Path, whole: Reader, instrument: Instrument
) -> None:
    names = ("btcusd_perp", "dogeusd_perp", "solusd_perp") if instrument is COINM_BTC else ("btcusd", "doge1", "sol")
    readers = [Reader(other_symbol(instrument, name)) for name in names]
    more = [Listing(reader.instrument, [capture], COINM_BTC) for reader in readers[1:]]
    async with venue(replay_of(capture), readers[0].instrument, more=more) as exchange:
        feeds = await read_out(exchange, *readers, symbols_per_socket=2)
        assert exchange.asked("handshake") == 2

    for reader, feed in zip(readers, feeds, strict=True):
        assert (reader.counts["gaps"], reader.reader.malformed, feed.counts["unroutable"]) == (0, 0, 0)
        assert top(reader.book_before_end) == top(whole.book)
        assert trades(reader.of_kind(TRADE)) == played_trades(exchange, whole)


@in_loop
async def test_a_lost_socket_is_a_loss_to_each_of_its_symbols_alone(capture: Path) -> None:
    readers = [Reader(other_symbol(COINM_BTC, name)) for name in ("btcusd_perp", "dogeusd_perp", "solusd_perp")]
    more = [Listing(reader.instrument, [capture], COINM_BTC) for reader in readers[1:]]
    async with venue(replay_of(capture), more=more) as exchange:
        clock = await clock_at(exchange)
        feeds = feeds_of(wire_at(exchange.ports, replace(QUICK, symbols_per_socket=2)), *readers)
        following = [asyncio.create_task(follow(*pair, clock)) for pair in zip(feeds, readers, strict=True)]
        await until(lambda: all(reader.frames for reader in readers))
        exchange.clients.drop(readers[0].instrument.venue_symbol + "@trade")
        await asyncio.gather(*following)

    assert [len(reader.connections) for reader in readers] == [4, 4, 2]


@VENUES
@in_loop
async def test_an_unknown_symbol_is_refused_and_the_others_of_its_line_go_on(
    capture: Path, whole: Reader, instrument: Instrument, caplog: pytest.LogCaptureFixture
) -> None:
    known, unknown = Reader(instrument), Reader(other_symbol(instrument, "nonesuch"))
    async with venue(replay_of(capture), instrument) as exchange:
        clock = await clock_at(exchange)
        feeds = feeds_of(wire_at(exchange.ports), known, unknown)
        waiting = asyncio.create_task(follow(feeds[1], unknown, clock))
        await follow(feeds[0], known, clock)
        await until(lambda: feeds[1].counts["unknown_symbol"] > 1)
        waiting.cancel()

    assert top(known.book_before_end) == top(whole.book)
    assert (unknown.frames, feeds[1].counts["connections"]) == ([], 0)
    lines = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len([line for line in lines if "NONESUCH" in line]) == 1


@in_loop
async def test_trades_can_come_by_a_socket_of_their_own(capture: Path, whole: Reader) -> None:
    reader = Reader()
    async with venue(replay_of(capture, speed=4.0)) as exchange:
        url, rest = f"ws://127.0.0.1:{exchange.ports[0]}", f"http://127.0.0.1:{exchange.ports[1]}"
        sockets = (SocketSettings(f"{url}/public", ("depth@0ms", "bookTicker")), SocketSettings(url, ("trade",)))
        [feed] = feeds_of(Wire(QUICK, VenueSettings(rest, sockets)), reader)
        following = asyncio.create_task(follow(feed, reader, await clock_at(exchange)))
        await lose(exchange, reader, "disconnect:0")
        await following

    by_trade = {socket for (data, _), socket in zip(reader.frames, reader.sockets, strict=True) if b"@trade" in data}
    by_depth = {socket for (data, _), socket in zip(reader.frames, reader.sockets, strict=True) if b"@depth" in data}
    assert (by_trade, by_depth) == ({1}, {0})
    # up when both are up, down with each that is lost
    assert [up for up, _ in reader.connections] == [True, False, False, True, False, False]
    assert top(reader.book_before_end) == top(whole.book)


def test_a_name_that_is_subscribed_twice_and_streams_that_are_told_twice_are_refused(capture: Path) -> None:
    with pytest.raises(ConfigError, match="binance-coinm-btcusd_perp is subscribed twice"):
        feeds_of(wire_at((1, 2)), Reader(), Reader())

    async def open_twice() -> None:
        Exchange(COINM_BTC, Replay([capture]), [Listing(COINM_BTC, [capture], COINM_BTC)])

    with pytest.raises(ConfigError, match="has the streams of another symbol"):
        asyncio.run(open_twice())
