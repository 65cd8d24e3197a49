"""Writes the table of stylised facts in docs/simulator.md: simulated tapes beside recordings of the same length."""

import sys
from pathlib import Path
from typing import Final

import numpy as np

from market.events import Events
from market.instrument import Instrument
from market.simulator.facts import stylised_facts
from market.simulator.parameters import SimulationParameters
from market.simulator.tape import SimulatedTape
from tests.builders_market import COINM_BTC, recorded_events

TARGET: Final = Path(__file__).parents[1] / "docs" / "simulator.md"
BEGIN: Final = "<!-- facts: written by tools/simulator_docs.py -->\n"
END: Final = "<!-- end of facts -->\n"
SEEDS: Final = range(9)
TIMES: Final = 2.0  # a fact this far off is marked


def main() -> None:
    """Simulate, measure, and put the table between its marks."""
    coinm, usdm = (recorded_events(run) for run in ("binance-coinm-btcusd_perp", "binance-usdm-btcusdt"))
    recorded = stylised_facts(coinm)
    simulated = [stylised_facts(simulated_like(coinm, COINM_BTC, seed)) for seed in SEEDS]
    table = facts_table(recorded, stylised_facts(usdm), simulated)
    page = TARGET.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN)
    TARGET.write_text(head + BEGIN + table + END + rest.split(END)[1], encoding="utf-8")
    sys.stdout.write(table)


def simulated_like(events: Events, instrument: Instrument, seed: int) -> Events:
    """A simulated tape of the span of a recorded one, in mode "reactive"."""
    start, end = int(events["ingest_ts"][0]), int(events["ingest_ts"][-1])
    return np.concatenate(
        list(SimulatedTape(SimulationParameters(seed, mode="reactive"), instrument, start).batches(end))
    )


def facts_table(recorded: dict[str, float], other: dict[str, float], simulated: list[dict[str, float]]) -> str:
    """Markdown: both recordings, and over the seeds the median and the extremes."""
    rows = ["| fact | COIN-M BTC | USD-M BTC | simulated: median | least to most | |", "|---|---:|---:|---:|---:|---|"]
    for name, value in recorded.items():
        over = sorted(facts[name] for facts in simulated)
        middle = over[len(over) // 2]
        extremes = f"{_text(over[0])} to {_text(over[-1])}"
        rows.append(
            f"| {name} | {_text(value)} | {_text(other[name])} | {_text(middle)} | {extremes} | {_off(middle, value)} |"
        )
    return "\n".join(rows) + "\n"


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _off(simulated: float, recorded: float) -> str:
    """How many times off the recording, where that is more than TIMES and neither is about 0."""
    if min(abs(simulated), abs(recorded)) < 0.1:
        return ""
    ratio = simulated / recorded
    return "" if 1 / TIMES <= ratio <= TIMES else f"{ratio:.2g} x"


if __name__ == "__main__":
    main()
