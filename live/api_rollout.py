"""The doors that models come and go through: a pushed bundle, and the one before, each for a role."""

import asyncio
import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final, NamedTuple

from fastapi import FastAPI, Header, HTTPException, Request

from live.floor import Floor
from live.plan import ROLES, Role
from live.rollout import Refusal, Rollout
from live.runner import Runner
from market.errors import ModelError
from monitoring.metrics import Meters
from storage.deployment import LARGEST_BODY, SIGNATURE_HEADER

_STATUS: Final = {"closed": 403, "token": 401, "size": 413, "symbol": 404}  # that any bundle would meet


class Access(NamedTuple):
    """Who may do what, and how long a swap may wait."""

    read_token: str  # empty: reading is free on loopback
    deploy_token: str
    swap_patience_s: float
    kill_token: str = ""  # empty: nobody kills over HTTP


def add_rollout(app: FastAPI, floor: Floor, rollouts: Mapping[str, Rollout], access: Access) -> None:
    """Add both routes; without a rollout no model comes or goes. ``symbol`` may be left out where there is but one."""
    checking, patience_s = asyncio.Lock(), access.swap_patience_s

    @app.post("/deploy")
    @app.post("/deploy/{role}")
    async def deploy(
        request: Request, role: Role = "champion", symbol: str = "", authorization: Annotated[str, Header()] = ""
    ) -> dict[str, Any]:
        with _counted(floor.runners[0].meters):
            _require_key(rollouts, access, authorization, checking)
            runner = _runner_of(floor, symbol)
            async with checking:
                body, claimed = await _body(request), request.headers.get(SIGNATURE_HEADER, "")
                accept = rollouts[runner.plan.instrument.name].accept
                sha, strategy = await asyncio.to_thread(accept, body, claimed, role)
                running = await runner.deploy(strategy, sha, patience_s, role)
        runner.meters.count("deployments", role=role)
        return {"role": role, "running_sha": running, "row_ts": runner.next_row_ts}

    @app.post("/rollback")
    @app.post("/rollback/{role}")
    async def roll_back(
        role: Role = "champion", symbol: str = "", authorization: Annotated[str, Header()] = ""
    ) -> dict[str, Any]:
        with _counted(floor.runners[0].meters):
            _require_key(rollouts, access, authorization, checking)
            runner = _runner_of(floor, symbol)
            async with checking:
                place = ROLES[role]
                rollouts[runner.plan.instrument.name].require_approval(runner.swaps.previous_sha(place), role)
                running = await runner.swaps.roll_back(place, patience_s)
        runner.meters.count("rollbacks", role=role)
        return {"role": role, "running_sha": running, "row_ts": runner.next_row_ts}


def bears(authorization: str, token: str) -> bool:
    """Whether a header carries the token, compared in constant time."""
    return hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())


def _require_key(rollouts: Mapping[str, Rollout], access: Access, authorization: str, checking: asyncio.Lock) -> None:
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
        raise Refusal("symbol", f"symbol={symbol!r} is not one of {', '.join(floor.symbols)}")
    return floor[symbol]


@contextmanager
def _counted(meters: Meters) -> Iterator[None]:
    """What is refused inside is counted by its reason, and answered in one line."""
    try:
        yield
    except Refusal as refusal:
        meters.count("refused_bundles", reason=refusal.code)
        raise HTTPException(_STATUS.get(refusal.code, 409), str(refusal)) from refusal
    except ModelError as error:
        meters.count("refused_bundles", reason="not swapped")
        raise HTTPException(409, str(error)) from error


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise Refusal("size", f"a body may hold {LARGEST_BODY} bytes")
    return bytes(body)
