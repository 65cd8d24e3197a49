"""Every query of the dashboard and every alert, on a real Prometheus that scrapes a real runner and research."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from config.settings import Paths
from market.errors import BundleError
from monitoring.metrics import METRICS
from orchestration.exporter import metrics_page
from storage.deployment import push
from storage.lake import Lake
from storage.promotions import Promotion, PromotionLedger
from tests.builders_processes import (
    SYMBOL,
    Process,
    ended_at_last,
    settings_file,
    synthetic_tape,
    until,
    venue_process,
)
from tests.builders_prometheus import Prometheus, program, prometheus
from tests.builders_runner import KEY, REGISTERED, START, approve, write_band_bundle
from tests.orchestration.test_exporter import put, report
from tools import grafana_dashboard

TOKEN = "deploy token"
FAULTS = ("malformed:3", "gap:4", "disconnect:5")
PAUSED = 'count_over_time((up{job="tickloop-runner"} == 0)[10s:500ms]) > 3'  # beyond max_decision_lag_ms
EMPTY = {  # query -> why it brings nothing in this run
    'journal_failures_total{symbol=~".*"}': "the disk takes everything",
    'ignored_snapshots_total{symbol=~".*"}': "the runner starts on an empty journal",
    'order_line_up{symbol=~".*"}': "orders are on paper",
    'unsettled_orders{symbol=~".*"}': "orders are on paper",
    'sum by (kind) (rate(order_events_total{symbol=~".*"}[30s]))': "orders are on paper",
    'sum by (kind) (rate(account_stream_events_total{symbol=~".*"}[30s]))': "orders are on paper",
    'venue_clock_offset_ms{symbol=~".*"}': "orders are on paper",
    "max by (reason) (refused_starts_total)": "no start was refused",
}
UNSEEN = {"journal_failures", "ignored_snapshots", "order_line_up", "unsettled_orders"}  # likewise
UNSEEN |= {"order_events", "account_stream_events", "venue_clock_offset_ms", "venue_clock_readings"}  # likewise
UNSEEN |= {"untold_rows", "background_task_deaths", "kills", "refused_starts"}  # no warehouse, nobody who kills


class Watched(NamedTuple):
    """What the tests ask."""

    server: Prometheus
    url: str  # of the runner


def queries() -> list[str]:
    """All expressions of the dashboard, with its variables filled in."""
    panels = [query.expression for row in grafana_dashboard.ROWS.values() for panel in row for query in panel.queries]
    return [text.replace("$symbol", ".*").replace("$__rate_interval", "30s") for text in panels]


def roll_out(url: str, folder: Path) -> None:
    """A stranger and a bundle that are refused, two champions, a rollback to the first, and a challenger."""
    assert httpx.get(f"{url}/status", headers={"Host": "evil.example"}).status_code == 421
    ledger = PromotionLedger(Paths(folder / "var").ledger)
    ledger.path.parent.mkdir(parents=True, exist_ok=True)
    shas = [write_band_bundle(folder / f"bundle{n}", conviction) for n, conviction in enumerate((0.34, 0.345, 0.8))]
    with pytest.raises(BundleError, match="is not approved as champion"):
        push(url, TOKEN, KEY, folder / "bundle0")
    for number in (0, 1):
        approve(ledger, shas[number])
        assert push(url, TOKEN, KEY, folder / f"bundle{number}")["running_sha"] == shas[number]
    answer = httpx.post(f"{url}/rollback", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
    assert answer.json()["running_sha"] == shas[0]
    ledger.append(Promotion("2024-08-09T00:00:00Z", "test", REGISTERED, "challenger", None, "3", shas[2], {}, ""))
    assert push(url, TOKEN, KEY, folder / "bundle2", "challenger")["running_sha"] == shas[2]


def runner_with_a_challenger(folder: Path, venue: Process) -> Process:
    ports, path = venue.ready(), folder / "settings.yaml"
    settings_file(folder, ports["ws_port"], ports["rest_port"])
    text = path.read_text().replace("snapshot_min: 0.02}", "snapshot_min: 0.02, challenger: true}")
    path.write_text(f"{text}venue: {{reject_share: 0.2}}\n")
    return Process(folder, "runner", ["live"], TICKLOOP_DEPLOY_TOKEN=TOKEN, TICKLOOP_DEPLOY_KEY=KEY.decode())


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    program("prometheus")
    folder = tmp_path_factory.mktemp("watched")
    synthetic_tape(folder, 90.0)
    lake = Lake(folder / "lake")
    put(lake, report(), passed=True)
    faults = [word for fault in FAULTS for word in ("--fault", fault)]
    with (
        metrics_page(lake, folder / "failures.jsonl", SYMBOL, "127.0.0.1", 0) as research,
        ended_at_last(venue_process(folder, str(START + 500_000_000), *faults)) as venue,
        ended_at_last(runner_with_a_challenger(folder, venue)) as runner,
    ):
        port = runner.ready()["api_port"]
        with prometheus(folder, {"tickloop-runner": port, "tickloop-research": research}) as server:
            until(lambda: server.healthy_targets() == {"tickloop-runner", "tickloop-research"})
            roll_out(f"http://127.0.0.1:{port}", folder)
            runner.popen.send_signal(signal.SIGSTOP)
            until(lambda: server.ask(PAUSED))
            runner.popen.send_signal(signal.SIGCONT)
            yield Watched(server, f"http://127.0.0.1:{port}")
        assert runner.end() == 0, runner.lines()


def test_every_query_of_the_dashboard_brings_data_or_is_known_to_be_empty(watched: Watched) -> None:
    waiting = set(queries()) - EMPTY.keys()

    def all_there() -> bool:
        waiting.difference_update([query for query in waiting if watched.server.ask(query)])
        return not waiting

    try:
        until(all_there)
    except AssertionError:
        pytest.fail(f"no data: {sorted(waiting)}")
    assert set(EMPTY) <= set(queries())
    assert [query for query in EMPTY if watched.server.ask(query)] == []


def test_every_metric_of_the_list_arrives_and_every_rule_can_be_evaluated(watched: Watched) -> None:
    names = {
        sample["metric"]["__name__"]
        for sample in watched.server.ask('{job="tickloop-runner", __name__!~"up|scrape_.*|ALERTS.*"}')
    }
    bare = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in names}
    assert {metric.name for metric in METRICS} - bare == UNSEEN
    assert bare <= {metric.name for metric in METRICS}
    until(lambda: set(watched.server.rules().values()) == {"ok"})


def test_the_variable_of_the_dashboard_finds_the_symbol(watched: Watched) -> None:
    labels = httpx.get(f"{watched.server.url}/api/v1/label/symbol/values", params={"match[]": "connected"}).json()
    assert labels["data"] == [SYMBOL]


def test_what_prometheus_holds_is_what_the_runner_says(watched: Watched) -> None:
    running = httpx.get(f"{watched.url}/status").json()["symbols"][0]["desks"]
    [challenger] = watched.server.ask('model_info{role="challenger"}')
    assert challenger["metric"]["sha"] == running[2]["bundle_sha"][:12]
    [before] = watched.server.ask('model_info{role="champion before"}')
    assert before["metric"]["sha"] == running[0]["previous_sha"][:12]
