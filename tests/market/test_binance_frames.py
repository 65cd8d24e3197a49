"""What the compiled reader makes of a socket's frames is what the decoder makes of them, whatever the bytes."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from market.errors import MalformedMessage, OffGrid
from market.sources.binance import MOST_BYTES
from market.sources.decoder import Decoder
from tests.builders_market import SPOT_BTC
from tests.market.test_importing import BYTES, SPOT, STAMP

from market.sources import decoder_for  # isort: skip


def appended(decoder: Decoder, frame: bytes, ts: int) -> bytes | str:
    """The events by the decoder's own way, or how it refuses."""
    tape = bytearray()
    try:
        decoder.append(frame, ts, tape)
    except (MalformedMessage, OffGrid) as error:
        return str(error)
    return bytes(tape)


def decoded(decoder: Decoder, frame: bytes, ts: int) -> bytes | str:
    """The same as the runner reads it."""
    try:
        return decoder.decode(frame, ts).tobytes()
    except (MalformedMessage, OffGrid) as error:
        return str(error)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 200), BYTES, st.booleans()), max_size=4))
@example([(2, 90, ord("\n"), True)])
def test_frames_are_read_as_the_decoder_reads_them_whatever_the_bytes(
    changes: list[tuple[int, int, int, bool]],
) -> None:
    frames = [bytearray(frame) for frame in SPOT]
    for number, place, byte, insert in changes:
        frame = frames[number]
        at = place % len(frame)
        frame[at : at + (not insert)] = bytes([byte])
    plain, compiled = decoder_for(SPOT_BTC), decoder_for(SPOT_BTC)
    for place, frame in enumerate([*map(bytes, frames), *SPOT]):
        assert decoded(compiled, frame, STAMP + place) == appended(plain, frame, STAMP + place)
    assert compiled.state() == plain.state()
    assert compiled.counts == plain.counts


def test_an_ordinary_frame_is_read_without_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = decoder_for(SPOT_BTC)
    decoder.decode(SPOT[0], STAMP)
    monkeypatch.setattr(decoder, "_rows", lambda *_: pytest.fail("read by the decoder"))
    sizes = [decoder.decode(frame, STAMP).size for frame in SPOT[1:4]]
    assert sizes == [2, 2, 1]
    assert decoder.counts["messages"] == 4


@pytest.mark.parametrize("spaces", [MOST_BYTES - 200, MOST_BYTES])
def test_a_frame_of_any_size_is_read(spaces: int) -> None:
    plain, compiled = decoder_for(SPOT_BTC), decoder_for(SPOT_BTC)
    frame = SPOT[2][:-1] + b" " * spaces + b"}"
    assert decoded(compiled, frame, STAMP) == appended(plain, frame, STAMP) != b""


def test_events_of_a_frame_stay_as_they_are_when_the_next_one_comes() -> None:
    decoder = decoder_for(SPOT_BTC)
    first = decoder.decode(SPOT[2], STAMP)
    kept = first.copy()
    decoder.decode(SPOT[3], STAMP + 1)
    assert np.array_equal(first, kept)
    assert first.flags.writeable
