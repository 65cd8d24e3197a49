"""A replay venue's order side on a tape told by hand, and a gateway that talks to it through ccxt."""

import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from config.loading import load_settings
from config.orders import OrderSettings
from live.connectors.pace import Hosts
from live.exchange_account import Account
from live.exchange_order_doors import AccountStreams, OrderDoors
from live.exchange_order_side import order_venue
from live.gateways.exchange import ExchangeGateway
from live.gateways.line import Calls, Line, Patience
from live.gateways.opening import Permit, client_of
from live.gateways.permission import Keys
from market.events import BUY, Events
from market.instrument import Instrument
from market.orders import FILL, Reports
from tests.builders_live import until
from tests.builders_market import SPOT_BTC, USDM_BTC
from tests.builders_trading import VENUE
from tests.builders_venue import snapshot, trade

KEYS: Final = Keys("k" * 16, "s" * 32)
HASTY: Final = Patience(recv_window_s=1.0, poll_s=0.02, open_s=10.0)
WINDOW_MS: Final = 1_000.0
TIMEOUT_MS: Final = 500.0
SPOT: Final = replace(SPOT_BTC, lot_size=1e-5)  # as it trades today: fees of a few lots are above a balance's unit
BID: Final = 500_000
ASK: Final = 500_001


class Tape:
    """A market that stands still: the same book at every beat, or a trade through it."""

    def __init__(self) -> None:
        self.now_ms = itertools.count(1_000)
        self.newest = 0
        self.depth = 10

    def beat(self) -> Events:
        """The whole book once more."""
        self.newest = next(self.now_ms)
        return snapshot(self.newest, {BID: self.depth, BID - 1: 50}, {ASK: self.depth, ASK + 1: 50})

    def print_through(self, side: int, lots: int) -> Events:
        """A trade that takes ``lots`` at the touch of the other side."""
        self.newest = next(self.now_ms)
        return trade(self.newest, side, ASK if side == BUY else BID, lots)

    def now(self) -> int:
        """The tape's clock, ns UTC."""
        return self.newest * 1_000_000


class Floor:
    """Venue, doors, and gateways that come and go."""

    def __init__(self, instrument: Instrument = USDM_BTC, withdraws: bool = False) -> None:
        self.instrument = instrument
        self.tape = Tape()
        self.streams = AccountStreams()
        account = Account(KEYS.key, KEYS.secret, withdraws)
        self.venue = order_venue(instrument)(instrument, VENUE, account, self.tape.now, self.streams.send)
        self.doors = OrderDoors(self.venue, self.streams)
        self.seen: list[Reports] = []
        self.journals = tempfile.TemporaryDirectory()
        self.hosts = Hosts(1_000_000, 1_000)
        self.deaths: list[BaseException] = []  # of tasks of the gateways

    @property
    def base(self) -> str:
        """REST address."""
        return f"http://127.0.0.1:{self.doors.ports[1]}"

    async def beats(self) -> None:
        """Let the market go on, a message every few milliseconds."""
        while True:
            self.venue.on_events(self.tape.beat())
            await asyncio.sleep(0.003)

    def gateway(self) -> ExchangeGateway:
        """A gateway that has not been opened."""
        return ExchangeGateway(self.instrument)

    async def connect(
        self,
        gateway: ExchangeGateway,
        session: str = "abc",
        keys: Keys = KEYS,
        patience: Patience = HASTY,
        adopts: bool = False,
    ) -> None:
        """Open a gateway at this venue."""
        client = client_of(Permit(self.instrument, self.settings(), keys), self.journal(session), self.hosts)
        try:
            ws_url = f"ws://127.0.0.1:{self.doors.ports[0]}"
            calls, generator = Calls(time.time_ns, self._note_death), np.random.default_rng(1)
            await gateway.open(Line(client, ws_url, session, calls, patience, generator, adopts))
        except BaseException:
            await gateway.close()
            await client.close()
            raise

    def settings(self) -> OrderSettings:
        """The way here, for the impatient."""
        orders = load_settings("dev").live.orders
        return replace(orders, rest_url=self.base, ws_url="", timeout_ms=TIMEOUT_MS, recv_window_ms=WINDOW_MS)

    def journal(self, session: str) -> Path:
        """The folder of that journal."""
        folder = Path(self.journals.name) / session
        folder.mkdir(exist_ok=True)
        return folder

    def _note_death(self, _: str, fault: BaseException) -> None:
        self.deaths.append(fault)

    def hear(self, gateway: ExchangeGateway) -> list[Any]:
        """All reports so far, oldest first."""
        reports = gateway.reports(2**62)
        if reports.size:
            self.seen.append(reports)
        return [row for part in self.seen for row in part]

    async def heard(self, gateway: ExchangeGateway, kind: int, count: int = 1) -> list[Any]:
        """All reports, once ``count`` of that kind are among them."""
        await until(lambda: sum(int(row["kind"]) == kind for row in self.hear(gateway)) >= count)
        return self.hear(gateway)

    async def print_through(self, side: int, lots: int) -> None:
        """Trade through the touch."""
        self.venue.on_events(self.tape.print_through(side, lots))


@asynccontextmanager
async def floor(instrument: Instrument = USDM_BTC, withdraws: bool = False) -> AsyncIterator[Floor]:
    """A venue that listens on free ports of loopback, whose market goes on by itself."""
    here = Floor(instrument, withdraws)
    here.venue.on_events(here.tape.beat())
    await here.doors.open("127.0.0.1", 0, 0)
    beating = asyncio.create_task(here.beats())
    try:
        yield here
    finally:
        beating.cancel()
        here.doors.close()
        here.journals.cleanup()


@asynccontextmanager
async def connected(here: Floor, session: str = "abc") -> AsyncIterator[ExchangeGateway]:
    """A gateway that is open."""
    gateway = here.gateway()
    await here.connect(gateway, session)
    try:
        yield gateway
    finally:
        await gateway.close()


def position_of(reports: list[Any]) -> int:
    """Lots, the sum of the fills told."""
    return sum(int(row["side"]) * int(row["qty"]) for row in reports if int(row["kind"]) == FILL)
