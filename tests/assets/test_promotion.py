"""Who becomes champion by the gates, what the checks show of it, and what stands on the page to approve from."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.ab_test import ab_verdict
from assets.checks import DAY_NS
from assets.partitions import WHOLE, Part
from assets.promotion import ROLLBACK, decide, decided, gate_check
from assets.promotion_evidence import candidate_of, long_share, parity_of, reigning, rival_models
from assets.promotion_pages import unknowns
from backtest.gates import FAILED, GATES, INSUFFICIENT, PASSED, Gate
from backtest.promotion_page import PromotionPage, promotion_html
from config.loading import load_settings
from market.schema import schema_sha
from storage.lake import Lake
from storage.promotions import REJECTED, Promotion, PromotionLedger
from storage.registry import CHAMPION, Version

DEV, PROD = load_settings("dev"), load_settings("prod")
VERSION = Version("coin", "2", "run", "bb", "")
SAID = "challenger: its Sharpe ratio is higher."
SHORT = "0.1 days of Test, 20 are needed"
LINE = Promotion("2024-08-09T00:00:00+00:00", "Ada", "coin", CHAMPION, "1", "2", "bb", {}, "by hand")


@pytest.fixture
def registry(tmp_path: Path) -> Any:
    return SimpleNamespace(ledger=PromotionLedger(tmp_path / "promotions.jsonl"))


def gates(**verdicts: str) -> list[Gate]:
    return [Gate(name, verdicts.get(name.split()[0], PASSED), 1.0, "p", f"why {name}") for name in GATES]


def test_only_passes_make_a_champion_where_test_is_long_enough(registry: Any) -> None:
    assert decide(DEV, registry, VERSION, gates(), "") == (True, "every gate passed")
    for lacking in (INSUFFICIENT, FAILED):
        made = decide(DEV, registry, VERSION, gates(parity=lacking), "")
        assert made == (False, f"stays challenger, 6 of 7 gates passed; {lacking}: parity.")


def test_the_short_test_of_a_demo_is_no_pass_but_is_taken_as_what_it_is_unless_a_gate_failed(registry: Any) -> None:
    unknown = gates(beats=INSUFFICIENT, deflated=INSUFFICIENT, no=INSUFFICIENT)
    assert decide(DEV, registry, VERSION, unknown, SHORT) == (
        True,
        f"demo approval, gates: insufficient data ({SHORT})",
    )
    assert not decide(DEV, registry, VERSION, gates(beats=INSUFFICIENT, latency=FAILED), SHORT).champion


def test_in_prod_a_person_decides_whatever_the_gates_say(registry: Any) -> None:
    assert decide(PROD, registry, VERSION, gates(), "") == (
        False,
        "waits for a person: main.py registry approve coin 2",
    )


def test_the_gates_do_not_overrule_a_person(registry: Any) -> None:
    registry.ledger.append(replace(LINE, from_version="2", to_version="1", bundle_sha="aa", reason=f"{ROLLBACK}slow"))
    assert decide(DEV, registry, VERSION, gates(), "") == (False, f"a person went back from it, Ada: {ROLLBACK}slow")
    registry.ledger.append(replace(LINE, alias=REJECTED, reason="loses at night"))
    assert decide(DEV, registry, VERSION, gates(), "") == (False, "rejected by Ada: loses at night")


def test_going_back_further_does_not_forget_whom_a_person_went_back_from(registry: Any) -> None:
    newest = replace(VERSION, version="3", bundle_sha="cc")
    for number, sha in (("1", "aa"), ("2", "bb"), ("3", "cc")):
        registry.ledger.append(replace(LINE, from_version=None, to_version=number, bundle_sha=sha))
    back = replace(LINE, from_version="3", to_version="2", reason=f"{ROLLBACK}slow")
    registry.ledger.append(back)
    registry.ledger.append(replace(LINE, from_version="2", to_version="1", bundle_sha="aa", reason=f"{ROLLBACK}worse"))
    assert decide(DEV, registry, newest, gates(), "") == (False, f"a person went back from it, Ada: {ROLLBACK}slow")
    registry.ledger.append(replace(LINE, alias=REJECTED))
    assert not decide(DEV, registry, newest, gates(), "").champion
    registry.ledger.append(replace(LINE, from_version="1", to_version="3", bundle_sha="cc"))
    assert decide(DEV, registry, newest, gates(), "").champion


def test_a_champion_that_the_registry_has_lost_is_a_rival_that_nobody_can_run(
    registry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Part("coin", "k1")
    first, held = replace(VERSION, version="1", bundle_sha="aa"), [VERSION]
    registry.holding = lambda model, sha: next((one for one in held if one.bundle_sha == sha), None)
    registry.ledger.append(replace(LINE, from_version=None, to_version="1", bundle_sha="aa"))
    monkeypatch.setattr("assets.promotion_evidence.slice_model", lambda *_: "band")
    rivals = rival_models(DEV, Lake(tmp_path), registry, candidate_of(registry, VERSION, part))
    assert rivals == {"median band": "band", "champion aa (the registry does not hold it)": None}
    held.append(first)
    known = candidate_of(registry, VERSION, part)
    assert (known.champion, known.lost) == (first, "")


def test_the_rival_stays_the_champion_that_the_candidate_has_replaced(registry: Any) -> None:
    first = replace(LINE, from_version=None, to_version="1", bundle_sha="aa")
    assert reigning(registry, VERSION) is None
    registry.ledger.append(first)
    assert reigning(registry, VERSION) == first
    registry.ledger.append(LINE)
    assert reigning(registry, VERSION) == first
    registry.ledger.append(replace(first, alias=REJECTED))
    assert reigning(registry, VERSION) is None


@pytest.mark.parametrize(
    ("verdicts", "passes", "severity"),
    [
        ([PASSED, PASSED], True, dg.AssetCheckSeverity.WARN),
        ([PASSED, INSUFFICIENT], False, dg.AssetCheckSeverity.WARN),
        ([INSUFFICIENT, FAILED], False, dg.AssetCheckSeverity.ERROR),
        ([], False, dg.AssetCheckSeverity.WARN),
    ],
)
def test_a_gate_is_a_check_that_fails_closed(
    verdicts: list[str], passes: bool, severity: dg.AssetCheckSeverity
) -> None:
    schema = dict.fromkeys(("model", "version", "verdict", "why"), pl.String)
    rows = [(f"m{place}", "1", verdict, "because") for place, verdict in enumerate(verdicts)]
    found = gate_check("parity", pl.DataFrame(rows, schema=schema, orient="row"))
    assert (found.passed, found.severity) == (passes, severity)
    assert set(found.metadata or {}) == {f"m{place} 1" for place in range(len(verdicts))}


def test_a_champion_without_a_line_or_a_version_without_a_gate_does_not_hold(registry: Any) -> None:
    table = pl.DataFrame({"model": ["coin"] * len(GATES), "gate": list(GATES)})
    made = [{"model": "coin", "bundle_sha": "bb", "champion": True}]
    assert not decided(registry, table, made).passed
    registry.ledger.append(LINE)
    assert decided(registry, table, made).passed
    assert not decided(registry, table[1:], made).passed
    assert not decided(registry, table, []).passed


def test_the_side_of_the_opened_lots_is_counted_by_hand() -> None:
    fills = pl.DataFrame({"side": [1, -1, -1, 1], "qty": [3, 5, 1, 3], "position": [3, -2, -3, 0]})
    assert long_share(fills) == pytest.approx(3 / (3 + 2 + 1))
    assert long_share(fills.clear()) is None


def test_parity_is_what_the_lake_says_and_nothing_where_it_says_nothing(tmp_path: Path) -> None:
    lake, frame = Lake(tmp_path), pl.DataFrame({"level": [1]})
    verdict, why = parity_of(PROD, lake, "coin", "bb")
    assert (verdict, "no journal of coin was held against its backtest" in why) == (INSUFFICIENT, True)
    for said, heard in (("passed", PASSED), ("failed", FAILED), ("insufficient", INSUFFICIENT)):
        facts = {"verdict": said, "why": "level 3", "models": {"bb": {"rows": 5, "newest_ts": 0}}}
        lake.write("parity", "coin", WHOLE, frame, schema_sha=schema_sha(frame.schema), metadata=facts)
        lake.set_verdict("parity", "coin", WHOLE, True, {})
        assert parity_of(PROD, lake, "coin", "bb", lambda: 7 * DAY_NS) == (heard, "level 3")
        late, late_why = parity_of(PROD, lake, "coin", "bb", lambda: 7 * DAY_NS + 1)
        assert late == (FAILED if said == "failed" else INSUFFICIENT)
        assert ("decided last at 1970-01-01T00:00:00+00:00" in late_why) == (said != "failed")
        other = "level 3; bundle cc has not decided in this journal"
        assert parity_of(PROD, lake, "coin", "cc", lambda: 0) == (heard, other)


def test_the_ab_is_quoted_of_its_own_challenger_only_and_once_it_has_passed(tmp_path: Path) -> None:
    lake, frame = Lake(tmp_path), pl.DataFrame({"figure": ["sharpe"]})
    assert ab_verdict(lake, "coin", "bb") is None
    facts = {"said": SAID, "days": 15.04, "challenger_sha": "bb", "champion_sha": "aa" * 32}
    lake.write("ab_test", "coin", WHOLE, frame, schema_sha=schema_sha(frame.schema), metadata=facts)
    assert ab_verdict(lake, "coin", "bb") is None
    lake.set_verdict("ab_test", "coin", WHOLE, True, {})
    assert ab_verdict(lake, "coin", "bb") == f"{SAID} 15.0 days against the champion aaaaaaaaaaaa."
    assert ab_verdict(lake, "coin", "cc") is None


def test_the_page_has_everything_to_approve_from_and_needs_nothing_else() -> None:
    run = {"net": 1.5, "net_bp": 0.25, "fills": 1_234, "fees": 0.5, "breakeven_fee_bp": 0.7}
    regimes = {name: [1.0] for name in ("net", "net_bp", "hit_rate", "max_drawdown")}
    regimes |= {name: [7] for name in ("fills", "round_trips", "minutes")}
    told = gates(parity=INSUFFICIENT)
    page = PromotionPage(
        title="Promotion of <coin>, version 2",
        decision="waits for a person",
        facts={"bundle sha": "bb" * 32},
        gates=told,
        runs={"model": run, "median band": run},
        forecasts=["The model beats every baseline in 1 of 4 cells: 1000 ms, 0 bp."],
        regimes=pl.DataFrame({"group": ["high volatility"], **regimes}),
        surface=[{"fee_bp": 4.0, "latency": 1.0, "size": 2.0, "net_bp": -0.125}],
        contest=[],
        unknown=unknowns(told, DEV, None),
    )
    html = promotion_html(page)
    assert "6 of 7 gates passed; insufficient data: parity. waits for a person" in html
    assert all(f"why {gate}" in html for gate in GATES)
    assert all(word in html for word in ("high volatility", "-0.125", "1,234", "bb" * 32, "break-even fee"))
    assert all(word in html for word in ("live.challenger is off", "No A/B stands behind this page"))
    quoted = page._replace(contest=[SAID], unknown=unknowns(told, DEV, SAID))
    assert (SAID in promotion_html(quoted), "No A/B stands" in promotion_html(quoted)) == (True, False)
    assert "<coin>" not in html
    assert not any(outside in html for outside in ("src=", "href=", "@import", "url("))
