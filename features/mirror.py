"""What each feature becomes in the mirrored market, where bids are asks and what rises falls."""

from typing import Final

_SIGNED: Final = (
    *("imbalance", "microprice_deviation", "trade_run", "trade_sign", "vwap_distance", "momentum"),
    *("funding_rate", "basis", "leader_return", "leader_premium"),
)
_SIDES: Final = (("_bid_", "_ask_"), ("_ask_", "_bid_"), ("_buy", "_sell"), ("_sell", "_buy"))


def mirrored_places(names: tuple[str, ...]) -> tuple[int, ...]:
    """For each feature the place of the one that takes its value.

    >>> mirrored_places(("spread_ticks", "log_bid_size_1", "log_ask_size_1"))
    (0, 2, 1)
    """
    return tuple(names.index(_other_side(name)) for name in names)


def mirrored_signs(names: tuple[str, ...]) -> tuple[float, ...]:
    """-1 for each feature that speaks of up against down, else 1.

    >>> mirrored_signs(("spread_ticks", "order_flow_imbalance_50ms"))
    (1.0, -1.0)
    """
    return tuple(-1.0 if any(word in name for word in _SIGNED) else 1.0 for name in names)


def _other_side(name: str) -> str:
    for side, other in _SIDES:
        if side in name:
            return name.replace(side, other)
    return name
