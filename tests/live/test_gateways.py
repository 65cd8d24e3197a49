"""What may refuse an exchange, the life of an order whatever is heard of it, and the gateway that sends nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.line import command_line
from config.loading import load_settings
from live import serve
from live.clock import ReplayClock, WallClock
from live.gateways.life import OrderLife, Standing, Told, Trade
from live.gateways.opening import chosen_gateway, journal_session, permits_of
from live.gateways.permission import KEY, SECRET, gateway_of, keys_from, require_harmless, require_test_venue
from live.gateways.shadow import ShadowGateway
from live.lines import lines_of
from market.errors import ConfigError, VenueError
from market.events import BUY
from market.orders import ACKED, ENDED, FILL, GTC, ORDER_CANCELLED, ORDER_REJECTED, SHADOWED
from tests.builders_live import in_loop
from tests.builders_market import COINM_BTC
from tests.builders_runner import quick_plan
from tests.builders_trading import session

LOOPBACK = ("http://127.0.0.1:1", "ws://localhost:2")


@pytest.mark.parametrize(("configured", "flag"), [("exchange", None), ("paper", "exchange"), ("exchange", "paper")])
def test_an_exchange_is_refused_unless_asked_for_twice(configured: Any, flag: Any) -> None:
    with pytest.raises(ConfigError, match="only where both say exchange"):
        gateway_of(configured, flag)


@pytest.mark.parametrize(
    ("urls", "testnet", "real_money", "refused"),
    [
        (("", ""), False, False, True),
        (("https://fapi.binance.com", LOOPBACK[1]), False, False, True),
        (LOOPBACK, False, False, False),
        (("", ""), True, False, False),
        (("", ""), False, True, False),
    ],
)
def test_real_money_is_refused_unless_the_profile_allows_it(
    urls: tuple[str, str], testnet: bool, real_money: bool, refused: bool
) -> None:
    if not refused:
        require_test_venue(urls, testnet, real_money)
        return
    with pytest.raises(ConfigError, match="real_money=false"):
        require_test_venue(urls, testnet, real_money)


@pytest.mark.parametrize(
    ("recorded", "urls", "refused"),
    [
        (True, ("", ""), True),
        (True, (LOOPBACK[0], ""), True),
        (True, LOOPBACK, False),
        (False, ("", ""), False),
    ],
)
@in_loop
async def test_orders_on_a_recorded_market_never_leave_the_machine(
    monkeypatch: pytest.MonkeyPatch, recorded: bool, urls: tuple[str, str], refused: bool
) -> None:
    clock = ReplayClock(1, 1, 1.0) if recorded else None

    async def answered(*_: Any) -> ReplayClock | None:
        return clock

    monkeypatch.setattr(serve, "replay_clock", answered)
    settings = load_settings("dev")
    orders = replace(settings.live.orders, testnet=True, rest_url=urls[0], ws_url=urls[1])
    permits = permits_of("exchange", [COINM_BTC], orders, {KEY: "a", SECRET: "b"})
    asking = serve._clocks([quick_plan()], lines_of(settings, permits))
    if refused:
        with pytest.raises(ConfigError, match="the market is a recording"):
            await asking
    else:
        [found] = (await asking).values()
        assert found is clock if recorded else isinstance(found, WallClock)


def test_only_the_profile_prod_allows_real_money() -> None:
    assert [load_settings(name).live.orders.real_money for name in ("dev", "prod")] == [False, True]


def test_keys_come_from_the_environment_and_are_never_shown() -> None:
    with pytest.raises(ConfigError, match=SECRET):
        keys_from({KEY: "a"})
    keys = keys_from({KEY: "plain", SECRET: "hidden"})
    assert "plain" not in f"{keys} {keys!r}"
    assert "hidden" not in f"{keys} {keys!r}"


@pytest.mark.parametrize(
    "line", ["live:\n  api_key: abc123", "secret: abc123", "live:\n  orders:\n    password: abc123"]
)
def test_a_secret_in_yaml_is_refused_without_repeating_it(tmp_path: Path, line: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"extends: dev\n{line}\n")
    with pytest.raises(ConfigError, match="never from YAML") as refused:
        load_settings(path=path)
    assert "abc123" not in str(refused.value)


@pytest.mark.parametrize(
    "says",
    [
        {"enableFutures": True},
        {"enableFutures": True, "enableWithdrawals": True},
        {"enableFutures": True, "enableWithdrawals": False, "permitsUniversalTransfer": True},
        {"enableWithdrawals": False},
        {"enableFutures": True, "enableWithdrawals": False, "enableInternalTransfer": False},
        {"enableFutures": True, "enableWithdrawals": False, "permitsUniversalTransfer": False},
    ],
)
def test_a_key_that_may_do_more_or_less_than_trade_is_refused(says: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="is refused"):
        require_harmless(says)
    moves = dict.fromkeys(("enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer"), False)
    require_harmless({"enableFutures": True, **moves})


def test_a_permit_is_needed_for_an_exchange_alone() -> None:
    orders = load_settings("dev").live.orders
    assert permits_of("paper", [COINM_BTC], orders, {}) == {}
    with pytest.raises(ConfigError, match=KEY):
        permits_of("exchange", [COINM_BTC], orders, {})


def test_a_journal_keeps_its_name(tmp_path: Path) -> None:
    name = journal_session(tmp_path)
    assert journal_session(tmp_path) == name != journal_session(tmp_path / "other")


@st.composite
def told_lives(draw: st.DrawFn) -> tuple[int, list[Any]]:
    """An order's true story, then told late, twice and out of order: lots asked for, and what is heard."""
    parts = draw(st.lists(st.integers(1, 5), min_size=0, max_size=5))
    rest = draw(st.integers(0, 4)) if parts else draw(st.integers(1, 4))
    qty, story, filled = sum(parts) + rest, [Standing("NEW", 0, 1, 7)], 0
    for number, lots in enumerate(parts):
        filled += lots
        story.append(Trade(number + 1, 100, lots, True, number + 2))
        story.append(Standing("FILLED" if filled == qty else "PARTIALLY_FILLED", filled, number + 2, 7))
    if rest:
        story.append(Standing("CANCELED", filled, 9, 7))
    twice = draw(st.lists(st.sampled_from(story), max_size=4))
    return qty, draw(st.permutations([*story, *twice]))


@settings(max_examples=200)
@given(told_lives())
def test_an_order_ends_alike_however_its_story_is_told(told: tuple[int, list[Any]]) -> None:
    qty, heard = told
    life, reports = OrderLife(1, BUY, 100, qty, GTC), list[Told]()
    for news in heard:
        reports += life.on_trade(news) if isinstance(news, Trade) else life.on_standing(news)
    kinds = [report.kind for report in reports]
    filled = sum(report.qty for report in reports if report.kind == FILL)
    trades = {news for news in heard if isinstance(news, Trade)}
    assert filled == life.filled == sum(trade.qty for trade in trades)
    assert kinds[0] == ACKED
    assert kinds.count(ACKED) == 1
    assert kinds.count(FILL) == len(trades)
    assert sum(kind in ENDED for kind in kinds) == (1 if filled < qty else 0)
    assert life.ended
    assert not life.missing
    assert reports[-1].kind == (ORDER_CANCELLED if filled < qty else FILL)
    assert [report.leaves for report in reports if report.kind == FILL] == sorted(
        (report.leaves for report in reports if report.kind == FILL), reverse=True
    )


def test_more_fills_than_were_asked_for_stop_trading() -> None:
    with pytest.raises(VenueError, match="order 1 of 2 lots is filled with 3"):
        OrderLife(1, BUY, 100, 2, GTC).on_trade(Trade(1, 100, 3, True, 1))


def test_fills_of_the_journal_are_not_told_again() -> None:
    life = OrderLife(1, BUY, 100, 9, GTC)
    life.remember({"kind": FILL, "qty": 2, "price": 100})
    assert not life.on_trade(Trade(5, 100, 2, True, 1))
    assert [report.kind for report in life.on_trade(Trade(6, 100, 2, True, 2))] == [FILL]
    assert life.filled == 4


def test_a_shadow_desk_sends_nothing_and_goes_on_deciding() -> None:
    gateway = ShadowGateway()
    gateway.place(1, BUY, 100, 5, GTC, 10)
    gateway.cancel(1, 12)
    assert not gateway.reports(9).size
    reports = gateway.reports(11)
    assert reports[["order_id", "kind", "reason"]].tolist() == [(1, ORDER_REJECTED, SHADOWED)]
    other = ShadowGateway()
    other.load(gateway.dump())
    assert other.reports(12).tobytes() == gateway.reports(12).tobytes() != b""
    trader = session("probe")
    trader.on_reports(reports)
    assert trader.flat
    assert np.array_equal(trader.account[1][:4], np.zeros(4))


def test_the_command_line_refuses_an_exchange_that_the_profile_does_not_name() -> None:
    dev = load_settings("dev")
    flag = command_line().parse_args(["live", "--gateway", "exchange"]).gateway
    with pytest.raises(ConfigError, match="live.gateway=paper and --gateway exchange"):
        chosen_gateway(dev, [COINM_BTC.name], flag, {KEY: "a", SECRET: "b"})
    named = replace(dev, live=replace(dev.live, gateway="exchange"))
    gateway, permits = chosen_gateway(named, [COINM_BTC.name], flag, {KEY: "a", SECRET: "b"})
    assert gateway == "exchange"
    assert list(permits) == [COINM_BTC.name]
    real = replace(named, live=replace(named.live, orders=replace(dev.live.orders, testnet=False)))
    with pytest.raises(ConfigError, match="real_money=false"):
        chosen_gateway(real, [COINM_BTC.name], flag, {KEY: "a", SECRET: "b"})
