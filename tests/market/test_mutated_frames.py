"""Recorded frames of every venue, damaged at random: each is read or refused, and the decoder goes on."""

import json
import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.errors import MalformedMessage, OffGrid
from market.sources import decoder_for
from tests.builders_sessions import NOW, SESSIONS, frames_of

VENUES = ("bybit-linear-btcusdt", "okx-spot-btc_usdt", "coinbase-spot-btc_usd", "binance-usdm-sushiusdt")
NUMBER = re.compile(rb'-?\d+(?:\.\d+)?|"-?\d+(?:\.\d+)?"')
STRANGE = (b"-1", b'"-1"', b"null", b"[]", b"{}", b'"x"', b"1e999", b'"nan"', b"99999999999999999999", b"true", b'""')


@cache
def short_frames(name: str) -> list[bytes]:
    return [frame for frame in frames_of(SESSIONS[name].file)[:400] if len(frame) < 20_000]


@st.composite
def damaged(draw: st.DrawFn, frame: bytes) -> bytes:
    numbers = list(NUMBER.finditer(frame))  # a reply may hold none
    kind = draw(st.sampled_from(["truncated", "byte", *["number", "number"][: len(numbers)]]))
    if kind == "truncated":
        return frame[: draw(st.integers(0, len(frame) - 1))]
    if kind == "byte":
        place = draw(st.integers(0, len(frame) - 1))
        return frame[:place] + bytes([draw(st.integers(0, 255))]) + frame[place + 1 :]
    found = draw(st.sampled_from(numbers))
    return frame[: found.start()] + draw(st.sampled_from(STRANGE)) + frame[found.end() :]


@pytest.mark.parametrize("name", VENUES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_frame_is_read_or_refused_and_what_follows_is_read(name, data):
    frames = short_frames(name)
    place = data.draw(st.integers(0, len(frames) - 1))
    decoder, tape = decoder_for(SESSIONS[name].instrument), bytearray(b"kept")
    for frame in (data.draw(damaged(frames[place])), frames[place]):
        kept = bytes(tape)
        try:
            decoder.append(frame, NOW, tape)
        except (MalformedMessage, OffGrid):
            assert tape == kept
        assert tape[: len(kept)] == kept
        assert (len(tape) - 4) % 64 == 0
    fresh = decoder_for(SESSIONS[name].instrument)
    fresh.restore(json.loads(json.dumps(decoder.state())))
    assert fresh.state() == decoder.state()
    assert fresh.waiting == decoder.waiting
