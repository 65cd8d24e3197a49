"""The way in: messages a client's CPU second can take and decode, beside websockets with orjson, and loss under load.

A replay venue in a process of its own plays real captures over loopback; each client is a process, and its CPU is
counted from its first message to its last. Both clients decode to the same rows, which is checked on the tape first.
Venue and clients start from nothing: a forked client pays for every page that it shares with its parent.
"""

import asyncio
import gc
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
import numpy as np

from benchmarks.harness import Figure, peer_module, print_figures
from benchmarks.peer_wire import PeerDecoder
from config.connectors import SocketSettings, VenueSettings, Wire
from config.loading import load_settings
from live.clock import replay_clock
from live.connectors.binance_api import DEPTH_LIMIT, stream_names
from live.connectors.connect import connect
from live.connectors.line import Stamps
from live.exchange import Opening, Replay, serve
from live.exchange_reels import Listing
from live.exchange_tape import Tape, TapeFrame, stretch
from live.feed import Subscription
from market.instrument import Instrument
from market.kernel_cache import use_kernel_cache
from market.reader import FrameReader
from market.sources import decoder_for
from market.sources.decoder import Decoder
from storage.recordings import local_recording

SYMBOL: Final = "binance-usdm-btcusdt"
RECORDING: Final = "binance/usdm/btcusdt_20240808.gz"
SKIPPED_S: Final = 2  # of the tape: its book is whole then
SYMBOLS: Final = 32
ROUNDS: Final = 5  # pairs of runs, one of each client
LEAD_S: Final = 1.5  # of our time, for a client to subscribe
PATIENCE_S: Final = 60.0
FRESH: Final = multiprocessing.get_context("spawn")
S: Final = 1_000_000_000  # ns


def main() -> None:
    """Measure and print."""
    require_same_rows()
    rates: dict[str, list[float]] = {client: [] for client in CLIENTS}
    for _ in range(ROUNDS):
        for client in CLIENTS:
            played = play(client, speed=100.0, span_s=200.0)
            rates[client].append(played["messages"] / played["cpu_s"] / 1e3)
    ours, peer = rates.values()
    print(f"ratios of the {ROUNDS} pairs: {', '.join(f'{a / b:.2f}' for a, b in zip(ours, peer, strict=True))}")
    figures = [
        Figure("messages taken and decoded; websockets + orjson", median(ours), median(peer), "k/CPU s", ">= 2x")
    ]
    for name, speed, span_s, symbols in (
        ("USD-M BTC at 1x", 1.0, 25.0, 1),
        ("USD-M BTC at 20x", 20.0, 160.0, 1),
        ("USD-M BTC at 100x", 100.0, 300.0, 1),
        (f"{SYMBOLS} symbols at 1x", 1.0, 12.0, SYMBOLS),
    ):
        played = play("ours", speed, span_s, symbols)
        figures += [
            Figure(f"lost by sequence, {name}, of {played['sent']:,}", played["lost"], None, "messages", "<= 0"),
            Figure(f"added lag p50, {name}", played["lag_p50_ms"], None, "ms"),
            Figure(f"added lag p95, {name}", played["lag_p95_ms"], None, "ms", "< 5" if speed == 1.0 else None),
            Figure(f"client's CPU, {name}", 100 * played["cpu_s"] / played["wall_s"], None, "% of a core"),
        ]
        if speed == 1.0:  # a faster tape compresses the delays that were recorded
            figures.append(Figure(f"ingest_lag_ms p95, {name}", played["ingest_lag_p95_ms"], None, "ms", "< 300"))
    print_figures(figures)


def require_same_rows() -> None:
    """Raises SystemExit unless both clients decode the beginning of the tape to the same bytes."""
    instrument, orjson = usdm(), peer_module("orjson")
    decoder, peer, tape = decoder_for(instrument), PeerDecoder(instrument, orjson.loads), bytearray()
    for place, frame in enumerate(Tape([local_recording(RECORDING)]).frames()):
        tape += decoder.decode(frame.data, frame.ts).tobytes()
        peer.take(frame.data, frame.ts)
        if place == 20_000:
            break
    if bytes(tape) != peer.words.tobytes():
        raise SystemExit("the peer's rows differ from ours: the comparison is void")


def play(client: str, speed: float, span_s: float, symbols: int = 1) -> dict[str, Any]:
    """What a client measured while a venue played a stretch of the tape to it."""
    with venue(speed, span_s, symbols) as ports:
        measured = measured_by(client, ports, symbols)
        status = httpx.get(f"http://127.0.0.1:{ports[1]}/replay/status").json()
    measured["sent"] = status["frames_sent"]
    measured["lost"] = status["frames_sent"] - measured["messages"] + measured["gaps"]
    return measured


def measured_by(client: str, ports: tuple[int, int], symbols: int) -> dict[str, Any]:
    """What a client in a process of its own measured. Raises SystemExit if it says nothing in time."""
    answer, told = FRESH.Pipe(duplex=False)
    process = FRESH.Process(target=run_client, args=(told, client, *ports, symbols))
    process.start()
    told.close()
    try:
        if not answer.poll(PATIENCE_S):
            raise SystemExit(f"client {client} has said nothing for {PATIENCE_S:g} s")
        measured: dict[str, Any] = answer.recv()
        return measured
    except EOFError:
        raise SystemExit(f"client {client} failed") from None
    finally:
        process.terminate()
        process.join()


def run_client(told: Connection, client: str, ws_port: int, rest_port: int, symbols: int) -> None:
    """Measure as the live loop runs, without garbage collection, and tell."""
    use_kernel_cache()
    gc.disable()
    told.send(asyncio.run(CLIENTS[client](ws_port, rest_port, symbols)))


@contextmanager
def venue(speed: float, span_s: float, symbols: int) -> Iterator[tuple[int, int]]:
    """The ports of a venue in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready"
        process = FRESH.Process(target=run_venue, args=(speed, span_s, symbols, ready))
        process.start()
        try:
            while not ready.exists():
                if not process.is_alive():
                    raise SystemExit("the venue did not come up")
                time.sleep(0.02)
            ports = json.loads(ready.read_text())
            yield ports["ws_port"], ports["rest_port"]
        finally:
            process.terminate()
            process.join()


def run_venue(speed: float, span_s: float, symbols: int, ready: Path) -> None:
    """Serve the tape until terminated, as itself and under other names."""
    use_kernel_cache()
    files, own = [local_recording(RECORDING)], usdm()
    first, _ = stretch(files, None, None)
    start = first + SKIPPED_S * S
    replay = Replay(files, str(start), str(start + round(span_s * S)), speed, lead_s=LEAD_S)
    more = [Listing(clone(number), files, own) for number in range(1, symbols)]
    serve(own, replay, Opening(ready_file=ready), more)


class Taker:
    """Decodes the frames of one symbol, and remembers when they came."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.decoder: Decoder = decoder_for(instrument)
        self.stamps: list[int] = []  # of frames that came by the socket

    def on_frame(self, frame: bytes, ingest_ts: int, connection: int = 0) -> None:
        """Decode."""
        if frame.startswith(b'{"stream"'):
            self.stamps.append(ingest_ts)
        self.decoder.decode(frame, ingest_ts)

    def on_connection(self, up: bool, ts: int) -> None:
        """The end of the tape is no loss."""


async def run_ours(ws_port: int, rest_port: int, symbols: int) -> dict[str, Any]:
    """Take all symbols by our connectors."""
    sockets = (SocketSettings(f"ws://127.0.0.1:{ws_port}", ()),)
    settings = replace(load_settings("dev").connectors, venues={})
    wire = Wire(settings, VenueSettings(f"http://127.0.0.1:{rest_port}", sockets))
    takers = [Taker(clone(number)) for number in range(symbols)]
    subscriptions = [Subscription(taker.instrument, lambda taker=taker: taker.decoder.waiting) for taker in takers]
    warm(takers[0].instrument)
    clock = await replay_clock(f"http://127.0.0.1:{rest_port}", 10.0)
    assert clock
    feeds = connect(subscriptions, wire, np.random.default_rng(1), until_end=True)
    begun = asyncio.create_task(first_frame(takers))
    runs = [feeds[taker.instrument.name].run(taker.on_frame, taker.on_connection, clock) for taker in takers]
    await asyncio.gather(*runs)
    cpu_s, wall_s = (
        now - then for now, then in zip((time.process_time(), time.monotonic()), begun.result(), strict=True)
    )
    recorded = recorded_stamps(len(takers[0].stamps))
    lags = np.concatenate([np.array(taker.stamps) - recorded for taker in takers]) / clock.speed / 1e6
    return {
        "messages": sum(len(taker.stamps) for taker in takers),
        "gaps": sum(taker.decoder.counts["gaps"] for taker in takers),
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "lag_p50_ms": float(np.percentile(lags, 50)),
        "lag_p95_ms": float(np.percentile(lags, 95)),
        "ingest_lag_p95_ms": ingest_lag_p95_ms(takers[0]),
    }


def ingest_lag_p95_ms(taker: Taker) -> float:
    """What a runner would have exported as ``ingest_lag_ms`` of the messages, stamped as the client stamped them."""
    reader = FrameReader(taker.instrument, load_settings("dev").clock)
    pairs = zip(recorded_frames(), taker.stamps, strict=False)  # as many as came
    lags = [reader.read(frame.data, ingest_ts)["delay_ns"][-1:] for frame, ingest_ts in pairs]
    return float(np.percentile(np.concatenate(lags), 95) / 1e6)


async def first_frame(takers: list[Taker]) -> tuple[float, float]:
    """CPU and wall seconds when the first message has come."""
    while not any(taker.stamps for taker in takers):
        await asyncio.sleep(0.001)
    return time.process_time(), time.monotonic()


async def run_peer(ws_port: int, rest_port: int, symbols: int) -> dict[str, Any]:
    """Take one symbol by websockets and orjson."""
    from websockets.asyncio.client import connect as connect_peer

    decoder, messages, begun = PeerDecoder(usdm(), peer_module("orjson").loads), 0, 0.0
    clock = await replay_clock(f"http://127.0.0.1:{rest_port}", 10.0)
    assert clock
    stamps, asking = Stamps(clock), asyncio.Event()
    url = f"ws://127.0.0.1:{ws_port}/stream?streams={'/'.join(stream_names(usdm()))}"
    async with connect_peer(url, max_size=None, compression=None) as socket:
        snapshot = asyncio.create_task(bring_book(rest_port, asking, decoder, stamps))
        async for message in socket:
            begun = begun or time.process_time()
            messages += 1
            decoder.take(message, stamps.now())
            asking.set()
        await snapshot
    return {"messages": messages, "gaps": decoder.gaps, "cpu_s": time.process_time() - begun}


async def bring_book(rest_port: int, asking: asyncio.Event, decoder: PeerDecoder, stamps: Stamps) -> None:
    """Ask for the book once the first message has come."""
    async with httpx.AsyncClient() as rest:
        await asking.wait()
        query: dict[str, str | int] = {"symbol": "BTCUSDT", "limit": DEPTH_LIMIT}
        answer = await rest.get(f"http://127.0.0.1:{rest_port}/fapi/v1/depth", params=query)
        decoder.take(answer.content, stamps.now())


def warm(instrument: Instrument) -> None:
    """Compile what the decoder needs before a message waits for it."""
    decoder = decoder_for(instrument)
    for place, frame in enumerate(Tape([local_recording(RECORDING)]).frames()):
        decoder.decode(frame.data, frame.ts)
        if place == 2_000:
            return


def recorded_stamps(count: int) -> np.ndarray:
    """When the venue was to send the first messages of the stretch, ns UTC on the tape."""
    return np.fromiter((frame.ts for frame in islice(recorded_frames(), count)), np.int64)


def recorded_frames() -> Iterator[TapeFrame]:
    """The frames of the stretch that go over the socket."""
    files = [local_recording(RECORDING)]
    start = stretch(files, None, None)[0] + SKIPPED_S * S
    return (frame for frame in Tape(files).frames() if frame.ts >= start and frame.stream)


def usdm() -> Instrument:
    """The symbol of the tape."""
    return load_settings("dev").instrument(SYMBOL)


def clone(number: int) -> Instrument:
    """The symbol of the tape under another name; 0 is itself."""
    own = usdm()
    return own if number == 0 else replace(own, name=f"{own.name}{number}", venue_symbol=f"{own.venue_symbol}{number}")


CLIENTS: Final = {"ours": run_ours, "peer": run_peer}

if __name__ == "__main__":
    use_kernel_cache()
    main()
