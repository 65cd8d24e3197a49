"""Requests made from OpenAPI, and beside it: every one is answered, in words of ours, and none sends an order."""

import asyncio
import string
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from live.api import Access, api
from live.api.site import FILES
from live.floor import Floor
from live.rollout import Rollout
from storage.journal import DECISION, KILL, read_journal
from storage.promotions import PromotionLedger
from tests.builders_runner import KEY, REGISTERED, drive, new_runner, quick_plan, synthetic_frames

TOKENS: Final = Access(read_token="read", deploy_token="deploy", swap_patience_s=0.0, kill_token="kill")
REQUESTS: Final = 250
TEXT: Final = st.text(string.printable + "é\u0000\U0001f600", max_size=20)
HEADERS: Final = st.text(string.ascii_letters + string.digits + " /+=.-_;,", max_size=30)


class Fuzzed:
    """Pages of a runner that stands still behind its tape, so that whatever changes is a request's doing."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.runner = new_runner(folder)
        self.runner.on_connection(True, self.runner.clock.now())
        drive(self.runner, synthetic_frames(3.0))
        symbol = self.runner.plan.instrument.name
        ledger = PromotionLedger(folder / "promotions.jsonl")
        rollout = Rollout(quick_plan(), folder / "bundles", ledger, KEY, REGISTERED)
        self.app = api(Floor([self.runner]), {symbol: rollout}, self.runner.meters, TOKENS)
        transport = httpx.ASGITransport(self.app)  # what a route does not catch is raised here
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")
        self.known = ["read", "deploy", "kill", symbol, *(desk.name for desk in self.runner.desks)]
        self.answered: dict[int, int] = {}

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The answer, counted by its status."""
        answer = self.loop.run_until_complete(self.client.request(method, path, **more))
        self.answered[answer.status_code] = self.answered.get(answer.status_code, 0) + 1
        return answer

    def orders(self) -> list[bytes]:
        """Every order of each desk, as its account holds it."""
        return [desk.session.account[0].tobytes() for desk in self.runner.desks]

    def written(self) -> list[int]:
        """Kinds of the records in the journal."""
        self.runner.journal.flush()
        return [record.kind for record in read_journal(self.runner.folders.journal)]

    def close(self) -> None:
        """Everything down."""
        self.runner.close()
        self.loop.run_until_complete(self.client.aclose())
        self.loop.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    """One for all requests."""
    fuzzed = Fuzzed(tmp_path_factory.mktemp("fuzzed"))
    yield fuzzed
    fuzzed.close()


def paths_of(routes: Iterable[Any]) -> Iterator[str]:
    """Paths of an application's routes, those of the routers that it includes among them."""
    for route in routes:
        included = getattr(route, "original_router", None)
        yield from paths_of(included.routes) if included else [route.path]


def test_a_route_that_openapi_leaves_out_is_named_here(site: Fuzzed) -> None:
    """What is made from OpenAPI, requests and tokens alike, covers all but these, which are tested by themselves."""
    left_out = set(paths_of(site.app.routes)) - set(site.app.openapi()["paths"])
    assert left_out == {"/openapi.json", "/stream", *FILES}


def values_of(schema: dict[str, Any], known: list[str]) -> st.SearchStrategy[str]:
    """What fits a parameter's schema, what almost does, and what does not."""
    fitting = [st.sampled_from([str(word) for word in schema["enum"]])] if "enum" in schema else []
    numbers = st.integers(-(2**70), 2**70).map(str) | st.sampled_from(["nan", "1e999", "-0", "0x10", "true", "null"])
    return st.one_of(*fitting, st.sampled_from(known), TEXT, numbers)


@st.composite
def requests(draw: st.DrawFn, whole: dict[str, Any], known: list[str]) -> tuple[str, str, dict[str, Any]]:
    """Method, path and the rest of a request to a route that OpenAPI names."""
    path = draw(st.sampled_from(sorted(whole["paths"])))
    method = draw(st.sampled_from(sorted(whole["paths"][path])))
    asked = whole["paths"][path][method].get("parameters", [])
    query, headers = {}, {}
    for one in asked:
        value = draw(values_of(one.get("schema", {}), known))
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", quote(value, safe="") or "-")
        elif one["in"] == "query" and draw(st.booleans()):
            query[one["name"]] = value
    if draw(st.booleans()):
        headers["Authorization"] = draw(st.sampled_from([f"Bearer {word}" for word in known]) | HEADERS)
    if draw(st.integers(0, 3)) == 0:
        headers[draw(st.sampled_from(["Accept", "Origin", "Host", "Content-Type", "X-Tickloop-Signature"]))] = draw(
            HEADERS
        )
    body = draw(st.binary(max_size=200)) if method == "post" else b""
    return draw(st.sampled_from([*[method] * 9, "put"])), path, {"params": query, "headers": headers, "content": body}


def test_every_request_is_answered_in_our_words_and_none_sends_an_order(site: Fuzzed) -> None:
    whole, before, written = site.app.openapi(), site.orders(), site.written()
    assert DECISION in written

    @settings(
        max_examples=REQUESTS, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(asked=requests(whole, site.known))
    def each(asked: tuple[str, str, dict[str, Any]]) -> None:
        method, path, more = asked
        answer = site.ask(method, path, **more)
        assert answer.status_code < 500
        assert "Traceback" not in answer.text
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/json"
            detail = answer.json()["detail"]
            assert isinstance(detail, str)
            assert "\n" not in detail
            assert len(detail) < 1_000

    each()
    assert {200, 401, 404, 405, 409, 422} <= site.answered.keys(), site.answered
    assert site.orders() == before
    assert set(site.written()[len(written) :]) <= {KILL}  # which some request may have been entitled to
