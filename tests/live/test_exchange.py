"""The replay venue on real loopback sockets: what it streams, what it answers, and what stops it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from live.exchange import Opening, Replay, serve
from live.exchange_faults import Fault, parse_fault
from live.exchange_rest import exchange_info
from live.exchange_tape import Tape, stretch
from market.book import BEST_ASK, BEST_BID
from market.errors import ConfigError, CorruptFile, DataError, VenueError
from tests.builders_live import DEADLINE_S, Reader, in_loop, played, short_capture, until, venue
from tests.builders_market import COINM_BTC, SPOT_BTC, USDM_BTC

FIRST = 1_723_161_256_172_216_566  # stamp of the run's first frame
S = 1_000_000_000
SERVE = """
import sys
from pathlib import Path
from live.exchange import Opening, Replay, serve
from tests.builders_market import COINM_BTC
capture, ready = map(Path, sys.argv[1:])
serve(COINM_BTC, Replay([capture], start="last:1s", start_now=True), Opening(ready_file=ready))
"""


@pytest.fixture
def coinm(tmp_path: Path) -> Path:
    return short_capture(tmp_path, "binance-coinm-btcusd_perp", 4)


class Listener(WSListener):
    """Keeps the frames of a subscription."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.close_code: WSCloseCode | None = None
        self.up = True

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            self.close_code = frame.get_close_code()
            transport.disconnect()
        else:
            self.frames.append(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.up = False


async def subscribe(port: int, *streams: str) -> Listener:
    _, listener = await ws_connect(Listener, f"ws://127.0.0.1:{port}/stream?streams={'/'.join(streams)}")
    return listener


async def get(port: int, path: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=DEADLINE_S) as client:
        return await client.get(f"http://127.0.0.1:{port}{path}")


@in_loop
async def test_only_subscribed_streams_come_byte_for_byte_and_then_close_code_1000(coinm: Path) -> None:
    replay = Replay([coinm], speed=20.0)
    async with venue(replay) as exchange:
        names = ("btcusd_perp@bookTicker", "btcusd_perp@trade")
        listener = await subscribe(exchange.ports[0], *names)
        await until(lambda: not listener.up)

        sent = [frame.data for frame in played(replay, exchange.start_ns, exchange.end_ns) if frame.stream in names]
        assert len(sent) > 50
        assert listener.frames == sent
        assert listener.close_code is WSCloseCode.OK
        assert exchange.status()["frames_sent"] == len(sent)


@in_loop
async def test_nothing_comes_on_an_unknown_stream_and_another_path_is_not_found(coinm: Path) -> None:
    async with venue(Replay([coinm], speed=100.0)) as exchange:
        listener = await subscribe(exchange.ports[0], "dogeusdt@trade")
        await until(lambda: not listener.up)

        assert exchange.player.finished
        assert listener.frames == []
        assert (await get(exchange.ports[0], "/elsewhere")).status_code == 404


@in_loop
async def test_who_subscribes_after_the_end_is_told_so(coinm: Path) -> None:
    async with venue(Replay([coinm], speed=1_000.0, start_now=True)) as exchange:
        await until(lambda: exchange.player.finished)
        late = await subscribe(exchange.ports[0], "btcusd_perp@trade")
        await until(lambda: not late.up)

        assert late.close_code is WSCloseCode.OK


@in_loop
async def test_frames_leave_when_they_were_received(coinm: Path) -> None:
    replay = Replay([coinm], speed=4.0)
    async with venue(replay) as exchange:
        listener = await subscribe(exchange.ports[0], "btcusd_perp@depth@0ms")
        started = time.monotonic_ns()
        await until(lambda: not listener.up)

        tape_ns = exchange.end_ns - exchange.start_ns
        assert time.monotonic_ns() - started >= tape_ns / 4
        assert min(exchange.player.lateness_ns) >= 0


@in_loop
async def test_a_client_that_does_not_read_is_dropped_and_delays_nobody(
    coinm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("live.exchange_sockets.MOST_WAITING", 1_000_000)
    async with venue(Replay([coinm])) as exchange:
        quick = await subscribe(exchange.ports[0], "btcusd_perp@trade")
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            slow.connect(("127.0.0.1", exchange.ports[0]))
            slow.sendall(
                b"GET /stream?streams=btcusd_perp@trade HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            await until(lambda: len(exchange.clients) == 2)
            sent = [b"%d" % number * 500_000 for number in range(10, 60)]
            for message in sent:
                exchange.clients.send("btcusd_perp@trade", message)
                await until(lambda so_far=message: quick.frames[-1:] == [so_far])

            assert len(exchange.clients) == 1
            assert quick.frames == sent


@in_loop
async def test_the_snapshot_holds_the_book_at_this_instant_of_the_tape(coinm: Path) -> None:
    async with venue(Replay([coinm], start=str(FIRST + 2 * S))) as exchange:
        snapshot = (await get(exchange.ports[1], "/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000")).json()

    offline = Reader()
    for frame in Tape([coinm]).frames():
        if frame.ts < FIRST + 2 * S and ("depth" in frame.stream or not frame.stream):
            offline.on_frame(frame.data, frame.ts)
    newest = [json.loads(data)["data"] for data in offline.streamed()][-1]
    assert snapshot["lastUpdateId"] == newest["u"]
    assert (snapshot["E"], snapshot["T"]) == (newest["E"], newest["T"])
    assert (snapshot["symbol"], snapshot["pair"]) == ("BTCUSD_PERP", "BTCUSD")
    assert snapshot["bids"][0][0] == f"{offline.book[2][BEST_BID] * 0.1:.1f}"
    assert snapshot["asks"][0][0] == f"{offline.book[2][BEST_ASK] * 0.1:.1f}"
    assert 900 < len(snapshot["asks"]) <= len(snapshot["bids"]) == 1000
    assert [float(price) for price, _ in snapshot["bids"]] == sorted(
        (float(price) for price, _ in snapshot["bids"]), reverse=True
    )


@in_loop
async def test_a_snapshot_of_spot_has_no_time_and_eight_decimals(tmp_path: Path) -> None:
    capture = short_capture(tmp_path, "binance-spot-btcusdt", 3)
    async with venue(Replay([capture], start="last:1s"), SPOT_BTC) as exchange:
        snapshot = (await get(exchange.ports[1], "/api/v3/depth?symbol=BTCUSDT&limit=5")).json()

    assert set(snapshot) == {"lastUpdateId", "bids", "asks"}
    assert all(len(qty.partition(".")[2]) == 8 for _, qty in snapshot["bids"] + snapshot["asks"])


@in_loop
async def test_rest_refuses_as_binance_does(coinm: Path) -> None:
    async with venue(Replay([coinm], start="last:1s")) as exchange:
        answers = {
            query: await get(exchange.ports[1], f"/dapi/v1/depth?{query}")
            for query in ("symbol=DOGEUSDT&limit=5", "limit=5", "symbol=BTCUSD_PERP&limit=5000", "symbol=BTCUSD_PERP")
        }

    codes = [(answer.status_code, answer.json().get("code")) for answer in answers.values()]
    assert codes == [(400, -1121), (400, -1102), (400, -1130), (200, None)]
    assert answers["symbol=DOGEUSDT&limit=5"].json() == {"code": -1121, "msg": "Invalid symbol."}


@in_loop
async def test_there_is_no_snapshot_before_the_tape_has_shown_one(coinm: Path) -> None:
    async with venue(Replay([coinm])) as exchange:
        assert (await get(exchange.ports[1], "/dapi/v1/depth?symbol=BTCUSD_PERP")).status_code == 503


@in_loop
async def test_the_venue_tells_its_time_its_symbol_and_how_far_it_is(coinm: Path) -> None:
    async with venue(Replay([coinm], start="last:1s", speed=0.5)) as exchange:
        rest = exchange.ports[1]
        server_ms = (await get(rest, "/dapi/v1/time")).json()["serverTime"]
        symbol = (await get(rest, "/dapi/v1/exchangeInfo")).json()["symbols"][0]
        clock = (await get(rest, "/replay/clock")).json()
        status = (await get(rest, "/replay/status")).json()

    # the recorder's clock was 1.27 s behind the venue's
    assert 1_000 < server_ms - exchange.start_ns // 1_000_000 + 200 < 1_600
    assert (symbol["symbol"], symbol["contractSize"]) == ("BTCUSD_PERP", 100)
    assert [list(entry.values())[1] for entry in symbol["filters"]] == ["0.1", "1"]
    assert (clock["started"], clock["speed"], clock["recorded_ns"]) == (False, 0.5, exchange.start_ns)
    assert (status["frames_sent"], status["finished"], status["clients"]) == (0, False, 0)


@in_loop
async def test_an_occupied_port_is_one_clear_error_and_leaves_no_other_open(coinm: Path) -> None:
    async with venue(Replay([coinm])) as gone:
        free = gone.ports[0]
    async with venue(Replay([coinm])) as first:
        taken = first.ports[1]
        with pytest.raises(VenueError, match=f"cannot listen on 127.0.0.1:{taken}: Address already in use"):
            async with venue(Replay([coinm]), ports=(free, taken)):
                pass
        socket.create_server(("127.0.0.1", free)).close()


def test_serving_on_an_occupied_port_is_the_same_error(coinm: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(VenueError, match="Address already in use"):
        serve(COINM_BTC, Replay([coinm]), Opening((other.getsockname()[1], 0)))


def test_a_served_venue_writes_its_ready_file_and_leaves_on_sigterm(coinm: Path, tmp_path: Path) -> None:
    ready = tmp_path / "var" / "ready.json"
    with subprocess.Popen([sys.executable, "-c", SERVE, coinm, ready], cwd=Path(__file__).parents[2]) as process:
        try:
            asyncio.run(until(lambda: ready.exists() or process.poll() is not None))
            answer = json.loads(ready.read_text())
            assert answer["pid"] == process.pid != os.getpid()
            assert asyncio.run(get(answer["rest_port"], "/dapi/v1/ping")).json() == {}
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()


def test_the_stretch_is_read_as_iso_ns_or_seconds_from_the_end(coinm: Path) -> None:
    first, last = stretch([coinm], None, None)

    assert first == FIRST
    assert stretch([coinm], "2024-08-08T23:54:17.5", None) == (1_723_161_257_500_000_000, last)
    assert stretch([coinm], "2024-08-09T01:54:17+02:00", str(last - 5)) == (1_723_161_257_000_000_000, last - 5)
    assert stretch([coinm], None, "2100-01-01") == (first, last)
    assert stretch([coinm], "last:1.5s", None) == (last - 1_500_000_000 + 1, last)


@pytest.mark.parametrize("start", ["yesterday", "last:5", ""])
def test_an_instant_that_cannot_be_read_is_refused(coinm: Path, start: str) -> None:
    with pytest.raises(ConfigError, match="no ISO 8601 time"):
        stretch([coinm], start, None)


def test_a_stretch_without_frames_is_refused(coinm: Path) -> None:
    with pytest.raises(DataError, match="behind the end of what there is to play"):
        stretch([coinm], "2024-08-10", None)


def test_a_truncated_capture_is_refused_before_it_is_played(coinm: Path) -> None:
    coinm.write_bytes(coinm.read_bytes()[:-1_000])

    with pytest.raises(CorruptFile, match="short.gz"):
        stretch([coinm], None, None)


def test_bad_lines_are_counted_and_stamps_never_fall(tmp_path: Path) -> None:
    frame = b'{"stream":"btcusd_perp@trade","data":{}}'
    path = tmp_path / "bad.txt"
    lines = [(5, frame), (3, frame), (7, b'{"stream":')]
    path.write_bytes(b"".join(b"%019d %s\n" % line for line in lines) + b"no stamp\n")
    tape = Tape([path])

    assert [entry.ts for entry in tape.frames()] == [5, 5]
    assert tape.bad_lines == 2


def test_faults_are_read_from_text() -> None:
    assert parse_fault("disconnect:3") == Fault("disconnect", 3.0)
    assert parse_fault("stall:2.5:1") == Fault("stall", 2.5, 1.0)


@pytest.mark.parametrize("text", ["gap", "gap:x", "gap:-1", "gap:1:2", "stall:1", "flood:1", ""])
def test_a_fault_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="fault="):
        parse_fault(text)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_a_speed_that_no_clock_can_have_is_refused(coinm: Path, speed: float) -> None:
    with pytest.raises(ConfigError, match="speed="):
        Replay([coinm], speed=speed)


def test_linear_exchange_info_names_its_margin() -> None:
    symbol = exchange_info(USDM_BTC, 5)["symbols"][0]

    assert (symbol["symbol"], symbol["status"], symbol["marginAsset"]) == ("BTCUSDT", "TRADING", "USDT")
