"""Why an order was sent and what became of it: played back from the journal, against the journal itself."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from backtest.ledger import Ledger
from live.explain.answer import Explanation
from live.explain.explaining import explain
from live.explain.finding import order_name
from live.explain.text import lines_of
from live.replay import decision_of, reports_of
from market.errors import JournalError
from market.orders import ACKED, FILL, IOC, POST_ONLY
from storage.journal import DECISION, REPORTS, read_journal
from tests.builders_market import COINM_BTC
from tests.builders_runner import START, traded_journal
from trading.records import PLACE

HORIZONS_MS = (250, 1_000)
SECONDS = 9.0


class Told(NamedTuple):
    """A journal, and what it says of the orders of each desk."""

    folder: Path
    sha: str
    orders: dict[str, np.ndarray]  # by desk: intents that placed one
    decisions: dict[str, np.ndarray]  # by desk
    reports: dict[str, np.ndarray]

    def explain(self, order: str) -> Explanation:
        return _explain(self.folder, order)

    def fills(self, order: str) -> np.ndarray:
        name = order_name(order)
        reports = self.reports[name.desk]
        return reports[(reports["order_id"] == name.number) & (reports["kind"] == FILL)]


@cache
def _explain(folder: Path, order: str) -> Explanation:
    return explain(folder / "journal", folder / "bundles", order, HORIZONS_MS)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("explained")
    sha = asyncio.run(traded_journal(folder, SECONDS))
    made: dict[int, list[np.ndarray]] = {0: [], 1: []}
    decided: dict[int, list[np.ndarray]] = {0: [], 1: []}
    heard: dict[int, list[np.ndarray]] = {0: [], 1: []}
    for record in read_journal(folder / "journal"):
        if record.kind == DECISION:
            decision = decision_of(record.payload)
            decided[record.place].append(decision.record)
            made[record.place].append(decision.intents[decision.intents["verb"] == PLACE])
        elif record.kind == REPORTS:
            heard[record.place].append(reports_of(record.payload))
    by_desk = ({name: np.concatenate(parts[place]) for place, name in enumerate(("model", "probe"))}
               for parts in (made, decided, heard))  # fmt: skip
    return Told(folder, sha, *by_desk)


def early(told: Told, desk: str, filled: bool, seconds: float = 6.0) -> Iterator[str]:
    """Orders that were sent before the last seconds, so that everything is known of them."""
    for intent in told.orders[desk]:
        order = f"{desk}-{int(intent['order_id'])}"
        if intent["sent_ts"] < START + seconds * 1e9 and bool(told.fills(order).size) == filled:
            yield order


def outcome(told: Explanation, name: str) -> float:
    return next(each.filled for each in told.outcomes if each.name == name)


@pytest.mark.parametrize(("desk", "filled"), [("model", True), ("probe", True), ("probe", False)])
def test_the_replay_decides_and_fills_as_the_journal_says(told: Told, desk: str, filled: bool) -> None:
    orders = list(early(told, desk, filled))
    assert len(orders) > 4
    for order in (orders[0], orders[-1]):
        answer, fills = told.explain(order), told.fills(order)
        assert answer.same_as_written
        assert [fill.quantity for fill in answer.fills] == fills["qty"].tolist()
        assert [fill.venue_ts for fill in answer.fills] == fills["venue_ts"].tolist()
        assert outcome(answer, "as sent") == fills["qty"].sum()
        assert all(mark.bp is not None for fill in answer.fills for mark in fill.markouts)


def test_the_sizing_leads_to_the_target_that_was_recorded(told: Told) -> None:
    for order in list(early(told, "model", True))[:3]:
        answer = told.explain(order)
        steps = {step.name: step.value for step in answer.sizing}
        record = told.decisions["model"][told.decisions["model"]["row_ts"] == answer.row_ts][0]
        assert steps["wanted"] == steps["target"] == record["target"] != 0
        assert abs(steps["target"] - steps["position"]) >= steps["sent"] > 0
        assert steps["share of the cap"] <= 1.0
        assert answer.asked.bundle_sha == told.sha
        assert answer.forecast.ready
        assert answer.forecast.mu_bp == record["mu_bp"]


def test_an_order_that_was_sent_passed_every_gate_that_stops_one(told: Told) -> None:
    for desk in ("model", "probe"):
        answer = told.explain(next(early(told, desk, True)))
        assert [gate for gate in answer.gates if gate.light == "red"] == []
        assert {"kill switch", "drawdown", "depth", "order rate"} <= {gate.name for gate in answer.gates}


def test_a_posted_order_joins_behind_what_its_level_shows_and_moves_up(told: Told) -> None:
    order = next(early(told, "probe", True))
    answer = told.explain(order)
    queue = answer.queue
    assert queue is not None
    assert queue.before_fill is not None
    assert queue.joined_behind >= queue.before_fill >= 0.0
    ahead = [point.ahead for point in queue.path]
    assert ahead == sorted(ahead, reverse=True)  # risk-averse: nobody cuts in
    reports = told.reports["probe"]
    acked = reports[(reports["kind"] == ACKED) & (reports["order_id"] == order_name(order).number)][0]
    assert queue.joined_ts == acked["venue_ts"]
    levels = answer.book.bids if answer.asked.side == "buy" else answer.book.asks
    assert answer.asked.price == levels[0].price


def test_otherwise_it_would_have_been_taken_at_once_or_not_at_all(told: Told) -> None:
    answer = told.explain(next(early(told, "probe", False)))
    assert answer.asked.kind == "post-only"
    assert [each.name for each in answer.outcomes] == ["as sent", "taken", "one latency later", "not sent"]
    assert outcome(answer, "taken") == answer.asked.quantity
    assert outcome(answer, "not sent") == 0
    taken = answer.outcomes[1]
    assert taken.maker_share == 0.0
    best = (answer.book.asks if answer.asked.side == "buy" else answer.book.bids)[0].price
    assert taken.average_price == pytest.approx(best, abs=2.0)
    assert answer.outcomes[3].profit == 0.0


def test_an_outcome_is_what_the_ledger_books(told: Told) -> None:
    order = next(early(told, "model", True))
    answer, fills = told.explain(order), told.fills(order)
    mark = answer.book.mid
    assert mark is not None
    paid = Ledger(COINM_BTC)
    for fill in fills:
        paid.book_fill(int(fill["side"]), int(fill["price"]), int(fill["qty"]), 0.0)
    sent, posted = answer.outcomes[0], answer.outcomes[1]
    assert posted.name == "posted"
    assert sent.profit is not None
    marks = np.arange(599_900, 600_100) * 0.5 + 300_000  # ticks
    assert min(paid.equity(float(m)) for m in marks) <= sent.profit <= max(paid.equity(float(m)) for m in marks)
    assert {int(i["tif"]) for i in told.orders["model"]} == {IOC}
    assert {int(i["tif"]) for i in told.orders["probe"]} == {POST_ONLY}


def test_features_are_told_by_how_far_they_lie_from_their_own_past(told: Told) -> None:
    answer = told.explain(list(early(told, "model", True))[-1])
    away = [abs(feature.deviation) for feature in answer.features]
    assert away == sorted(away, reverse=True)
    assert away[0] > 0.0
    assert all(np.sign(f.deviation) == np.sign(f.value - f.norm) for f in answer.features)


def test_latency_legs_add_up_from_the_event_to_the_fill(told: Told) -> None:
    order = next(early(told, "probe", True))
    answer, fill = told.explain(order), told.fills(order)[0]
    record = told.decisions["probe"][told.decisions["probe"]["row_ts"] == answer.row_ts][0]
    legs = {leg.name: leg.ms for leg in answer.legs}
    begun = record["ingest_ts"] - record["delay_ns"]
    total = sum(ms for name, ms in legs.items() if name != "its answer reaches us")
    assert total == pytest.approx((fill["visible_ts"] - begun) / 1e6, abs=1e-6)


def test_explaining_leaves_the_journal_as_it_was(told: Told) -> None:
    before = {path: path.read_bytes() for path in (told.folder / "journal").iterdir()}
    explain(told.folder / "journal", told.folder / "bundles", "probe-1", HORIZONS_MS)
    assert {path: path.read_bytes() for path in (told.folder / "journal").iterdir()} == before


def test_an_order_that_works_still_is_told_as_far_as_the_journal_goes(told: Told) -> None:
    ended = {int(r["order_id"]) for r in told.reports["probe"] if r["leaves"] == 0 and r["kind"] in (FILL, 3, 4, 6)}
    working = [int(i["order_id"]) for i in told.orders["probe"] if int(i["order_id"]) not in ended]
    answer = told.explain(f"probe-{working[-1]}")
    assert answer.asked.end == "works still, as far as the journal goes"
    assert answer.outcomes[0].profit is None


@pytest.mark.parametrize(
    ("order", "line"),
    [
        ("probe-999999", "holds no order probe-999999"),
        ("nobody-1", "no desk 'nobody' wrote this journal; there is model, probe"),
        ("12", "'12' names no order; say DESK-NUMBER, as in probe-12"),
        ("probe-12; rm", "names no order"),
    ],
)
def test_what_cannot_be_explained_is_one_line(told: Told, order: str, line: str) -> None:
    with pytest.raises(JournalError, match=line) as fault:
        explain(told.folder / "journal", told.folder / "bundles", order, HORIZONS_MS)
    assert "\n" not in str(fault.value)


def test_no_journal_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no journal in"):
        explain(tmp_path, tmp_path, "probe-1", HORIZONS_MS)


def test_the_lines_say_what_a_person_asks(told: Told) -> None:
    text = "\n".join(lines_of(told.explain(next(early(told, "model", True)))))
    for word in ("forecast over 1000 ms", "sizing", "kill switch", "latency", "fill: ", "had it been", "not sent"):
        assert word in text


def test_a_child_of_its_own_answers_the_same_as_json(told: Told) -> None:
    order = next(early(told, "probe", True))
    asked = [str(told.folder / "journal"), str(told.folder / "bundles"), order, *map(str, HORIZONS_MS)]
    child = subprocess.run([sys.executable, "-m", "live.explain", *asked], capture_output=True, check=True)
    assert msgspec.json.decode(child.stdout, type=Explanation) == told.explain(order)
