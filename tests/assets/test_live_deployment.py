"""Deploying by the asset: to the symbol that is meant on a floor of two, as champion and as challenger."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from assets.live_deployment import Asked, approved_version, live_deployment
from assets.registered_model import model_name
from config.loading import load_settings
from config.settings import Settings
from live.api import Access, api
from live.floor import Floor
from live.pages import page_server
from live.plan import CHALLENGER_DESK, MODEL_DESK
from live.rollout import Rollout
from market.errors import BundleError, RegistryError
from orchestration.instance import open_instance
from storage.deployment import push
from storage.promotions import Promotion, PromotionLedger
from storage.registry import Version
from tests.builders import serving
from tests.builders_live import in_loop, until
from tests.builders_runner import (
    KEY,
    ROW,
    HandClock,
    named,
    new_runner,
    quick_plan,
    synthetic_frames,
    write_band_bundle,
)

SYMBOL = "other"


class Registered:
    """A registry of one version, whose run holds one bundle."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.ledger = PromotionLedger(folder / "promotions.jsonl")
        self.sha = write_band_bundle(folder / "run" / "bundle")
        self.name = model_name(settings, SYMBOL)
        self.client = SimpleNamespace(download_artifacts=lambda run_id, name, _: str(folder / run_id / name))

    def holding(self, model: str, bundle_sha: str) -> Version | None:
        """The version, if it has that bundle."""
        return Version(model, "1", "run", self.sha, "") if bundle_sha == self.sha else None

    def approve(self, alias: str) -> None:
        """Give the version an alias."""
        self.ledger.append(Promotion("2024-08-09T00:00:00Z", "test", self.name, alias, None, "1", self.sha, {}, ""))


@asynccontextmanager
async def floor_of_two(folder: Path, ledger: PromotionLedger):
    """Two symbols with a challenger's desk each, their pages on a free port; rows go on closing."""
    clock, frame = HandClock(), synthetic_frames(1.0)[0][1]
    plans = [replace(named(quick_plan(), name), desks=("take", "probe", "take")) for name in ("one", SYMBOL)]
    floor = Floor([new_runner(folder / plan.instrument.name, clock, plan) for plan in plans])
    rollouts = {
        plan.instrument.name: Rollout(
            plan, folder / plan.instrument.name / "bundles", ledger, KEY, f"tickloop-{plan.instrument.name}"
        )
        for plan in plans
    }
    listener = socket.create_server(("127.0.0.1", 0))
    server = page_server(api(floor, rollouts, floor.runners[0].meters, Access("", "deploy", 60.0)))

    async def close_rows() -> None:
        while True:
            clock.ns += ROW
            for runner in floor.runners:
                runner.on_frame(frame, clock.ns)
            floor.close_due()
            await asyncio.sleep(0.001)

    tasks = [asyncio.create_task(server.serve(sockets=[listener])), asyncio.create_task(close_rows())]
    await until(lambda: server.started)
    try:
        yield floor, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        tasks[1].cancel()
        await asyncio.wait(tasks)
        for runner in floor.runners:
            runner.close()


@pytest.mark.parametrize("answer", [None, 401])
def test_a_deployment_that_fails_leaves_no_secret_in_dagster(
    answer: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the token and the key nothing is in Dagster's storage, whether the runner is away or refuses them."""
    monkeypatch.setenv("TICKLOOP_DEPLOY_TOKEN", "planted-token")
    monkeypatch.setenv("TICKLOOP_DEPLOY_KEY", "planted-key")
    dev = load_settings("dev")
    registry = Registered(tmp_path / "registry", dev)
    registry.approve("champion")
    with refusing(answer) as url, open_instance(tmp_path / "dagster") as instance:
        settings = replace(dev, live=replace(dev.live, runner_url=url))
        resources = {"settings": settings, "registry": registry}
        config = {"ops": {"live_deployment": {"config": {"symbol": SYMBOL}}}}
        result = dg.materialize(
            [live_deployment], instance=instance, resources=resources, run_config=config, raise_on_error=False
        )
    assert not result.success
    content = b"".join(path.read_bytes() for path in (tmp_path / "dagster").rglob("*") if path.is_file())
    assert (b"refused the bundle (401)" if answer else b"no runner answers at") in content
    assert b"planted" not in content


@contextmanager
def refusing(status: int | None) -> Iterator[str]:
    """Where a runner refuses everything, or where there is none."""
    if status is None:
        yield "http://127.0.0.1:1"
        return

    class Refuser(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_error(status)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(HTTPServer(("127.0.0.1", 0), Refuser)) as url:
        yield url


@in_loop
async def test_a_model_goes_to_its_symbol_and_role_on_a_floor_of_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKLOOP_DEPLOY_TOKEN", "deploy")
    monkeypatch.setenv("TICKLOOP_DEPLOY_KEY", KEY.decode())
    dev = load_settings("dev")
    registry = Registered(tmp_path, dev)
    registry.approve("challenger")
    async with floor_of_two(tmp_path, registry.ledger) as (floor, url):
        settings = replace(dev, live=replace(dev.live, runner_url=url))
        with pytest.raises(BundleError, match="symbol='' is not one of one, other"):
            await asyncio.to_thread(push, url, "deploy", KEY, tmp_path / "run" / "bundle", "challenger")

        for role, place in (("challenger", CHALLENGER_DESK), ("champion", MODEL_DESK)):
            with pytest.raises(RegistryError, match="has no champion to deploy"):
                approved_version(settings, registry, SYMBOL)
            if role == "champion":
                registry.approve(role)
            made = await asyncio.to_thread(live_deployment, Asked(symbol=SYMBOL, role=role), settings, registry)
            assert (made.metadata["symbol"], made.metadata["role"]) == (SYMBOL, role)
            assert floor[SYMBOL].desks[place].bundle_sha == made.metadata["running_sha"] == registry.sha
        assert [desk.bundle_sha for desk in floor["one"].desks] == ["", "", ""]
