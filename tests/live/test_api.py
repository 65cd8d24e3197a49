"""The runner's pages: who is let in, what they say, and that a refused bundle changes nothing."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest

from live.api import Access, api
from live.api import rollout as api_rollout
from live.api.access import bears, same
from live.floor import Floor
from live.rollout import Rollout
from live.runner import Runner
from storage.bundle import FILES, MANIFEST
from storage.deployment import SIGNATURE_HEADER, pack, signature
from storage.promotions import PromotionLedger
from tests.builders_live import in_loop
from tests.builders_market import COINM_BTC
from tests.builders_runner import (
    KEY,
    REGISTERED,
    approve,
    new_runner,
    quick_plan,
    write_band_bundle,
)
from tests.builders_site import looking_at

ACCESS = Access(read_token="", deploy_token="deploy", swap_patience_s=5.0)


class Site:
    """A runner on a tape, its pages, and a client of theirs."""

    def __init__(self, folder: Path, access: Access = ACCESS, rollout: bool = True) -> None:
        self.folder = folder
        self.runner = new_runner(folder)
        self.ledger = PromotionLedger(folder / "promotions.jsonl")
        taken = (
            {COINM_BTC.name: Rollout(quick_plan(), folder / "bundles", self.ledger, KEY, REGISTERED)} if rollout else {}
        )
        transport = httpx.ASGITransport(api(Floor([self.runner]), taken, self.runner.meters, access))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")

    async def deploy(
        self, source: Path, token: str = "deploy", claimed: str | None = None, role: str = "champion"
    ) -> httpx.Response:
        manifest = (source / MANIFEST).read_bytes()
        headers = {"Authorization": f"Bearer {token}", SIGNATURE_HEADER: claimed or signature(manifest, KEY)}
        return await self.client.post(f"/deploy/{role}", content=pack(source), headers=headers)

    def refusals(self, reason: str) -> float:
        return self.runner.meters.value("refused_bundles_total", reason=reason)

    def shas(self) -> list[str]:
        return [path.name for path in (self.folder / "bundles").glob("*")]


def test_a_part_of_a_token_is_no_token() -> None:
    token = "a-whole-token"
    assert bears(f"Bearer {token}", token)
    assert same(token, token)
    for given in (*(token[:size] for size in range(len(token))), f"{token}x", f" {token}", token.upper()):
        assert not same(given, token)
        assert not bears(f"Bearer {given}", token)
    assert not bears(token, token)


def trading(site: Site) -> AbstractAsyncContextManager[Runner]:
    """Rows go on closing in the background, as they do in a runner."""
    return looking_at(site, 200)


@in_loop
async def test_an_approved_bundle_is_swapped_in_and_its_sha_answered(tmp_path: Path) -> None:
    site = Site(tmp_path)
    sha = write_band_bundle(tmp_path / "source")
    approve(site.ledger, sha)
    async with trading(site) as runner:
        answer = await site.deploy(tmp_path / "source")
        assert (answer.status_code, answer.json()["running_sha"]) == (200, sha)
        assert (await site.client.get("/status")).json()["symbols"][0]["desks"][0]["bundle_sha"] == sha
        assert runner.meters.value("deployments_total", role="champion") == 1
        assert site.shas() == [sha]


@in_loop
async def test_the_model_in_force_goes_on_whatever_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path)
    sha = write_band_bundle(tmp_path / "source")
    approve(site.ledger, sha)
    unapproved, other = tmp_path / "unapproved", tmp_path / "other"
    write_band_bundle(unapproved, conviction=0.6)
    approve(site.ledger, write_band_bundle(other, catalogue_sha="f" * 64))
    torn = tmp_path / "torn"
    approve(site.ledger, write_band_bundle(torn, conviction=0.7))
    (torn / FILES[0]).write_bytes(b"torn")
    async with trading(site) as runner:
        assert (await site.deploy(tmp_path / "source")).status_code == 200
        refused = {
            "unapproved": (await site.deploy(unapproved), 409),
            "catalogue": (await site.deploy(other), 409),
            "corrupt": (await site.deploy(torn), 409),
            "signature": (await site.deploy(tmp_path / "source", claimed="0" * 64), 409),
            "token": (await site.deploy(tmp_path / "source", token="guess"), 401),
            "malformed": (
                await site.client.post("/deploy", content=b"no bundle", headers={"Authorization": "Bearer deploy"}),
                409,
            ),
        }
        monkeypatch.setattr(api_rollout, "LARGEST_BODY", 1_000)
        refused["size"] = (await site.deploy(tmp_path / "source"), 413)
        for reason, (answer, status) in refused.items():
            assert (reason, answer.status_code) == (reason, status)
            assert "\n" not in answer.json()["detail"]
            assert (reason, site.refusals(reason)) == (reason, 1)
        assert runner.desks[0].bundle_sha == sha
        assert site.shas() == [sha]
        assert runner.meters.value("deployments_total", role="champion") == 1


@in_loop
async def test_a_bundle_whose_desk_is_not_flat_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path, ACCESS._replace(swap_patience_s=0.05))
    approve(site.ledger, write_band_bundle(tmp_path / "source"))
    async with trading(site) as runner:
        runner.desks[0].session.account[1][0] = 3
        answer = await site.deploy(tmp_path / "source")
        assert answer.status_code == 409
        assert answer.json()["detail"] == "no row found the desk flat within 0.05 s; it holds 3 lots"
        assert site.refusals("not swapped") == 1
        assert runner.desks[0].bundle_sha == ""


@in_loop
async def test_bundles_are_checked_one_at_a_time(tmp_path: Path) -> None:
    site = Site(tmp_path)
    approve(site.ledger, write_band_bundle(tmp_path / "source"))
    async with trading(site):
        answers = await asyncio.gather(*(site.deploy(tmp_path / "source") for _ in range(3)))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
        assert site.refusals("busy") == 2


@pytest.mark.parametrize(
    ("access", "rollout"), [(ACCESS._replace(deploy_token=""), True), (ACCESS, False)], ids=["no token", "no key"]
)
@in_loop
async def test_a_runner_without_token_or_key_takes_no_bundles(tmp_path: Path, access: Access, rollout: bool) -> None:
    site = Site(tmp_path, access, rollout)
    approve(site.ledger, write_band_bundle(tmp_path / "source"))
    async with trading(site):
        for token in ("", "deploy"):
            assert (await site.deploy(tmp_path / "source", token=token)).status_code == 403
        assert site.refusals("closed") == 2
        assert site.shas() == []


@in_loop
async def test_the_status_needs_the_read_token_where_there_is_one(tmp_path: Path) -> None:
    site = Site(tmp_path, ACCESS._replace(read_token="read"))
    async with trading(site):
        for headers in (
            {},
            {"Authorization": "Bearer deploy"},
            {"Authorization": "read"},
            {"Authorization": "Bearer é"},
        ):
            raw = {name: value.encode() for name, value in headers.items()}
            assert (await site.client.get("/status", headers=raw)).status_code == 401
        assert (await site.client.get("/status?token=read")).status_code == 401
        answer = await site.client.get("/status", headers={"Authorization": "Bearer read"})
        assert answer.status_code == 200
        assert [desk["name"] for desk in answer.json()["symbols"][0]["desks"]] == ["model", "probe"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "["}, 421),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://evil.example//localhost"}, 403),
        ({"Origin": "http://localhost@evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
@in_loop
async def test_only_local_pages_are_answered(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    site = Site(tmp_path)
    async with trading(site):
        assert (await site.client.get("/metrics", headers=headers)).status_code == status


@in_loop
async def test_health_says_whether_the_venue_is_connected(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert (await site.client.get("/health")).status_code == 503
    async with trading(site) as runner:
        assert (await site.client.get("/health")).json()["status"] == "ok"
        runner.on_connection(False, runner.clock.now())
        assert (await site.client.get("/health")).status_code == 503


@in_loop
async def test_the_kill_switch_takes_a_token_of_its_own(tmp_path: Path) -> None:
    closed = await Site(tmp_path / "closed").client.post("/kill", headers={"Authorization": "Bearer deploy"})
    assert closed.status_code == 403
    site = Site(tmp_path / "open", ACCESS._replace(kill_token="stop"))
    wrong = await site.client.post("/kill", headers={"Authorization": "Bearer deploy"})
    unknown = await site.client.post("/kill?symbol=x", headers={"Authorization": "Bearer stop"})
    assert (wrong.status_code, unknown.status_code) == (401, 404)
    assert {desk["kill"] for desk in site.runner.status()["desks"]} == {"off"}
    killed = await site.client.post("/kill", headers={"Authorization": "Bearer stop"})
    desks = [f"{COINM_BTC.name}/{desk.name}" for desk in site.runner.desks]
    assert killed.json() == {"killed": desks, "orders_left": 0}
    assert {desk["kill"] for desk in site.runner.status()["desks"]} == {"verified"}
    assert site.runner.meters.value("kills_total") == 1
