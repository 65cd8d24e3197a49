"""Accounts at a replay venue that is a process, asked as their owners would ask; and runners whose orders go there."""

import hashlib
import hmac
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import httpx

from config.settings import Paths
from live.connectors.binance_api import REST_PREFIX
from live.connectors.bybit_dialect import CATEGORIES
from live.exchange_account import signed
from live.gateways.client import on_grid
from live.gateways.permission import KEY as KEY_NAME
from live.gateways.permission import SECRET as SECRET_NAME
from live.replay import reports_of
from market.instrument import Instrument
from market.orders import FILL
from market.simulator import synthetic_capture
from storage.deployment import push
from storage.journal import REPORTS, TRADING_DESK, read_journal
from storage.promotions import PromotionLedger
from tests.builders_live import bybit_of
from tests.builders_market import COINM_BTC, SPOT_BTC
from tests.builders_orders import KEYS
from tests.builders_processes import Process
from tests.builders_runner import KEY, START, approve, write_band_bundle

TOKEN: Final = "deploy token"
KEYS_SET: Final = {KEY_NAME: KEYS.key, SECRET_NAME: KEYS.secret}
WINDOW_MS: Final = 60_000
SETTINGS: Final = """extends: dev
data: {{sources: {{{name}: "{tape}"}}}}
instruments:
  {name}: {{venue: {venue}, venue_symbol: {symbol}, contract: {contract}, base: {base}, quote: {quote},
    tick_size: {tick}, lot_size: {lot}, multiplier: {multiplier}}}
features: {{normalizer_min_samples: 2}}
trading: {{routing: {{max_decision_lag_ms: 1000}}, risk: {{max_position_usd: 3000}}}}
live: {{symbol: {name}, ws_url: "ws://127.0.0.1:{ws}", rest_url: "http://127.0.0.1:{rest}", api_port: 0,
  venue_patience_s: 30, snapshot_min: 0.02, gateway: exchange,
  orders: {{rest_url: "http://127.0.0.1:{order_rest}", ws_url: "ws://127.0.0.1:{order_ws}", dead_man_s: {dead_man_s}}}}}
"""


class Market(NamedTuple):
    """What is traded, and what of a tape it is played from."""

    instrument: Instrument
    tape: Instrument
    dead_man_s: int


SPOT: Final = replace(SPOT_BTC, name="binance-spot-btc", lot_size=0.01)  # as deep as the simulator's contracts
BYBIT: Final = bybit_of(COINM_BTC)
MARKETS: Final = {"spot": Market(SPOT, SPOT, 0), "bybit": Market(BYBIT, COINM_BTC, 5)}


class BinanceAccount:
    """The venue's own word on an account at Binance's spot market."""

    def __init__(self, instrument: Instrument, port: int) -> None:
        self.instrument = instrument
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **fields: str) -> Any:
        """The answer to a signed question."""
        query = signed(fields | {"timestamp": int(time.time() * 1e3), "recvWindow": WINDOW_MS}, KEYS.secret)
        url = f"{self._url}{REST_PREFIX[self.instrument.venue]}/{path}?{query}"
        answer = httpx.get(url, headers={"X-MBX-APIKEY": KEYS.key}, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def working(self) -> list[Any]:
        """Open orders."""
        found: list[Any] = self.ask("openOrders")
        return found

    def fills(self) -> list[tuple[int, int, int]]:
        """Side, ticks and lots, in order."""
        rows = self.ask("myTrades", fromId="0", limit="1000000")
        return [(1 if row["isBuyer"] else -1, *self._grid(row["price"], row["qty"])) for row in rows]

    def _grid(self, price: str, qty: str) -> tuple[int, int]:
        return on_grid(price, self.instrument.tick_size), on_grid(qty, self.instrument.lot_size)


class BybitAccount(BinanceAccount):
    """The same at Bybit."""

    def ask(self, path: str, **fields: str) -> Any:
        """The list of a signed question's answer."""
        query = urlencode(fields | {"category": CATEGORIES[self.instrument.venue]})
        stamp = str(int(time.time() * 1e3))
        said = f"{stamp}{KEYS.key}{WINDOW_MS}{query}"
        signature = hmac.new(KEYS.secret.encode(), said.encode(), hashlib.sha256).hexdigest()
        headers = {"X-BAPI-API-KEY": KEYS.key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": str(WINDOW_MS)}
        url = f"{self._url}/v5/{path}?{query}"
        answer = httpx.get(url, headers=headers | {"X-BAPI-SIGN": signature}, timeout=60).json()
        assert answer["retCode"] == 0, answer
        return answer["result"]["list"]

    def working(self) -> list[Any]:
        """Open orders."""
        found: list[Any] = self.ask("order/realtime")
        return found

    def fills(self) -> list[tuple[int, int, int]]:
        """Side, ticks and lots, in order."""
        rows = self.ask("execution/list")[::-1]
        return [(1 if row["side"] == "Buy" else -1, *self._grid(row["execPrice"], row["execQty"])) for row in rows]


def account_at(market: Market, port: int) -> BinanceAccount:
    """The account of that market's venue."""
    return (BybitAccount if market.instrument.venue.startswith("bybit") else BinanceAccount)(market.instrument, port)


def venue_of(folder: Path, market: Market, seconds: float) -> Process:
    """A venue that plays the simulator as that market, and takes orders."""
    (folder / "tape").mkdir()
    topic = b"depth@100ms" if market.tape.contract == "spot" else b"depth@0ms"  # what each market calls it
    lines = (line.replace(b"depth@0ms", topic) for line in synthetic_capture(market.tape, 0, START, seconds))
    (folder / "tape" / f"{market.tape.venue_symbol}_20240809.txt").write_bytes(b"".join(lines))
    write_settings(folder, market, {})
    symbol = market.instrument.name
    listing = symbol if market.tape is market.instrument else f"{symbol}={market.tape.name}"
    arguments = ["exchange", "--symbol", listing, "--start", str(START + 500_000_000)]
    return Process(folder, "venue", [*arguments, "--ws-port", "0", "--rest-port", "0"], **KEYS_SET)


def write_settings(folder: Path, market: Market, ports: dict[str, int]) -> None:
    """Settings of venue and runner."""
    instrument, tape = market.instrument, folder / "tape"
    content = SETTINGS.format(
        name=instrument.name,
        tape=tape,
        venue=instrument.venue,
        symbol=instrument.venue_symbol,
        contract=instrument.contract,
        base=instrument.base,
        quote=instrument.quote,
        tick=instrument.tick_size,
        lot=f"{instrument.lot_size:.8f}",
        multiplier=instrument.multiplier,
        dead_man_s=market.dead_man_s,
        **{name: ports.get(f"{name}_port", 0) for name in ("ws", "rest", "order_ws", "order_rest")},
    )
    if market.tape is not instrument:
        content = content.replace("{sources: {", f'{{sources: {{{market.tape.name}: "{tape}", ')
    (folder / "settings.yaml").write_text(content)


def runner_to(folder: Path, market: Market, ports: dict[str, int], name: str) -> Process:
    """A runner whose orders go to the venue."""
    write_settings(folder, market, ports)
    deploys = {"TICKLOOP_DEPLOY_TOKEN": TOKEN, "TICKLOOP_DEPLOY_KEY": KEY.decode()}
    return Process(folder, name, ["live", "--gateway", "exchange"], **KEYS_SET, **deploys)


def deploy(folder: Path, market: Market, runner: Process) -> None:
    """A champion that trades."""
    sha = write_band_bundle(folder / "bundle", 0.8)
    ledger = PromotionLedger(Paths(folder / "var").ledger)
    ledger.path.parent.mkdir(parents=True, exist_ok=True)
    approve(ledger, sha, f"tickloop-{market.instrument.name}")
    assert push(f"http://127.0.0.1:{runner.ready()['api_port']}", TOKEN, KEY, folder / "bundle")["running_sha"] == sha


def journal_of(folder: Path, market: Market) -> Path:
    """Where the runner keeps the symbol's journal."""
    return folder / "var" / "live" / market.instrument.name / "journal"


def told(folder: Path, market: Market, kind: int = FILL) -> list[tuple[int, int, int]]:
    """Side, ticks and lots of all reports of a kind to the model's desk."""
    records = [r for r in read_journal(journal_of(folder, market)) if r.kind == REPORTS and r.place == TRADING_DESK]
    rows = [row for record in records for row in reports_of(record.payload) if int(row["kind"]) == kind]
    return [(int(row["side"]), int(row["price"]), int(row["qty"])) for row in rows]
