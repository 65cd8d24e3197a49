"""A ladder in words, for a person's screen, and as JSON."""

from typing import Any

from live.ladder import Ladder
from monitoring.profit_parity import Waterfall


def lines_of(ladder: Ladder) -> list[str]:
    """A line a level, the causes of a difference, and the verdict."""
    lines = [f"level {level.level}  {level.verdict:12} {level.why}" for level in ladder.levels]
    if ladder.torn_bytes:
        lines.append(f"{ladder.torn_bytes} bytes of a torn end left out")
    if ladder.causes is not None:
        lines += [f"causes of the difference, desk {ladder.desk}:", *cause_lines(ladder.causes)]
    return [*lines, f"parity   {ladder.verdict}"]


def cause_lines(causes: Waterfall) -> list[str]:
    """The waterfall from top to bottom, settlement currency."""
    rows = [("assumed", causes.assumed), *causes.bars, ("made", causes.made)]
    return [f"  {name:10} {amount:+.8g}" for name, amount in rows]


def as_json(ladder: Ladder) -> dict[str, Any]:
    """Everything that is known, JSON-able."""
    return {
        "symbol": ladder.symbol,
        "gateway": ladder.gateway,
        "desk": ladder.desk,
        "config_sha": ladder.config_sha,
        "fee_sha": ladder.fee_sha,
        "verdict": ladder.verdict,
        "levels": [level._asdict() for level in ladder.levels],
        "causes": ladder.causes.as_dict() if ladder.causes else None,
        "minutes": ladder.minutes.to_dicts() if ladder.minutes is not None else None,
        "torn_bytes": ladder.torn_bytes,
        "models": {sha: found._asdict() for sha, found in ladder.models.items()},
    }
