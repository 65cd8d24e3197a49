"""``/explain`` beside a runner: what it answers, what it refuses, and that it asks one child at a time."""

import asyncio
from pathlib import Path

import pytest

from live.api import explanations as module
from live.api.explanations import Explanations
from live.runner import Folders
from tests.builders_live import in_loop
from tests.builders_site import Desktop, faults, looking_at


@in_loop
async def test_an_order_of_a_running_runner_is_explained_as_openapi_promises(tmp_path: Path) -> None:
    site = Desktop(tmp_path)
    async with looking_at(site):
        answer = await site.client.get(f"/explain/{site.symbol}/probe-1")
        assert answer.status_code == 200, answer.text
        whole = site.app.openapi()
        assert faults(answer.json(), {"$ref": "#/components/schemas/Explanation"}, whole) == []
        assert answer.json()["asked"]["order"] == "probe-1"
        for order, line in (("probe-999999", "holds no order probe-999999"), ("12", "names no order")):
            refused = await site.client.get(f"/explain/{site.symbol}/{order}")
            assert (refused.status_code, "\n" in refused.json()["detail"]) == (404, False)
            assert line in refused.json()["detail"]
        assert (await site.client.get("/explain/nothing/probe-1")).status_code == 404
        assert (site.refused("order"), site.refused("symbol")) == (2, 1)


class Slow(Explanations):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__({"symbol": Folders(Path("journal"), Path("bundles"))}, (250,))
        self.asked: list[str] = []
        self.go = asyncio.Event()

    async def _ask(self, symbol: str, order: str) -> bytes:
        self.asked.append(order)
        await self.go.wait()
        return b'{"bp":null}' if order == "probe-9" else b"{}"


@in_loop
async def test_one_child_at_a_time_and_few_wait() -> None:
    slow = Slow()
    waiting = [asyncio.create_task(slow.answer("symbol", f"probe-{k}")) for k in range(module.MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(BlockingIOError, match="orders wait for their explanation already"):
        await slow.answer("symbol", "probe-99")
    assert slow.asked == ["probe-0"]
    slow.go.set()
    await asyncio.gather(*waiting)
    assert slow.asked == [f"probe-{k}" for k in range(module.MOST_WAITING)]


@in_loop
async def test_only_what_cannot_change_any_more_is_kept() -> None:
    slow = Slow()
    slow.go.set()
    for order in ("probe-1", "probe-1", "probe-9", "probe-9"):
        await slow.answer("symbol", order)
    assert slow.asked == ["probe-1", "probe-9", "probe-9"]


@in_loop
async def test_a_child_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    slow = Slow()
    with pytest.raises(TimeoutError):
        await slow.answer("symbol", "probe-1")
    slow.go.set()
    monkeypatch.setattr(module, "PATIENCE_S", 30.0)
    assert await slow.answer("symbol", "probe-1") == b"{}"


def test_a_child_is_told_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKLOOP_KILL_TOKEN", "planted")
    monkeypatch.setenv("TICKLOOP_WAREHOUSE_PASSWORD", "planted")
    monkeypatch.setenv("TICKLOOP_EXCHANGE_SECRET", "planted")
    monkeypatch.setenv("TICKLOOP_STUDY_URL", "postgresql://me:planted@db:5432/studies")
    monkeypatch.setenv("TICKLOOP_OTHER_URL", "http://127.0.0.1:80/kept")
    told = module._environment()
    assert "planted" not in " ".join(told.values())
    assert told["TICKLOOP_OTHER_URL"] == "http://127.0.0.1:80/kept"
