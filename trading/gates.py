"""Every gate by name: the keys that are its rule, the reason it gives, and what it does; docs/policies.md shows it."""

from typing import Final, NamedTuple

from trading import records


class Gate(NamedTuple):
    """One rule that may stop or shrink an order."""

    name: str
    keys: tuple[str, ...]  # below ``trading`` in the configuration
    reason: int | None  # of the decision, None where it shows in the size alone
    does: str


GATES: Final = (
    Gate("delay", ("routing.max_delay_ms",), records.DELAYED, "cancels what rests, sends nothing"),
    Gate("silence", ("routing.max_silence_ms",), records.SILENT, "likewise"),
    Gate("late decision", ("routing.max_decision_lag_ms",), records.LATE_DECISION, "likewise"),
    Gate("thin depth", ("routing.min_touch_usd",), records.THIN_BOOK, "likewise"),
    Gate(
        "losing streak",
        ("risk.loss_streak", "risk.loss_pause_s"),
        records.LOSS_STREAK,
        "after N losing round trips in a row leaves the position and pauses",
    ),
    Gate(
        "drawdown",
        ("risk.max_drawdown_usd",),
        records.DRAWDOWN,
        "marked equity below its peak, pending orders at their worst fill: refuses an order that could break it; "
        "once broken leaves the position and latches",
    ),
    Gate("volatility spike", ("risk.spike_ratio",), None, "halves target and quotes"),
    Gate(
        "exposure",
        ("risk.max_position_usd",),
        records.EXPOSURE,
        "cuts an order to what position and open orders of its side leave of the cap",
    ),
    Gate("order rate", ("risk.max_orders_per_s",), records.RATE, "stops the order over it"),
    Gate(
        "degenerate forecast",
        ("risk.degenerate_rows", "risk.simplex_tolerance"),
        records.DEGENERATE,
        "not finite, off the simplex, or the same for N rows: leaves the position and latches the desk until another "
        "model is deployed; `execute` goes by its schedule alone",
    ),
    Gate("low confidence", ("sizing.confidence_cancel",), records.LOW_CONFIDENCE, "nothing new, the exposure cap is 0"),
    Gate("halved confidence", ("sizing.confidence_halve",), None, "halves target, quotes and exposure cap"),
    Gate(
        "kill switch",
        ("risk.cancel_resend_ms",),
        records.KILLED,
        "cancels all, again and again until each order is acknowledged gone (until then: unverified), leaves the "
        "position, and latches over restarts",
    ),
)


def table() -> str:
    """The gates as Markdown, a line each."""
    lines = ["| gate | rule, below `trading` | reason | what it does |", "| --- | --- | --- | --- |"]
    for gate in GATES:
        keys = ", ".join(f"`{key}`" for key in gate.keys)
        reason = "in the size" if gate.reason is None else records.REASON_NAMES[gate.reason]
        lines.append(f"| {gate.name} | {keys} | {reason} | {gate.does} |")
    return "\n".join(lines)
