"""The doors that models come and go through: a pushed bundle, and the one before, each for a symbol and a role."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, HTTPException, Query, Request

from live.api.access import Access, bears
from live.desk import Model
from live.floor import Floor
from live.plan import ROLES, Pushed, Role
from live.rollout import Refusal, Rollout
from live.runner import Runner
from live.swaps import STOPPING
from live.views import Deployed, Refused
from market.errors import ModelError, StoppingError
from monitoring.metrics import Meters
from storage.deployment import LARGEST_BODY, SIGNATURE_HEADER

UPLOAD_S: Final = 60.0  # for the whole body; nobody else is checked meanwhile
_STATUS: Final = {
    "closed": 403,
    "token": 401,
    "size": 413,
    "symbol": 404,
    "late": 408,
}  # of refusals that any bundle would meet
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Refused} for status in (*_STATUS.values(), 409, 503)
}
Symbol = Annotated[str, Query(description="the only one, unless given")]


def add_rollout(
    router: APIRouter, floor: Floor, rollouts: Mapping[str, Rollout], meters: Meters, access: Access
) -> None:
    """Add both routes; a symbol without a rollout neither takes a model nor gives one back.

    meters : of what is refused before it is clear which symbol it is for
    """
    hatch = _Hatch(floor, rollouts, access)

    @router.post("/deploy", responses=_REFUSED)
    @router.post("/deploy/{role}", responses=_REFUSED)
    async def deploy(
        request: Request, role: Pushed = "champion", symbol: Symbol = "", authorization: Annotated[str, Header()] = ""
    ) -> Deployed:
        with _counted(meters):
            return await hatch.take_in(request, role, symbol, authorization)

    @router.post("/rollback", responses=_REFUSED)
    @router.post("/rollback/{role}", responses=_REFUSED)
    async def roll_back(
        role: Role = "champion", symbol: Symbol = "", authorization: Annotated[str, Header()] = ""
    ) -> Deployed:
        with _counted(meters):
            return await hatch.give_back(role, symbol, authorization)


class _Hatch:
    """Lets one model through at a time."""

    def __init__(self, floor: Floor, rollouts: Mapping[str, Rollout], access: Access) -> None:
        self._floor = floor
        self._rollouts = rollouts
        self._access = access
        self._checking = asyncio.Lock()

    async def take_in(self, request: Request, role: Pushed, symbol: str, authorization: str) -> Deployed:
        """Prove a pushed bundle and give it its role. Raises Refusal, or ModelError if its desk does not get flat."""
        runner = self._runner(symbol, authorization)
        async with self._checking:
            body, claimed = await _body(request), request.headers.get(SIGNATURE_HEADER, "")
            rollout = self._rollouts[runner.plan.instrument.name]
            with _told(runner, role):
                sha, strategy = await asyncio.to_thread(rollout.accept, body, claimed, role)
            running = await _served(runner, role, Model(strategy, sha), self._access.swap_patience_s)
        runner.meters.count("deployments", role=role)
        return Deployed(role, running, runner.next_row_ts)

    async def give_back(self, role: Role, symbol: str, authorization: str) -> Deployed:
        """Bring the model before back. Raises as ``take_in``."""
        runner, place = self._runner(symbol, authorization), ROLES[role]
        async with self._checking:
            self._rollouts[runner.plan.instrument.name].require_approval(runner.swaps.previous_sha(place), role)
            running = await runner.swaps.roll_back(place, self._access.swap_patience_s)
        runner.meters.count("rollbacks", role=role)
        return Deployed(role, running, runner.next_row_ts)

    def _runner(self, symbol: str, authorization: str) -> Runner:
        _open(self._rollouts, self._access, authorization, self._checking)
        if self._floor.stopping:
            raise StoppingError(STOPPING)
        return _runner_of(self._floor, symbol)


async def _served(runner: Runner, role: Pushed, model: Model, patience_s: float) -> str:
    """Sha of the model that decides once this one was given its role; a fallback decides only when it is called for."""
    if role == "fallback":
        runner.fallback.keep(model)
        return runner.desks[ROLES["champion"]].bundle_sha
    return await runner.deploy(*model, patience_s, role)


@contextmanager
def _told(runner: Runner, role: Pushed) -> Iterator[None]:
    """A champion that is refused inside may leave its desk to the fallback."""
    try:
        yield
    except Refusal as refusal:
        if role == "champion":
            runner.fallback.champion_refused(refusal.code)
        raise


def _open(rollouts: Mapping[str, Rollout], access: Access, authorization: str, checking: asyncio.Lock) -> None:
    if not rollouts or not access.deploy_token:
        raise Refusal("closed", "this runner takes no bundles: it has no deploy token and key")
    if not bears(authorization, access.deploy_token):
        raise Refusal("token", "wrong or missing token")
    if checking.locked():
        raise Refusal("busy", "another bundle is being checked")


def _runner_of(floor: Floor, symbol: str) -> Runner:
    """The runner that a bundle is for: the only one, unless a symbol is named. Raises Refusal if it is not clear."""
    if not symbol and len(floor.runners) == 1:
        return floor.runners[0]
    if symbol not in floor.symbols:
        raise Refusal("symbol", f"symbol={symbol[:64]!r} is not one of {', '.join(floor.symbols)}")
    return floor[symbol]


@contextmanager
def _counted(meters: Meters) -> Iterator[None]:
    """What is refused inside is counted by its reason, and answered in one line."""
    try:
        yield
    except Refusal as refusal:
        meters.count("refused_bundles", reason=refusal.code)
        raise HTTPException(_STATUS.get(refusal.code, 409), str(refusal)) from refusal
    except StoppingError as error:
        meters.count("refused_bundles", reason="stopping")
        raise HTTPException(503, str(error)) from error
    except ModelError as error:
        meters.count("refused_bundles", reason="not swapped")
        raise HTTPException(409, str(error)) from error


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise Refusal("size", f"a body may hold {LARGEST_BODY} bytes")
    except TimeoutError as error:
        raise Refusal("late", f"the bundle was not here within {UPLOAD_S:g} s") from error
    return bytes(body)
