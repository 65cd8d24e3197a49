"""Whether an A/B finds the right winner, and its intervals the truth, on simulated weeks whose truth is known.

A week is minutes of two arms on one market: a common factor and noises of their own, all autocorrelated, with fat
tails and a diurnal volatility. Effects are multiples of what null weeks say could be told apart.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from benchmarks.harness import Figure, print_figures
from monitoring.ab import FIGURES, MINUTES_A_DAY, AbResult, Arm, judge_ab
from monitoring.ab_design import Switchback, side_by_side, switched

Floats = NDArray[np.float64]

DAYS: Final = 14
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
    """Coverage under no effect and under one, right winners, false stops; % of the seeds."""
    null = [simulated(seed, Truth(0.0)) for seed in range(seeds)]
    reach = float(np.mean([found.detectable for found in null if found.detectable is not None]))
    planted = Truth(2 * reach)
    better = [simulated(seeds + seed, planted) for seed in range(seeds)]
    worse = [simulated(2 * seeds + seed, Truth(-2 * reach, 0.5)) for seed in range(seeds // 4)]
    woven = [simulated(3 * seeds + seed, planted, DAYS + 1, woven=True) for seed in range(seeds // 4)]
    return [
        *(_covers(f"{name}: interval holds the truth, no effect", null, name, 0.0) for name in FIGURES),
        *(
            _covers(f"{name}: interval holds the truth, an effect", better, name, truth)
            for name, truth in planted.all.items()
        ),
        _ends("right winner at twice the detectable effect", better, ">= 90", "challenger"),
        _ends("right winner at twice, switchback", woven, ">= 90", "challenger"),
        _ends("worse challenger is stopped or loses", worse, ">= 90", "stopped for harm", "champion"),
        _ends("equal challenger is stopped for harm", null, "<= 4", "stopped for harm"),
        _ends("equal arms with a winner", null, "<= 8", "challenger", "champion"),
        Figure("detectable Sharpe ratio a day in two weeks", reach * MINUTES_A_DAY**0.5, None, ""),
    ]


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
    """Share of the intervals of one figure that hold the truth, %."""
    held = [one.differences[name] for one in found]
    return float(100 * np.mean([(one.low or 0.0) <= truth <= (one.high or 0.0) for one in held]))


def _covers(title: str, found: list[AbResult], name: str, truth: float) -> Figure:
    return Figure(title, covered(found, name, truth), None, "%", ">= 92")


def _ends(title: str, found: list[AbResult], bar: str, *verdicts: str) -> Figure:
    return Figure(title, 100 * float(np.mean([one.verdict in verdicts for one in found])), None, "%", bar)


if __name__ == "__main__":
    main()
