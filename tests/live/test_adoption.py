"""A position from before the journal: refused unless asked for; then told as the first report, and replayed."""

from pathlib import Path

import numpy as np
import pytest

from live.gateways.opening import adopting
from live.parity import parity_of
from market.errors import ConfigError, VenueError
from market.events import BUY, SELL
from market.instrument import Instrument
from market.orders import ACKED, FILL, IOC, NO_REASON, OPENING, POST_ONLY, REPORT
from tests.builders_live import in_loop
from tests.builders_market import COINM_BTC, USDM_BTC
from tests.builders_orders import ASK, BID, Floor, connected, floor
from tests.builders_runner import START, close_all, drive, new_runner, synthetic_frames
from tests.live.test_exchange_desk import exchange_plan

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp")


async def bought(here: Floor, side: int, qty: int) -> None:
    """Trade under another journal, and leave."""
    async with connected(here, "before") as stranger:
        stranger.place(1, side, ASK if side == BUY else BID, qty, IOC, 0)
        await here.heard(stranger, FILL)
    here.seen.clear()


@pytest.mark.parametrize(("instrument", "side"), [(USDM_BTC, BUY), (COINM_BTC, SELL)], ids=["long", "inverse short"])
@in_loop
async def test_a_position_is_adopted_at_its_entry_price_and_traded_from_there(
    instrument: Instrument, side: int
) -> None:
    async with floor(instrument) as here:
        await bought(here, side, 4)
        gateway = here.gateway()
        await here.connect(gateway, "new", adopts=True)
        [opening] = await here.heard(gateway, OPENING)
        entry = ASK if side == BUY else BID
        assert [int(opening[name]) for name in ("order_id", "side", "qty", "price")] == [0, side, 4, entry]
        gateway.place(1, -side, BID if side == BUY else ASK, 3, IOC, 0)
        reports = await here.heard(gateway, FILL)
        assert gateway.position == here.venue.position == side
        again = here.gateway()
        again.place(1, -side, BID, 3, IOC, 0)
        again.hear(np.array([tuple(row) for row in reports], REPORT))
        await gateway.close()
        await here.connect(again, "new", adopts=True)  # this journal has told something: nothing is adopted twice
        assert again.position == here.venue.position == side
        await again.close()


@in_loop
async def test_without_being_told_to_it_is_refused_in_one_line() -> None:
    async with floor() as here:
        await bought(here, BUY, 4)
        with pytest.raises(
            VenueError, match="holds 4 lots of .*, the journal 0; a new journal takes .* with --adopt-pos"
        ):
            await here.connect(here.gateway(), "new")


@in_loop
async def test_orders_that_the_journal_does_not_know_are_not_adopted() -> None:
    async with floor() as here, connected(here, "before") as stranger:
        stranger.place(1, BUY, BID, 2, POST_ONLY, 0)
        await here.heard(stranger, ACKED)
        with pytest.raises(VenueError, match="1 orders work in"):
            await here.connect(here.gateway(), "new", adopts=True)


def test_paper_has_nothing_to_adopt() -> None:
    with pytest.raises(ConfigError, match="orders do not go to an exchange"):
        adopting({})


def test_a_journal_that_begins_with_an_opening_replays_with_its_books(tmp_path: Path) -> None:
    runner = new_runner(tmp_path, plan=exchange_plan())
    desk = runner.desks[0]
    told = [(0, 0, 600_000, 12, 0, START, START, OPENING, NO_REASON, BUY, 0)]
    desk.gateway.hear(np.array(told, REPORT))
    runner.on_connection(True, START)
    drive(runner, synthetic_frames(3.0))
    close_all(runner)
    assert desk.session.position == 12
    equity, position = desk.session.books.cash, desk.session.position
    runner.journal.close()
    assert parity_of(tmp_path / "journal", tmp_path).decisions.exact
    again = new_runner(tmp_path, plan=exchange_plan())
    assert (again.desks[0].session.books.cash, again.desks[0].session.position) == (equity, position)
    assert again.desks[0].gateway.position == 12
    again.journal.close()
