"""Whether an A/B finds the right winner, and its intervals the truth, on simulated weeks whose truth is known.

A week is minutes of two arms on one market: a common factor and noises of their own, all autocorrelated, with fat
tails and a diurnal volatility. Effects are multiples of what null weeks say could be told apart. Some tests are looked
at on every day, and count as won where some day names a winner.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from benchmarks.harness import Figure, print_figures
from monitoring.ab import HARM, WINNERS, AbResult, judge_ab
from monitoring.ab_boundaries import LEAST_DAYS
from monitoring.ab_design import Switchback, side_by_side, switched
from monitoring.ab_figures import FIGURES, Arm
from monitoring.ab_looks import MINUTES_A_DAY, Look, first_minutes, look_at, over_looks

Floats = NDArray[np.float64]

DAYS: Final = LEAST_DAYS
LAST_LOOK: Final = 28  # day, of a test that is looked at daily
ONE_LOOK: Final = 1.96  # errors from 0 that a single look at 95 % asks for
SEEDS: Final = 400
SHARPE: Final = 0.01  # of the champion, a minute: 0.38 a day
COST: Final = 1e-4  # of turnover
FACTOR: Final = 0.7  # loading of either arm on the market
PHI: Final = (0.3, 0.2)  # autocorrelation of the factor and of an arm's own noise
TAILS: Final = 5  # degrees of freedom of every innovation
HOLDING: Final = 5.0  # minutes
DRAWS: Final = 499
SPREAD: Final = 2.0  # of an arm's profit a minute
WEAVE: Final = Switchback(240, 15, 7)


class Truth(NamedTuple):
    """What is planted: challenger less champion."""

    sharpe: float  # a minute
    cost_bp: float = 0.0

    @property
    def all(self) -> dict[str, float]:
        """The true difference of every figure that is known in closed form."""
        plain = {"sharpe": self.sharpe, "tail_loss": -self.sharpe * SPREAD, "cost_bp": self.cost_bp}
        return plain | ({"hit_rate": 0.0} if self.sharpe == 0 else {})


def main() -> None:
    """Print every figure."""
    print_figures(figures(SEEDS))


def figures(seeds: int) -> list[Figure]:
    """Coverage under no effect and under one, right and false winners, false stops; % of the seeds."""
    null = [simulated(seed, Truth(0.0)) for seed in range(seeds)]
    reach = float(np.mean([found.detectable for found in null if found.detectable is not None]))
    planted = Truth(2 * reach)
    better = [simulated(seeds + seed, planted) for seed in range(seeds)]
    worse = [simulated(2 * seeds + seed, Truth(-2 * reach, 0.5)) for seed in range(seeds // 4)]
    woven = [simulated(3 * seeds + seed, planted, DAYS + 1, woven=True) for seed in range(seeds // 4)]
    barely = [simulated(4 * seeds + seed, Truth(reach)) for seed in range(seeds // 4)]
    held = {(name, "no effect"): covered(null, name, 0.0) for name in FIGURES}
    held |= {(name, "an effect"): covered(better, name, truth) for name, truth in planted.all.items()}
    return [
        *(
            Figure(f"{name}: interval holds the truth, {what}", share, None, "%")
            for (name, what), share in held.items()
        ),
        Figure("farthest of these from 95 %", max(abs(share - 95) for share in held.values()), None, "points", "<= 3"),
        _ends("right winner at twice the detectable effect", better, ">= 90", "challenger"),
        _ends("right winner at the detectable effect (80 % by its definition)", barely, None, "challenger"),
        _ends("right winner at twice, switchback", woven, ">= 90", "challenger"),
        _ends("worse challenger is stopped or loses", worse, ">= 90", HARM, "champion"),
        _ends("equal challenger is stopped for harm", null, "<= 4", HARM),
        _ends("equal arms with a winner on the first look", null, "<= 5", *WINNERS),
        *look_figures(range(5 * seeds, 5 * seeds + seeds // 2)),
        Figure("detectable Sharpe ratio a day in two weeks", reach * MINUTES_A_DAY**0.5, None, ""),
    ]


def look_figures(seeds: range) -> list[Figure]:
    """How often equal arms get a winner on some look of a test that is looked at every day; % of the seeds."""
    tests = [daily_looks(seed, Truth(0.0)) for seed in seeds]
    lasting = [any(won(look, day) for day, look in looks.items()) for looks in tests]
    single = [any(abs(look.difference) > ONE_LOOK * look.error for look in looks.values()) for looks in tests]
    title = f"equal arms with a winner on some of {LAST_LOOK - DAYS + 1} daily looks"
    return [
        Figure(title, 100 * float(np.mean(lasting)), None, "%", "<= 7"),
        Figure(f"{title}, were each judged alone", 100 * float(np.mean(single)), None, "%"),
    ]


def daily_looks(seed: int, truth: Truth) -> dict[int, Look]:
    """What the look of each day sees, from the fortnight on."""
    rng = np.random.default_rng(seed)
    pair = side_by_side(*two_arms(rng, truth, LAST_LOOK * MINUTES_A_DAY), (1.0, 1.0))
    found = {day: look_at(first_minutes(pair, day * MINUTES_A_DAY), HOLDING) for day in range(DAYS, LAST_LOOK + 1)}
    return {day: look for day, look in found.items() if isinstance(look, Look)}


def won(look: Look, day: int) -> bool:
    """Whether a look names a winner, either way."""
    return over_looks(look, day).verdict in ("above zero", "below zero")


def simulated(seed: int, truth: Truth, days: int = DAYS, *, woven: bool = False) -> AbResult:
    """The verdict on one simulated test, on two sub-accounts or woven on one account."""
    rng = np.random.default_rng(seed)
    champion, challenger = two_arms(rng, truth, days * MINUTES_A_DAY)
    if woven:
        arms = WEAVE.arms(days * MINUTES_A_DAY)
        hers = arms == 1
        live, shadow = (_mixed(champion, challenger, which) for which in (hers, ~hers))
        pair = switched(live, shadow, arms)
    else:
        pair = side_by_side(champion, challenger, (1.0, 1.0))
    return judge_ab(pair, HOLDING, rng, planned_days=days, draws=DRAWS)


def two_arms(rng: np.random.Generator, truth: Truth, minutes: int) -> tuple[Arm, Arm]:
    """Minutes of a champion and of a challenger on one market, profit's deviation SPREAD each."""
    factor = _noise(rng, PHI[0], minutes)
    shape = np.sqrt(1 + 0.5 * np.sin(2 * np.pi * np.arange(minutes) / MINUTES_A_DAY))  # mean square 1 over a day
    sharpes, costs = (SHARPE, SHARPE + truth.sharpe), (COST, COST + truth.cost_bp * 1e-4)
    return tuple(  # type: ignore[return-value]
        _arm(rng, shape * (FACTOR * factor + (1 - FACTOR**2) ** 0.5 * _noise(rng, PHI[1], minutes)), *one)
        for one in zip(sharpes, costs, strict=True)
    )


def _arm(rng: np.random.Generator, moves: Floats, sharpe: float, cost: float) -> Arm:
    turnover = np.exp(lfilter([0.3], [1, -0.9], rng.normal(size=moves.size))) * 1e3
    paid = turnover * cost * rng.gamma(4.0, 0.25, moves.size)
    return Arm(SPREAD * (moves + sharpe), paid, turnover)


def _noise(rng: np.random.Generator, phi: float, size: int) -> Floats:
    """An AR(1) with Student's t innovations, of variance 1."""
    innovations = rng.standard_t(TAILS, size) * ((TAILS - 2) / TAILS) ** 0.5
    start = [phi * rng.normal()]
    made, _ = lfilter([(1 - phi**2) ** 0.5], [1, -phi], innovations, zi=start)
    return np.asarray(made)


def _mixed(champion: Arm, challenger: Arm, hers: NDArray[np.bool_]) -> Arm:
    return Arm(*(np.where(hers, second, first) for first, second in zip(champion, challenger, strict=True)))


def covered(found: list[AbResult], name: str, truth: float) -> float:
    """Share of the intervals of one figure that hold the truth, %; one that is missing does not."""
    held = [(one.differences[name].low, one.differences[name].high) for one in found]
    return float(100 * np.mean([low is not None and high is not None and low <= truth <= high for low, high in held]))


def _ends(title: str, found: list[AbResult], bar: str | None, *verdicts: str) -> Figure:
    return Figure(title, 100 * float(np.mean([one.verdict in verdicts for one in found])), None, "%", bar)


if __name__ == "__main__":
    main()
