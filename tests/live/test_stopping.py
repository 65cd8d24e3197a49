"""A request that comes or waits while the runner stops is told so in one line; what can still be answered is."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import StreamingResponse

from live.api import Access, api, stopping
from live.floor import Floor
from live.pages import served
from live.rollout import Rollout
from storage.bundle import MANIFEST
from storage.deployment import SIGNATURE_HEADER, pack, signature
from storage.promotions import PromotionLedger
from tests.builders_live import in_loop, until
from tests.builders_market import COINM_BTC
from tests.builders_runner import KEY, REGISTERED, approve, new_runner, quick_plan, write_band_bundle

ACCESS = Access(read_token="", deploy_token="deploy", swap_patience_s=60.0, kill_token="kill")
SAID = (503, {"detail": "the runner is stopping"})


class Stoppable:
    """A floor of one runner, its pages on a real socket, and a bundle that may be pushed to it."""

    def __init__(self, folder: Path) -> None:
        self.runner = new_runner(folder)
        self.floor = Floor([self.runner])
        ledger = PromotionLedger(folder / "promotions.jsonl")
        rollout = Rollout(quick_plan(), folder / "bundles", ledger, KEY, REGISTERED)
        self.app = api(self.floor, {COINM_BTC.name: rollout}, self.runner.meters, ACCESS)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.source = folder / "source"
        approve(ledger, write_band_bundle(self.source))

    async def deploy(self, client: httpx.AsyncClient) -> tuple[int, dict[str, Any]]:
        headers = {
            "Authorization": "Bearer deploy",
            SIGNATURE_HEADER: signature((self.source / MANIFEST).read_bytes(), KEY),
        }
        answer = await client.post(f"{self.url}/deploy", content=pack(self.source), headers=headers)
        return answer.status_code, answer.json() if "json" in answer.headers["content-type"] else {"text": answer.text}

    def refused(self) -> float:
        return self.runner.meters.value("refused_requests_total", reason="stopping")


@contextmanager
def held_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A bundle's check takes for ever; what is yielded is set once one has begun."""
    begun, over = threading.Event(), threading.Event()

    def accept(*_: object) -> None:
        begun.set()
        over.wait(60)

    monkeypatch.setattr(Rollout, "accept", accept)
    try:
        yield begun
    finally:
        over.set()


@in_loop
async def test_a_push_whose_bundle_is_being_checked_is_told_that_the_runner_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Stoppable(tmp_path)
    with held_up(monkeypatch) as begun:
        async with httpx.AsyncClient() as client:
            async with served(site.app, site.floor, site.listener):
                push = asyncio.create_task(site.deploy(client))
                await until(begun.is_set)
                site.floor.stop()
            assert await push == SAID
    assert site.refused() == 1
    site.runner.close()


@in_loop
async def test_a_push_that_waits_for_a_flat_desk_is_told_that_the_runner_stops(tmp_path: Path) -> None:
    site = Stoppable(tmp_path)
    async with httpx.AsyncClient() as client, served(site.app, site.floor, site.listener):
        push = asyncio.create_task(site.deploy(client))
        await until(lambda: bool(site.runner.swaps._waiting))
        site.floor.stop()
        assert await push == SAID
    assert site.runner.desks[0].bundle_sha == ""
    assert site.runner.meters.value("refused_bundles_total", reason="stopping") == 1
    site.runner.close()


@in_loop
async def test_a_push_that_comes_while_the_runner_stops_leaves_nothing_behind(tmp_path: Path) -> None:
    site = Stoppable(tmp_path)
    async with httpx.AsyncClient() as client, served(site.app, site.floor, site.listener):
        await until(lambda: site.listener.fileno() >= 0)
        site.floor.stop()
        assert await site.deploy(client) == SAID
    assert not (tmp_path / "bundles").exists()
    site.runner.close()


@in_loop
async def test_an_answer_that_has_begun_goes_on_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "GRACE_S", 0.05)
    site, begun = Stoppable(tmp_path), asyncio.Event()

    async def parts() -> AsyncIterator[str]:
        yield "first, "
        begun.set()
        await asyncio.sleep(0.3)
        yield "last"

    site.app.add_api_route("/slow", lambda: StreamingResponse(parts()))
    async with httpx.AsyncClient() as client, served(site.app, site.floor, site.listener):
        before = asyncio.create_task(client.get(f"{site.url}/slow"))
        await begun.wait()
        site.floor.stop()
        after = await client.get(f"{site.url}/slow")
        assert [(await before).text, after.text] == ["first, last"] * 2
    assert site.refused() == 0
    site.runner.close()


@in_loop
async def test_a_runner_that_stops_still_answers_what_it_can_and_can_be_killed(tmp_path: Path) -> None:
    site = Stoppable(tmp_path)
    async with httpx.AsyncClient() as client, served(site.app, site.floor, site.listener):
        site.floor.stop()
        assert (await client.get(f"{site.url}/status")).status_code == 200
        killed = await client.post(f"{site.url}/kill", headers={"Authorization": "Bearer kill"})
        assert killed.status_code == 200
    site.runner.close()
