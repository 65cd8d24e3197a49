"""For each gate a market in which the account loses without it: the same tape, the rule on and the rule off."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.builders_gates import FIRST_MS, MID, ROW_MS, WARM_ROWS, Moment, traded
from tests.builders_trading import trading
from trading import records
from trading.parameters import PolicyKind
from trading.session import Session

OFF: dict[str, dict[str, Any]] = {
    "routing": {
        "max_delay_ms": 1e9,
        "max_silence_ms": 1e9,
        "max_decision_lag_ms": 1e9,
        "min_touch_usd": 0.0,
        "take_max_delay_ms": 1e9,
        "take_max_silence_ms": 1e9,
        "take_min_touch_usd": 0.0,
        "max_slippage_ticks": 50,
    },
    "risk": {
        "max_position_usd": 1e9,
        "max_orders_per_s": 64,
        "max_drawdown_usd": 1e9,
        "loss_streak": 10**9,
        "spike_ratio": 1e9,
        "degenerate_rows": 0,
    },
    "sizing": {"confidence_cancel": 0.0, "confidence_halve": 0.0},
}


def calm(rows: int, **more: Any) -> list[Moment]:
    """Nothing moves and nothing is expected; an odd tick keeps the volatility above 0."""
    return [Moment(MID + place % 2, 0.001 * (place % 3), **more) for place in range(rows)]


def falling(rows: int, mean_bp: float = 2.0, step: int = 5, **more: Any) -> list[Moment]:
    """Down by ``step`` ticks a row, while the model expects it to rise."""
    return [Moment(MID - step * place, mean_bp + 0.001 * (place % 3), **more) for place in range(rows)]


def flips(rows: int) -> list[Moment]:
    """A model that changes its mind every second row on a market that goes nowhere: each flip pays the spread."""
    return [Moment(MID, 3.0 if place // 2 % 2 else -3.0) for place in range(rows)]


def trips(count: int) -> list[Moment]:
    """Calls that come to nothing: each is left at its horizon, flat, and has paid the spread."""
    return [Moment(MID, 3.0 if row < 2 else 0.001 * (row % 3)) for _ in range(count) for row in range(60)]


class Scene(NamedTuple):
    """A market, the one rule that is switched on, and the reason that says so (None: it shows in the size alone)."""

    moments: Sequence[Moment]
    rule: dict[str, dict[str, Any]]
    reason: int | None
    infer: Callable[[int], int] = lambda row_ts: 1_000_000
    kind: PolicyKind = "take"


def late_from(row: int) -> Callable[[int], int]:
    """Decisions that take 300 ms from that row on."""
    since = (FIRST_MS + ROW_MS * (WARM_ROWS + row)) * 1_000_000
    return lambda row_ts: 300_000_000 if row_ts >= since else 1_000_000


LURED = [*calm(10), *falling(60)]
SCENES = {
    "delay": Scene([*calm(10), *falling(60, delay_ms=400)], {"routing": {"max_delay_ms": 200.0}}, records.DELAYED),
    "silence": Scene(
        [*calm(10), *(Moment(MID, 2.0, silent=True) for _ in range(20)), *falling(40, mean_bp=0.0)],
        {"routing": {"max_silence_ms": 100.0}},
        records.SILENT,
    ),
    "late decision": Scene(LURED, {"routing": {"max_decision_lag_ms": 50.0}}, records.LATE_DECISION, late_from(10)),
    "thin depth": Scene([*calm(10), *falling(60, depth=8)], {"routing": {"min_touch_usd": 1_000.0}}, records.THIN_BOOK),
    "losing streak": Scene(
        [*calm(10), *trips(6)], {"risk": {"loss_streak": 3, "loss_pause_s": 60.0}}, records.LOSS_STREAK
    ),
    "drawdown": Scene(LURED, {"risk": {"max_drawdown_usd": 2.0}}, records.DRAWDOWN),
    "volatility spike": Scene([*calm(150), *falling(60, step=40)], {"risk": {"spike_ratio": 1.5}}, None),
    "exposure": Scene(LURED, {"risk": {"max_position_usd": 1_000.0}}, None),
    "order rate": Scene([*calm(10), *flips(100)], {"risk": {"max_orders_per_s": 3}}, records.RATE),
    "degenerate forecast": Scene(
        [*calm(10), *(Moment(MID - 5 * place, 2.0) for place in range(100))],
        {"risk": {"degenerate_rows": 20}},
        records.DEGENERATE,
    ),
    "low confidence": Scene(
        [*calm(10), *falling(60, confidence=0.4)],
        {"sizing": {"confidence_cancel": 0.5, "confidence_halve": 0.6}},
        records.LOW_CONFIDENCE,
    ),
    "halved confidence": Scene([*calm(10), *falling(60, confidence=0.4)], {"sizing": {"confidence_halve": 0.6}}, None),
}


@pytest.mark.parametrize("name", SCENES)
def test_the_account_loses_more_without_the_gate(name: str) -> None:
    scene = SCENES[name]
    rules = {group: keys | scene.rule.get(group, {}) for group, keys in OFF.items()}
    for group, low in (("routing", "take_max_delay_ms"), ("routing", "take_max_silence_ms")):
        rules[group][low] = min(rules[group][low], rules[group][low.removeprefix("take_")])
    rules["routing"]["take_min_touch_usd"] = rules["routing"]["min_touch_usd"]
    kept, gated = traded(scene.moments, trading(**rules), scene.kind, scene.infer)
    lost, free = traded(scene.moments, trading(**OFF), scene.kind, scene.infer)
    assert lost < -0.05
    assert lost < kept
    if scene.reason is not None:
        assert scene.reason in gated.decisions["reason"]
        assert scene.reason not in free.decisions["reason"]
    else:
        assert np.abs(gated.decisions["position"]).max() < np.abs(free.decisions["position"]).max()


def test_the_account_loses_more_without_the_kill_switch() -> None:
    kept, gated = traded(LURED, trading(**OFF), prepare=Session.kill)
    lost, _ = traded(LURED, trading(**OFF))
    assert lost < -0.05 < kept == 0.0
    assert (gated.decisions["reason"] == records.KILLED).all()
