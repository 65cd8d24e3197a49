"""Whatever bytes arrive, a decoder or parser reads them or refuses them in words of ours; the search is guided.

Kernels that numba compiled are entered and not traced; tests/market/test_mutated_frames.py damages frames for them too.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pytest

from config.loading import load_settings
from live.connectors.binance_dialect import BinanceDialect
from live.connectors.bybit_dialect import BybitDialect
from live.exchange_faults import parse_fault
from live.gateways.bybit import BybitClient
from live.gateways.client import VenueClient, on_grid
from live.gateways.spot import SpotClient
from market.errors import BundleError, ConfigError, DataError, JournalError, LakeError, VenueError
from market.instrument import Instrument
from market.journal_records import MAGIC, Record, encode, records
from market.sources import decoder_for
from market.sources.capture import split_line
from storage.deployment import NAMES, unpack
from storage.manifest import Place, load_manifest
from tests.builders_market import COINM_BTC
from tests.builders_mutation import ROOT, Guided
from tests.builders_runner import synthetic_frames
from tests.builders_sessions import BYBIT_BTC, COINBASE_BTC, NOW, OKX_BTC, SESSIONS, frames_of

TRIES: Final = 1_200
RECORDED: Final = {"bybit": BYBIT_BTC, "okx": OKX_BTC, "coinbase": COINBASE_BTC}
SOURCES: Final = sorted((ROOT / "market" / "sources").glob("*.py"))
FILL: Final = (
    b'{"topic":"execution.linear","data":[{"symbol":"BTCUSDT","orderLinkId":"tlabc-7","execType":"Trade","orderQty":"2",'
    b'"leavesQty":"1.5","execQty":"0.5","execPrice":"50000.1","execTime":"1723161600000","isMaker":true,'
    b'"orderId":"c1f2c4ad-33b0-4b3c-8ef0-5f3f5f0f5f0f","execId":"c1f2c4ad-33b0-4b3c-8ef0-5f3f5f0f5f10"}]}'
)
ORDER: Final = FILL.replace(b"execution.linear", b"order").replace(b'"orderQty"', b'"orderStatus":"New","cumExecQty"')
TOLD: Final = (
    b'{"e":"ORDER_TRADE_UPDATE","o":{"s":"BTCUSD_PERP","c":"tlabc-7","x":"NEW","X":"NEW","i":7,"z":"0","T":1}}'
)


def answered(read: Callable[[bytes], object], *refusals: type[Exception]) -> Callable[[bytes], None]:
    """Reads, or is refused by one of these errors in one line."""

    def tried(data: bytes) -> None:
        try:
            read(data)
        except refusals as refused:
            if "\n" in str(refused):
                raise AssertionError("a refusal of several lines") from refused

    return tried


def searched(
    read: Callable[[bytes], None], corpus: Sequence[bytes], *files: str | Path, seed: int, tries: int = TRIES
) -> int:
    """How many damaged inputs reached something new."""
    return Guided(read, corpus, [ROOT / file for file in files], seed).search(tries)


def decoding(instrument: Instrument, opening: Sequence[bytes] = ()) -> Callable[[bytes], None]:
    """Reads a frame after the opening ones; what is refused leaves no event behind, and the state stays JSON."""

    def read(frame: bytes) -> None:
        decoder, tape = decoder_for(instrument), bytearray()
        for one in opening:
            decoder.append(one, NOW, tape)
        kept = bytes(tape)
        try:
            decoder.append(frame, NOW, tape)
        except DataError:
            assert tape == kept
            raise
        finally:
            assert len(tape) % 64 == 0
            json.dumps(decoder.state())

    return answered(read, DataError)


def test_frames_of_the_simulator() -> None:
    frames = [frame for _, frame in synthetic_frames(4.0)]
    by_kind = {frame[:60].partition(b"@")[2][:6]: frame for frame in frames if len(frame) < 4_000}
    assert len(by_kind) >= 3
    assert searched(decoding(COINM_BTC, frames[:3]), list(by_kind.values()), *SOURCES, seed=1) > 5


@pytest.mark.parametrize("venue", RECORDED)
def test_frames_of_a_recorded_venue(venue: str) -> None:
    instrument = RECORDED[venue]
    frames = [frame for frame in frames_of(SESSIONS[instrument.name].file)[:300] if len(frame) < 3_000]
    by_shape = {(frame[:40], len(frame) // 200): frame for frame in frames}
    assert searched(decoding(instrument), list(by_shape.values())[:12], *SOURCES, seed=2) > 0


def test_lines_of_captures() -> None:
    def read(line: bytes) -> None:
        ts, frame = split_line(line)
        assert 0 <= ts < 2**63
        assert frame

    corpus = [b'1680652700423575 {"a":1}', b'1680652700423575123 {"a":1}']
    assert searched(answered(read, DataError), corpus, "market/sources/capture.py", seed=3) > 0


def test_answers_of_venues_to_our_requests() -> None:
    for dialect in (BinanceDialect(COINM_BTC), BybitDialect(BYBIT_BTC)):

        def read(message: bytes, dialect: BinanceDialect | BybitDialect = dialect) -> None:
            dialect.route(message)
            dialect.answer(message)

        corpus = [b'{"id":1,"result":null}', b'{"success":true,"req_id":"2","op":"subscribe","topic":"x.y"}']
        searched(read, corpus, "live/connectors/binance_dialect.py", "live/connectors/bybit_dialect.py", seed=4)
        assert dialect.answer(b'{"id":"\xff","req_id":"\xff"}') is None


@pytest.mark.parametrize(
    ("kind", "corpus"), [(BybitClient, [FILL, ORDER]), (VenueClient, [TOLD]), (SpotClient, [TOLD])]
)
def test_messages_of_an_account(kind: type[VenueClient], corpus: list[bytes]) -> None:
    """What the account's stream catches is all that its decoder raises."""
    client = kind.__new__(kind)  # without a connection; reading needs none
    assert client.read(corpus[0])
    files = [f"live/gateways/{name}.py" for name in ("bybit", "client", "spot", "news")]
    searched(answered(client.read, ValueError, ArithmeticError), corpus, *files, seed=5)


@pytest.mark.parametrize("text", ["x", "NaN", "Infinity", "-Infinity", "", "0.05"])
def test_a_quantity_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(VenueError):
        on_grid(text, 0.1)


def test_segments_of_journals() -> None:
    whole = MAGIC + b"".join(encode(Record(kind, 0, NOW + kind, b'{"x":1}' * kind)) for kind in range(7))

    def read(data: bytes) -> None:
        for newest in (True, False):
            assert len(list(records("segment", data, newest))) < 1_000

    assert searched(answered(read, JournalError), [whole, MAGIC], "market/journal_records.py", seed=6) > 0


def test_pushed_bundles() -> None:
    def read(body: bytes) -> None:
        assert sorted(unpack(body)) == sorted(NAMES)

    whole = msgspec.msgpack.encode({name: name.encode() for name in NAMES})
    assert searched(answered(read, BundleError), [whole], "storage/deployment.py", seed=7) > 0


def test_manifests_of_the_lake() -> None:
    place = Place("events", "coin", "2024-08-08")
    whole = b'{"schema_version":2,"dataset":"events","symbol":"coin","date":"2024-08-08","rows":1,"metadata":{"a":"b"}}'
    read = answered(lambda data: load_manifest(data, place), LakeError)
    assert searched(read, [whole], "storage/manifest.py", seed=8) > 0
    read(b'{"dataset":"\xff"}')


def test_settings(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"

    def read(text: bytes) -> None:
        own.write_bytes(text)
        load_settings(path=own)

    corpus = [b"extends: dev\nfeatures: {row_interval_ms: 50}\n", b"extends: own.yaml\n", b"a: &x [1]\nb: *x\n"]
    assert searched(answered(read, ConfigError), corpus, "config/loading.py", "config/typed.py", seed=9, tries=120) > 0


def test_faults_of_the_command_line() -> None:
    read = answered(lambda text: parse_fault(text.decode("latin-1")), ConfigError)
    searched(read, [b"gap:3", b"burst:#5:2", b"slow:1.5:3"], "live/exchange_faults.py", seed=10)


def deep(data: bytes) -> None:
    """Fails behind three comparisons, each of which only the right byte passes."""
    if data[:1] != b"g":
        return
    if data[1:2] != b"u":
        return
    if data[2:3] != b"i":
        return
    raise AssertionError("reached")


def test_the_search_finds_a_fault_that_blind_damage_does_not() -> None:
    far = b"fth"  # a bit away at each place
    with pytest.raises(AssertionError, match="reached") as caught:
        Guided(deep, [far], [Path(__file__)], seed=11).search(20_000)
    assert any("the input was b'gui" in note for note in caught.value.__notes__)
    Guided(deep, [far], [], seed=11).search(20_000)  # nothing is kept: all three bits would have to fall at once
