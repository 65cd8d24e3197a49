"""The kill switch's door, with a token of its own."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query

from live.api.access import Access, Refusals, bears
from live.floor import Floor
from live.runner import Runner
from live.views import Killed, Refused
from market.errors import JournalError
from trading import account as own

_REFUSED: Final[dict[int | str, dict[str, Any]]] = {status: {"model": Refused} for status in (401, 403, 404, 507)}


def add_killing(router: APIRouter, floor: Floor, guard: tuple[Access, Refusals]) -> None:
    """The route."""
    access, refusals = guard

    @router.post("/kill", responses=_REFUSED)
    async def kill(
        symbol: Annotated[str, Query(description="one of them; all unless given")] = "",
        authorization: Annotated[str, Header()] = "",
    ) -> Killed:
        if not access.kill_token:
            raise refusals.error(403, "closed", "this runner cannot be killed over HTTP: it has no kill token")
        if not bears(authorization, access.kill_token):
            raise refusals.error(401, "token", "wrong or missing token")
        if symbol and symbol not in floor.symbols:
            raise refusals.error(404, "symbol", f"no symbol {symbol[:64]!r}; there is {', '.join(floor.symbols)}")
        runners = [floor[symbol]] if symbol else list(floor.runners)
        if unwritten := _kill(runners):
            told = "; ".join(f"a restart of {name} is not: {error}" for name, error in unwritten.items())
            raise refusals.error(507, "journal", f"every desk is latched, but {told}")
        return _killed(runners)


def _kill(runners: list[Runner]) -> dict[str, JournalError]:
    """Latch every desk of all runners, whatever the disk says; the failures of journals, by symbol."""
    for runner in runners:
        runner.latch()
        runner.meters.count("kills")
    unwritten = {}
    for runner in runners:
        try:
            runner.kill()
        except JournalError as error:
            unwritten[runner.plan.instrument.name] = error
    return unwritten


def _killed(runners: list[Runner]) -> Killed:
    desks = [(runner.plan.instrument.name, desk) for runner in runners for desk in runner.desks]
    left = sum(int((desk.session.account[0][:, own.STATE] != own.FREE).sum()) for _, desk in desks)
    return Killed(tuple(f"{symbol}/{desk.name}" for symbol, desk in desks), left)
