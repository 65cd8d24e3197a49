"""An explanation as lines for a terminal."""

from collections.abc import Iterator
from datetime import UTC, datetime

from live.explain.answer import Explanation
from live.views import GateView


def lines_of(told: Explanation) -> Iterator[str]:
    """The whole answer, a line at a time."""
    asked = told.asked
    yield f"{asked.order}: {asked.side} {asked.quantity:g} {asked.symbol} at {asked.price:g}, {asked.kind}; {asked.end}"
    yield f"sent {_when(asked.sent_ts)}, decided «{told.reason}» on the row of {_when(told.row_ts)}"
    yield f"model {asked.bundle_sha[:12] or 'none'}; comes out again bit for bit: {_yes(told.same_as_written)}"
    yield from _book(told)
    yield from _forecast(told)
    yield from _table("sizing", [(s.name, f"{s.value:.6g} {s.unit}".strip(), s.note) for s in told.sizing])
    yield from _table("gates", [(gate.name, gate.light, _measured(gate)) for gate in told.gates])
    yield from _table("latency", [(leg.name, f"{leg.ms:.3f} ms", "") for leg in told.legs])
    yield from _life(told)
    yield from _table(
        "had it been",
        [
            (
                outcome.name,
                f"{outcome.filled:g} filled",
                f"{_number(outcome.profit)} {told.settlement}, {_number(outcome.profit_bp)} bp; {outcome.what}",
            )
            for outcome in told.outcomes
        ],
    )


def _measured(gate: GateView) -> str:
    if gate.value is None or gate.limit is None:
        return gate.reason
    return f"{gate.value:.6g} of {gate.limit:.6g} {gate.unit} {gate.reason}"


def _book(told: Explanation) -> Iterator[str]:
    yield "book"
    for bid, ask in zip(told.book.bids[:5], told.book.asks[:5], strict=False):
        yield f"  {bid.quantity:>12g} {bid.price:>12g} | {ask.price:<12g} {ask.quantity:<12g}"


def _forecast(told: Explanation) -> Iterator[str]:
    features = [
        (
            f.name,
            f"{f.value:.4g} {f.unit}",
            f"usually {f.norm:.4g}, {f.deviation:+.1f} deviations; seen as {f.seen:.3g}",
        )
        for f in told.features
    ]
    yield from _table("features furthest from their norm", features)
    forecast = told.forecast
    if not forecast.ready:
        yield "forecast: none was ready"
        return
    numbers = " ".join(_number(p) for p in (forecast.p_down, forecast.p_none, forecast.p_up))
    yield f"forecast over {forecast.horizon_ms} ms: down, none, up {numbers}; {_number(forecast.mu_bp)} bp"
    yield f"  interval {_number(forecast.lower_bp)} to {_number(forecast.upper_bp)} bp"
    for place, member in enumerate(forecast.members):
        said = f"{member.p_down:.3f} {member.p_none:.3f} {member.p_up:.3f}; {member.mu_bp:+.3f} bp"
        yield f"  member {place}: {said}, before labels of late bend it"


def _life(told: Explanation) -> Iterator[str]:
    if told.queue is not None:
        queue = told.queue
        yield f"queue: joined {_when(queue.joined_ts)} behind {queue.joined_behind:g}"
        if queue.before_fill is not None:
            yield f"  {queue.before_fill:g} ahead just before its first fill"
    for fill in told.fills:
        way = "maker" if fill.maker else "taker"
        yield f"fill: {fill.quantity:g} at {fill.price:g}, {way}, {_when(fill.venue_ts)}, fee {fill.fee_bp:g} bp"
        yield "  " + ", ".join(f"{mark.horizon_ms} ms {_number(mark.bp)} bp" for mark in fill.markouts)
    if not told.fills:
        yield "no fill"


def _table(title: str, rows: list[tuple[str, str, str]]) -> Iterator[str]:
    yield title
    for name, value, note in rows:
        yield f"  {name:<30} {value:<22} {note}".rstrip()


def _when(ts: int) -> str:
    whole, rest = divmod(ts, 1_000_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%d %H:%M:%S}.{rest // 1_000_000:03}Z"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6g}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
