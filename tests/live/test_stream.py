"""The stream over real sockets: who is let in, what comes how often, and that a client who takes nothing is dropped."""

import asyncio
import json
import socket
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from live.api import Access, stream
from live.api.access import LARGEST_REQUEST
from live.pages import page_server
from tests.builders_live import DEADLINE_S, in_loop, until
from tests.builders_site import OPEN, Desktop, faults, looking_at


@asynccontextmanager
async def listening(folder: Path, access: Access = OPEN) -> AsyncIterator[tuple[Desktop, str]]:
    """A floor whose pages are served on a free port, as the process serves them."""
    site = Desktop(folder, access)
    listener = socket.create_server(("127.0.0.1", 0))
    server: uvicorn.Server = page_server(site.app)
    async with looking_at(site):
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started)
        try:
            yield site, f"ws://127.0.0.1:{listener.getsockname()[1]}/stream"
        finally:
            server.should_exit = True
            await serving


async def pulse(client: ClientConnection) -> dict[str, Any]:
    """The next message."""
    told: dict[str, Any] = json.loads(await asyncio.wait_for(client.recv(), DEADLINE_S))
    return told


async def refusal(client: ClientConnection) -> tuple[int, str]:
    """Code and line that the stream is closed with."""
    await asyncio.wait_for(client.wait_closed(), DEADLINE_S)
    return client.close_code or 0, client.close_reason or ""


@in_loop
async def test_pulses_come_in_order_and_hold_what_openapi_promises(tmp_path: Path) -> None:
    async with listening(tmp_path) as (site, url), connect(url) as client:
        await client.send(json.dumps({"symbol": site.symbol, "hz": 10}))
        told = [await pulse(client) for _ in range(4)]
        assert [one["sequence"] for one in told] == [1, 2, 3, 4]
        assert told[-1]["view"]["row_ts"] > told[0]["view"]["row_ts"]
        whole = site.app.openapi()
        view = {"$ref": "#/components/schemas/SymbolView"}
        assert [fault for one in told for fault in faults(one["view"], view, whole)] == []
        assert [line["symbol"] for line in told[0]["symbols"]] == [site.symbol]


@in_loop
async def test_without_a_symbol_only_the_list_is_told_until_one_is_asked_for(tmp_path: Path) -> None:
    async with listening(tmp_path) as (site, url), connect(url) as client:
        await client.send("{}")
        assert (await pulse(client))["view"] is None
        await client.send(json.dumps({"symbol": site.symbol}))
        while (told := await pulse(client))["view"] is None:
            continue
        assert told["view"]["symbol"] == site.symbol


@pytest.mark.parametrize(
    ("first", "reason", "line"),
    [
        ('{"token": "guess"}', "token", "wrong or missing token"),
        ("{}", "token", "wrong or missing token"),
        ('{"token": "read", "symbol": "nothing"}', "symbol", "no symbol 'nothing'"),
        ("no json", "malformed", "no wish of the stream"),
        ('{"token": "read", "more": 1}', "malformed", "no wish of the stream"),
        (b"\x00", "malformed", "it is not text"),
    ],
)
@in_loop
async def test_a_client_that_asks_wrongly_is_sent_away_with_one_line(
    tmp_path: Path, first: str | bytes, reason: str, line: str
) -> None:
    async with listening(tmp_path, OPEN._replace(read_token="read")) as (site, url), connect(url) as client:
        await client.send(first)
        code, told = await refusal(client)
        assert (code, site.refused(reason)) == (1008, 1)
        assert line in told


@in_loop
async def test_the_read_token_lets_in_and_never_in_the_address(tmp_path: Path) -> None:
    async with listening(tmp_path, OPEN._replace(read_token="read")) as (_, url):
        async with connect(url) as client:
            await client.send('{"token": "read"}')
            assert (await pulse(client))["sequence"] == 1
        async with connect(f"{url}?token=read") as client:
            await client.send("{}")
            assert (await refusal(client))[0] == 1008


@in_loop
async def test_a_socket_of_another_page_or_host_is_not_opened(tmp_path: Path) -> None:
    async with listening(tmp_path) as (site, url):
        for headers, reason in (({"Origin": "http://evil.example"}, "origin"), ({"Host": "evil.example"}, "host")):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(url, additional_headers=headers):
                    pass
            assert refused.value.response.status_code == 403
            assert site.refused(reason) == 1
        async with connect(url, additional_headers={"Origin": "http://localhost:1"}) as client:
            await client.send("{}")
            assert (await pulse(client))["sequence"] == 1


@in_loop
async def test_a_client_who_says_nothing_or_too_much_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HELLO_S", 0.05)
    async with listening(tmp_path) as (site, url):
        async with connect(url) as silent:
            assert (await refusal(silent))[0] == 1008
            assert site.refused("silent") == 1
        monkeypatch.setattr(stream, "HELLO_S", 30.0)
        async with connect(url) as loud:
            await loud.send("x" * (LARGEST_REQUEST + 1))
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(loud.recv(), DEADLINE_S)


@in_loop
async def test_no_more_clients_than_the_loop_can_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_CLIENTS", 1)
    async with listening(tmp_path) as (site, url), connect(url) as first:
        await first.send("{}")
        await pulse(first)
        async with connect(url) as second:
            await second.send("{}")
            assert (await refusal(second))[0] == 1013
        assert site.refused("clients") == 1
        assert (await pulse(first))["sequence"] > 1


@in_loop
async def test_who_has_not_said_who_they_are_takes_no_client_s_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MOST_CLIENTS", 1)
    monkeypatch.setattr(stream, "MOST_STRANGERS", 3)
    monkeypatch.setattr(stream, "HELLO_S", 600.0)
    async with listening(tmp_path) as (site, url), connect(url), connect(url), connect(url) as first:
        await first.send("{}")
        await pulse(first)
        async with connect(url), connect(url) as crowd:
            assert await refusal(crowd) == (1013, "3 clients wait to be let in already")
        assert site.refused("clients") == 1
        assert (await pulse(first))["sequence"] > 1


@in_loop
async def test_a_client_who_takes_nothing_is_dropped_and_rows_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "TAKE_S", 0.2)
    monkeypatch.setattr(stream, "FASTEST_HZ", 10_000.0)
    async with listening(tmp_path) as (site, url), connect(url, max_queue=1) as slow:
        await slow.send(json.dumps({"symbol": site.symbol, "hz": 10_000}))
        slow.transport.pause_reading()
        row_ts = site.runner.next_row_ts
        await until(lambda: site.refused("slow") == 1)
        assert site.runner.next_row_ts > row_ts
        async with connect(url) as quick:
            await quick.send("{}")
            assert (await pulse(quick))["sequence"] == 1


WORD = st.sampled_from(["token", "symbol", "hz", "more", "read", "", "\ud7ff", "x" * 5_000])
VALUE = st.none() | st.booleans() | st.floats() | st.integers(-(2**70), 2**70) | WORD | st.lists(WORD, max_size=2)
FRAMES = (
    st.dictionaries(WORD, VALUE, max_size=4).map(json.dumps)
    | st.text(string.printable + "é\u0000", max_size=40)
    | st.binary(max_size=40)
    | st.sampled_from(['{"hz": 1e999}', '{"hz": -1}', '{"symbol": null}', "[" * 2_000, '{"hz": NaN}', b"\xff{}"])
)


@in_loop
async def test_whatever_a_client_says_first_or_later_ends_in_words_of_ours_or_a_pulse(tmp_path: Path) -> None:
    """100 clients, 1 to 3 frames each; the last finds the stream as the first did."""
    drawn: list[list[str | bytes]] = []

    @settings(max_examples=100, database=None, derandomize=True, phases=[Phase.generate])
    @given(frames=st.lists(FRAMES, min_size=1, max_size=3))
    def draw(frames: list[str | bytes]) -> None:
        drawn.append(frames)

    draw()
    ended = []
    async with listening(tmp_path) as (site, url):
        for frames in [*drawn, ["{}"]]:
            async with connect(url) as client:
                ended.append(await outcome(client, frames))
        assert ended[-1] == "pulse"
        assert {"pulse", "1008"} <= set(ended) <= {"pulse", "1007", "1008", "1009"}, set(ended)
        assert site.refused("malformed") >= 10
        assert site.refused("clients") == 0


async def outcome(client: ClientConnection, frames: list[str | bytes]) -> str:
    """``pulse`` where the stream goes on after these frames, else the code that it was closed with, one line said."""
    try:
        for frame in frames:
            await client.send(frame)
        assert (await pulse(client))["sequence"] == 1
    except ConnectionClosed:
        code, told = await refusal(client)
        assert "\n" not in told
        return str(code)
    return "pulse"
