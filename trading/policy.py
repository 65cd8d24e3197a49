"""``decide``: account, rules, forecast and market view in; orders and the reason why out. Compiled, without a clock.

It is the same function in backtest, paper and live. It changes the account arrays (its own orders) and writes
what to send into ``intents``; everything else is read only. What each policy does is in docs/policies.md.
"""

from numba import njit

from trading import account as own
from trading import limits as rule
from trading.executing import execute
from trading.intents import begin, cancel_each, chase, flatten
from trading.quoting import probe, quote
from trading.records import ACTED, DEGENERATE, KILL_UNVERIFIED, KILLED
from trading.risk import halted, judge, market_gate, watch
from trading.taking import follow
from trading.view import STATUS


@njit(cache=True)
def cancel_all(account, limits, view, now, intents, thoughts):
    """Cancel whatever rests, again where no answer comes, and ask for nothing else."""
    turn = (account, limits, view, now, intents, thoughts)
    begin(turn)
    chase(turn)


@njit(cache=True)
def _leave(turn):
    """Cancel all and leave; what a parent order bought was asked for, and is not ours to sell."""
    if turn[1][rule.KIND] == rule.EXECUTE:
        cancel_each(turn)
    else:
        flatten(turn)


@njit(cache=True)
def _killed(turn, gate):
    """Chase every order until the venue has said its end, and leave the position where the market allows it."""
    chase(turn)
    if gate == ACTED:
        _leave(turn)
    return KILL_UNVERIFIED if own.working(turn[0][0]) else KILLED


@njit(cache=True)
def decide(account, limits, forecast, view, ready, equity, now, intents, thoughts):
    """Reason code of this row's decision; orders go to ``intents``, their count and the sizing to ``thoughts``.

    forecast : shape (TRADED,), probabilities of down, none, up, the mean return of each, and the members' spread, bp
    view : shape (VIEW,), see ``trading/view.py``
    equity : settlement currency, marked at mid
    now : ns UTC, when the orders leave
    """
    turn = (account, limits, view, now, intents, thoughts)
    begin(turn)
    if view[STATUS] == 0:
        watch(account, limits, view, equity)
    kind = limits[rule.KIND]
    if ready and kind != rule.PROBE:
        judge(account[1], account[2], limits, forecast)
    gate = market_gate(limits, view, equity, now)
    if account[1][own.KILLED] != 0:
        return _killed(turn, gate)
    if gate != ACTED:
        cancel_each(turn)
        return gate
    gate = halted(account[1], now)
    if gate != ACTED:
        _leave(turn)
        return gate
    if kind == rule.PROBE:
        return probe(turn)
    sound = account[1][own.DEGENERATE] == 0
    if kind == rule.EXECUTE:
        return execute(turn, forecast, ready and sound)
    if not sound:
        flatten(turn)
        return DEGENERATE
    if kind == rule.QUOTE:
        return quote(turn, forecast, ready)
    return follow(turn, forecast, ready)
