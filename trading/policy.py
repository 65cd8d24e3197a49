"""``decide``: account, rules, forecast and market view in; orders and the reason why out. Compiled, without a clock.

It is the same function in backtest, paper and live. It changes the account arrays (its own orders) and writes
what to send into ``intents``; everything else is read only. What each policy does is in docs/policies.md.
"""

from numba import njit

from trading import limits as rule
from trading.executing import execute
from trading.intents import begin, cancel_each, flatten
from trading.quoting import probe, quote
from trading.records import ACTED
from trading.risk import halted, market_gate, watch
from trading.taking import follow
from trading.view import STATUS


@njit(cache=True)
def cancel_all(account, limits, view, now, intents, thoughts):
    """Cancel whatever rests and ask for nothing else."""
    turn = (account, limits, view, now, intents, thoughts)
    begin(turn)
    cancel_each(turn)


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
        watch(account[1], account[2], limits, view, equity)
    gate = market_gate(limits, view, equity, now)
    if gate != ACTED:
        cancel_each(turn)
        return gate
    kind = limits[rule.KIND]
    gate = halted(account[1], now)
    if gate != ACTED:
        if kind == rule.EXECUTE:
            cancel_each(turn)  # what a parent order bought was asked for: it is not ours to sell
        else:
            flatten(turn)
        return gate
    if kind == rule.PROBE:
        return probe(turn)
    if kind == rule.QUOTE:
        return quote(turn, forecast, ready)
    if kind == rule.EXECUTE:
        return execute(turn, forecast, ready)
    return follow(turn, forecast, ready)
