"""What may be read: every route against what OpenAPI promises of it, against the runner, and against who may."""

import json
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from config.loading import load_settings
from live.api.access import LARGEST_REQUEST, require_guard
from market.book import BID, top_levels
from market.errors import ConfigError
from tests.builders_live import in_loop
from tests.builders_runner import START
from tests.builders_site import OPEN, Desktop, faults, looking_at

BEARER = {"Authorization": "Bearer scrape"}
LISTS = ("/symbols", "/orders", "/positions", "/models", "/latencies")
OF_A_SYMBOL = ("/symbols/{symbol}", "/features/{symbol}", "/signals/{symbol}")
GUARDED = (*LISTS, *OF_A_SYMBOL, "/status")


def promised(whole: dict, path: str, method: str, status: int) -> dict:
    """The schema of one answer."""
    return whole["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]


@in_loop
async def test_every_answer_is_what_openapi_promises(tmp_path: Path) -> None:
    site = Desktop(tmp_path)
    async with looking_at(site):
        whole = (await site.client.get("/openapi.json")).json()
        for path in (*LISTS, *OF_A_SYMBOL, "/health"):
            answer = await site.client.get(path.replace("{symbol}", site.symbol))
            assert (path, answer.status_code) == (path, 200)
            assert answer.json() != []
            assert faults(answer.json(), promised(whole, path, "get", 200), whole) == []
        killed = await site.client.post("/kill", headers={"Authorization": "Bearer kill"})
        assert faults(killed.json(), promised(whole, "/kill", "post", 200), whole) == []


@in_loop
async def test_openapi_names_every_route_and_its_refusals(tmp_path: Path) -> None:
    site = Desktop(tmp_path)
    async with looking_at(site):
        whole = (await site.client.get("/openapi.json")).json()
        named = {"/health", "/metrics", "/kill", "/deploy", "/rollback", "/explain/{symbol}/{order}", *GUARDED}
        assert named <= set(whole["paths"])
        assert {"401", "404"} <= set(whole["paths"]["/features/{symbol}"]["get"]["responses"])
        assert {"401", "403"} <= set(whole["paths"]["/kill"]["post"]["responses"])


def test_the_checker_of_promises_finds_what_is_wrong() -> None:
    whole = {
        "components": {
            "schemas": {"A": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}
        }
    }
    schema = {"type": "array", "items": {"$ref": "#/components/schemas/A"}}
    assert faults([{"x": 1}], schema, whole) == []
    assert len(faults([{"x": 1.5}, {}, {"x": 1, "y": 2}, {"x": True}], schema, whole)) == 4
    assert faults(None, {"anyOf": [{"type": "number"}, {"type": "null"}]}, whole) == []
    assert faults("c", {"enum": ["a", "b"]}, whole) == [": 'c' is none of ['a', 'b']"]


@in_loop
async def test_the_view_shows_the_runner_as_it_stands(tmp_path: Path) -> None:
    site = Desktop(tmp_path)
    async with looking_at(site) as runner:
        view = (await site.client.get(f"/symbols/{site.symbol}")).json()
        prices, lots = np.zeros(10, np.int64), np.zeros(10, np.int64)
        count = top_levels(runner.desks[0].session.features.book, BID, prices, lots)
        assert [level["quantity"] for level in view["book"]["bids"]] == lots[:count].tolist()
        assert view["book"]["bids"][0]["price"] == pytest.approx(prices[0] * 0.1)
        assert [desk["name"] for desk in view["desks"]] == [desk.name for desk in runner.desks]
        probe = view["desks"][1]
        assert probe["position"]["lots"] == runner.desks[1].session.position
        assert len(probe["gates"]) > 10
        assert probe["latency"]["batch"]["rows"] > 50
        assert view["line"]["connected"]
        assert view["journal"]["healthy"]
        assert probe["fills"], "the probe trades within seconds"
        assert all(START < fill["venue_ts"] <= fill["visible_ts"] for fill in probe["fills"])


@in_loop
async def test_curves_go_on_once_a_second_and_end_at_the_newest_equity(tmp_path: Path) -> None:
    site = Desktop(tmp_path)
    async with looking_at(site):
        (told,) = (await site.client.get("/positions")).json()
        stamps = [point["ts"] // 1_000_000_000 for point in told["desks"][1]["curve"]]
        assert stamps == sorted(set(stamps))
        assert len(stamps) >= 2


@in_loop
async def test_features_are_those_that_models_see(tmp_path: Path) -> None:
    site = Desktop(tmp_path)
    async with looking_at(site) as runner:
        told = (await site.client.get(f"/features/{site.symbol}")).json()
        values, valid = runner.desks[0].session.forecasting.newest_rows(1)[-1]
        assert valid
        assert [feature["value"] for feature in told["features"]] == pytest.approx(values.tolist())
        assert told["rows"] == 50
        assert all(f["least"] <= f["mean"] + 1e-6 and f["mean"] <= f["most"] + 1e-6 for f in told["features"])


@in_loop
async def test_before_the_first_event_everything_is_unknown_and_nothing_breaks(tmp_path: Path) -> None:
    site = Desktop(tmp_path)
    view = (await site.client.get(f"/symbols/{site.symbol}")).json()
    assert (view["book"]["open"], view["book"]["bids"], view["book"]["mid"]) == (False, [], None)
    assert view["line"]["age_ms"] is None
    assert [desk["signal"] for desk in view["desks"]] == [None] * len(view["desks"])
    site.runner.close()


@in_loop
async def test_reading_needs_the_read_token_where_there_is_one(tmp_path: Path) -> None:
    site = Desktop(tmp_path, OPEN._replace(read_token="read"))
    async with looking_at(site):
        paths = [path.replace("{symbol}", site.symbol) for path in GUARDED] + [f"/explain/{site.symbol}/probe-1"]
        for path in paths:
            for headers in ({}, {"Authorization": "Bearer kill"}, {"Authorization": "read"}):
                answer = await site.client.get(path, headers=headers)
                assert (path, answer.status_code, answer.json()) == (path, 401, {"detail": "wrong or missing token"})
            assert (await site.client.get(f"{path}?token=read")).status_code == 401
        assert site.refused("token") == 4 * len(paths)
        good = {"Authorization": "Bearer read"}
        for path in paths[:-1]:
            assert (path, (await site.client.get(path, headers=good)).status_code) == (path, 200)


@in_loop
async def test_no_route_but_health_answers_without_a_token(tmp_path: Path) -> None:
    site = Desktop(tmp_path, OPEN._replace(read_token="read", deploy_token="deploy", metrics_token="scrape"))
    async with looking_at(site):
        asked = [(path, method) for path, methods in site.app.openapi()["paths"].items() for method in methods]
        assert len(asked) > 14
        words = {"symbol": site.symbol, "order": "probe-1", "role": "champion"}
        for path, method in asked:
            answer = await site.client.request(method, path.format(**words))
            assert (path, method, answer.status_code in (401, 403)) == (path, method, path != "/health")


@in_loop
async def test_the_page_itself_is_free_and_holds_no_figure(tmp_path: Path) -> None:
    site = Desktop(tmp_path, OPEN._replace(read_token="read"))
    async with looking_at(site):
        for path in ("/", "/page.css", "/page.js", "/icon.svg"):
            answer = await site.client.get(path)
            assert (path, answer.status_code) == (path, 200)
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "http://" not in answer.text.replace("http://www.w3.org", "")
            assert "https://" not in answer.text.replace('"https:"', "")
            assert site.symbol not in answer.text
        asked = await site.client.get(f"/explain/{site.symbol}/probe-1", headers={"Accept": "text/html"})
        assert asked.text == (await site.client.get("/")).text


@pytest.mark.parametrize("path", ["/features/nothing", "/signals/nothing", "/symbols/nothing"])
@in_loop
async def test_an_unknown_symbol_is_one_line(tmp_path: Path, path: str) -> None:
    site = Desktop(tmp_path)
    async with looking_at(site):
        answer = await site.client.get(path)
        assert answer.status_code == 404
        assert answer.json()["detail"] == f"no symbol 'nothing'; there is {site.symbol}"
        assert site.refused("symbol") == 1


@in_loop
async def test_a_large_or_endless_request_is_refused(tmp_path: Path) -> None:
    site = Desktop(tmp_path)
    async with looking_at(site):
        large = await site.client.post("/kill", content=b"x" * (LARGEST_REQUEST + 1))
        assert (large.status_code, large.json()["detail"]) == (413, f"a body may hold {LARGEST_REQUEST} bytes")

        async def endless():
            yield b"x"

        chunked = await site.client.post("/kill", content=endless())
        assert (chunked.status_code, chunked.json()["detail"]) == (411, "a request must say how long it is")
        assert (site.refused("size"), site.refused("length")) == (1, 1)


@in_loop
async def test_what_a_route_cannot_read_is_one_line(tmp_path: Path) -> None:
    site = Desktop(tmp_path)
    async with looking_at(site):
        answers = [
            await site.client.post("/deploy/nobody"),
            await site.client.get(f"/explain/{site.symbol}/{'x' * 65}"),
        ]
        for answer in answers:
            assert answer.status_code == 422
            assert isinstance(answer.json()["detail"], str)
        assert site.refused("malformed") == 2


@in_loop
async def test_hosts_and_origins_of_elsewhere_are_refused_and_counted(tmp_path: Path) -> None:
    site = Desktop(tmp_path)
    async with looking_at(site):
        for headers, status, reason in (
            ({"Host": "evil.example"}, 421, "host"),
            ({"Origin": "http://evil.example"}, 403, "origin"),
        ):
            answer = await site.client.get("/symbols", headers=headers)
            assert (answer.status_code, site.refused(reason)) == (status, 1)
            assert list(answer.json()) == ["detail"]


@in_loop
async def test_the_kill_switch_latches_every_desk_and_survives_a_restart(tmp_path: Path) -> None:
    site = Desktop(tmp_path)
    async with looking_at(site) as runner:
        for headers, status in (({}, 401), ({"Authorization": "Bearer read"}, 401)):
            assert (await site.client.post("/kill", headers=headers)).status_code == status
        assert not any(desk["killed"] for desk in (await _view(site))["desks"])
        good = {"Authorization": "Bearer kill"}
        assert (await site.client.post("/kill?symbol=nothing", headers=good)).status_code == 404
        told = (await site.client.post(f"/kill?symbol={site.symbol}", headers=good)).json()
        assert told["killed"] == [f"{site.symbol}/{desk.name}" for desk in runner.desks]
        assert all(desk["killed"] for desk in (await _view(site))["desks"])
    again = Desktop(tmp_path)
    assert again.runner.resumed > 0
    assert all(desk["killed"] for desk in (await _view(again))["desks"])
    again.runner.close()


@in_loop
async def test_without_a_kill_token_nobody_kills(tmp_path: Path) -> None:
    site = Desktop(tmp_path, OPEN._replace(kill_token=""))
    async with looking_at(site):
        answer = await site.client.post("/kill", headers={"Authorization": "Bearer "})
        assert answer.status_code == 403
        assert site.refused("closed") == 1


async def _view(site: Desktop) -> dict:
    answer: httpx.Response = await site.client.get(f"/symbols/{site.symbol}")
    return json.loads(answer.content)


@in_loop
async def test_metrics_are_free_without_a_token_and_guarded_by_one(tmp_path: Path) -> None:
    site = Desktop(tmp_path, OPEN._replace(metrics_token="scrape", read_token="read"))
    async with looking_at(site):
        for headers, status in (({}, 401), ({"Authorization": "Bearer read"}, 401), (BEARER, 200)):
            answer = await site.client.get("/metrics", headers=headers)
            assert (answer.status_code, b"pnl" in answer.content) == (status, status == 200)
        assert site.refused("token") == 2
        assert (await site.client.get("/health", headers={})).status_code in (200, 503)
    free = Desktop(tmp_path / "free")
    assert (await free.client.get("/metrics")).status_code == 200
    free.runner.close()


@in_loop
async def test_pages_beyond_this_machine_answer_to_their_own_address_alone(tmp_path: Path) -> None:
    site = Desktop(tmp_path, OPEN._replace(host="192.0.2.7"))
    for host, status in (("192.0.2.7:8792", 200), ("127.0.0.1", 200), ("192.0.2.8", 421), ("evil.example", 421)):
        assert (await site.client.get("/metrics", headers={"Host": host})).status_code == status
    site.runner.close()


@pytest.mark.parametrize(
    ("host", "read", "metrics", "missing"),
    [
        ("127.0.0.1", "", "", ""),
        ("127.8.0.1", "", "", ""),
        ("192.0.2.7", "r", "m", ""),
        ("192.0.2.7", "r", "", "TICKLOOP_METRICS_TOKEN$"),
        ("192.0.2.7", "", "m", "TICKLOOP_READ_TOKEN$"),
        ("192.0.2.7", "", "", "TICKLOOP_READ_TOKEN and TICKLOOP_METRICS_TOKEN$"),
    ],
)
def test_nobody_beyond_this_machine_reads_without_a_token(host: str, read: str, metrics: str, missing: str) -> None:
    access = OPEN._replace(host=host, read_token=read, metrics_token=metrics)
    if not missing:
        require_guard(access)
        return
    with pytest.raises(ConfigError, match=missing):
        require_guard(access)


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "::1", "", "300.1.1.1"])
def test_an_address_that_no_client_can_name_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="api_host"):
        replace(load_settings("dev").live, api_host=host)
