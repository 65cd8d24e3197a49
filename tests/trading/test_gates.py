"""The table of gates says what the configuration and the documentation say, and each has lost money without."""

from dataclasses import fields
from pathlib import Path

from market.kernel_cache import ROOT
from tests.builders_trading import TRADING
from tests.trading.test_gates_save_money import SCENES
from trading import records
from trading.gates import GATES, table


def test_every_rule_is_a_key_of_the_configuration() -> None:
    for gate in GATES:
        for key in gate.keys:
            group, name = key.split(".")
            assert name in {field.name for field in fields(getattr(TRADING, group))}


def test_every_key_of_risk_belongs_to_a_gate() -> None:
    named = {key for gate in GATES for key in gate.keys}
    assert {f"risk.{field.name}" for field in fields(TRADING.risk)} <= named


def test_the_documentation_shows_the_table() -> None:
    assert table() in Path(ROOT / "docs" / "policies.md").read_text()


def test_every_gate_has_a_market_in_which_it_saves_money() -> None:
    assert {gate.name for gate in GATES} == {*SCENES, "kill switch"}
    for gate in GATES:
        scene = SCENES.get(gate.name)
        assert scene is None or scene.reason in (gate.reason, None)


def test_every_reason_has_a_name() -> None:
    codes = [value for name, value in vars(records).items() if name.isupper() and isinstance(value, int)]
    assert len(records.REASON_NAMES) == max(codes) + 1 == records.KILL_UNVERIFIED + 1
