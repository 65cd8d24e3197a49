"""The sizing of an order step by step, each number from the function that the decision itself called."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from live.explain.answer import Step
from trading import account as own
from trading import limits as rule
from trading.account import Account
from trading.intents import slot_at
from trading.records import PLACE
from trading.risk import room, spiking
from trading.sizing import cap_share, confidence_scale, edge, jitter_scale, lots_of
from trading.view import ASK_QTY, BEST_BID, BID_QTY


class Asked(NamedTuple):
    """A decision and what it went by."""

    record: np.void  # DECISION
    intent: np.void  # INTENT
    account: Account  # orders and position before it, floats once the row was looked at
    limits: NDArray[np.float64]
    view: NDArray[np.int64]


def sizing_steps(asked: Asked) -> tuple[Step, ...]:
    """From the forecast, or the rule of a policy that needs none, to the lots that were sent."""
    kind = int(asked.limits[rule.KIND])
    made = {rule.TAKE: _taken, rule.PROBE: _probed}.get(kind, _leaned)(asked)
    return (*made, *_sent(asked, _confidence(asked)))


def _confidence(asked: Asked) -> float:
    """Share of target and exposure cap that the forecast's confidence leaves; 1 where no forecast was believed."""
    record, limits = asked.record, asked.limits
    if int(limits[rule.KIND]) == rule.PROBE or not np.isfinite(record["mu_bp"]):
        return 1.0
    sure = max(float(record[name]) for name in ("p_down", "p_none", "p_up"))
    return float(confidence_scale(sure, limits[rule.CONFIDENCE_CANCEL], limits[rule.CONFIDENCE_HALVE]))


def _lots(asked: Asked, usd: float) -> int:
    limits = asked.limits
    lots: int = lots_of(
        usd, int(asked.view[BEST_BID]), limits[rule.LOT_VALUE], limits[rule.TICK_SIZE], limits[rule.INVERSE] != 0.0
    )
    return lots


def _taken(asked: Asked) -> tuple[Step, ...]:
    record = asked.record
    if not np.isfinite(record["mu_bp"]):
        return (Step("target", float(record["target"]), "lots", "no forecast was believed on this row"),)
    share, expected = _expected(asked)
    scales = _scales(asked)
    usd = math.prod((float(asked.limits[rule.RISK_CAP_USD]), share, *(scale.value for scale in scales)))
    target = Step("target", float(record["target"]), "lots", "as the decision recorded it")
    return (*expected, *scales, *_met(asked, usd), target)


def _expected(asked: Asked) -> tuple[float, tuple[Step, ...]]:
    """The share of the risk cap that the forecast's edge asks for, and how it comes about."""
    record, limits = asked.record, asked.limits
    mu, sigma, cost, spread = (float(record[name]) for name in ("mu_bp", "sigma_bp", "cost_bp", "spread_bp"))
    left = edge(mu, spread, cost, limits[rule.LCB_Z])
    share, bound = cap_share(left, sigma * sigma, limits[rule.KAPPA_BP])
    return share, (
        Step("expected return", mu, "bp", "mean of the calibrated mixture"),
        Step("its deviation", sigma, "bp", "of the same mixture"),
        Step("spread of the members", spread, "bp", "of their expected returns"),
        Step("cost", cost, "bp", "of a round trip: spread and fees of the tier in force"),
        Step("edge", left, "bp", f"what is left after cost and {limits[rule.LCB_Z]:g} spreads"),
        Step("share of the cap", share, "", f"kappa {limits[rule.KAPPA_BP]:g} bp; " + _bound(bound)),
    )


def _scales(asked: Asked) -> tuple[Step, ...]:
    """What that share is multiplied by."""
    limits, floats = asked.limits, asked.account[2]
    sure, confident = max(float(asked.record[name]) for name in ("p_down", "p_none", "p_up")), _confidence(asked)
    calm = 0.5 if spiking(floats, limits) else 1.0
    steady = float(jitter_scale(floats[own.JITTER_MS], limits[rule.JITTER_REF_MS]))
    return (
        Step("confidence", confident, "times", f"largest probability {sure:.3f}"),
        Step("volatility", calm, "times", "halved: a spike" if calm < 1.0 else "no spike"),
        Step("latency jitter", steady, "times", f"{floats[own.JITTER_MS]:.2f} ms"),
    )


def _met(asked: Asked, usd: float) -> tuple[Step, ...]:
    """What a worth comes to in lots, and in lots that the book shows."""
    limits, side = asked.limits, float(np.sign(asked.record["mu_bp"]))
    lots, visible = _lots(asked, usd), int(limits[rule.DEPTH_SHARE] * asked.view[ASK_QTY if side > 0 else BID_QTY])
    return (
        Step("worth", usd, "USD", f"of a risk cap of {limits[rule.RISK_CAP_USD]:g} USD"),
        Step("lots", float(lots), "lots", "whole lots of that"),
        Step("visible depth", float(visible), "lots", f"{limits[rule.DEPTH_SHARE]:g} of the touch it would meet"),
        Step("wanted", side * min(lots, visible), "lots", "the smaller of the two, signed"),
    )


def _bound(bound: int) -> str:
    return "the cap binds" if bound else "the edge binds"


def _probed(asked: Asked) -> tuple[Step, ...]:
    usd = float(asked.limits[rule.PROBE_ORDER_USD])
    return (
        Step("order", usd, "USD", "the probe's own size, whatever any forecast says"),
        Step("lots", float(max(1, _lots(asked, usd))), "lots", "whole lots of that, at least one"),
    )


def _leaned(asked: Asked) -> tuple[Step, ...]:
    record = asked.record
    known = [(name, float(record[name])) for name in ("mu_bp", "sigma_bp", "cost_bp") if np.isfinite(record[name])]
    return (
        *(Step(name.removesuffix("_bp"), value, "bp", "as the decision recorded it") for name, value in known),
        Step("target", float(record["target"]), "lots", "as the decision recorded it"),
    )


def _sent(asked: Asked, confident: float) -> tuple[Step, ...]:
    orders, integers, _ = asked.account
    side = int(asked.intent["side"])
    spare = int(room(asked.account, asked.limits, asked.view, side, confident))
    waiting = int(orders[slot_at(side), own.LEAVES])
    return (
        Step("position", float(integers[own.POSITION]), "lots", "held, as far as acknowledged"),
        Step("working on this side", float(waiting), "lots", "before this decision"),
        Step("room", float(spare), "lots", f"left of {asked.limits[rule.MAX_POSITION_USD]:g} USD on this side"),
        Step("sent", float(asked.intent["qty"]), "lots", "this order" if asked.intent["verb"] == PLACE else "a cancel"),
    )
