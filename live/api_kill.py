"""The door of the kill switch: it only ever closes trading, and a token of its own opens it."""

from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException

from live.api_rollout import Access, bears
from live.floor import Floor


def add_kill(app: FastAPI, floor: Floor, access: Access) -> None:
    """Add the route; without a kill token it is closed. ``symbol`` may be left out: then every symbol is killed."""

    @app.post("/kill")
    async def kill(symbol: str = "", authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
        if not access.kill_token:
            raise HTTPException(403, "this runner has no kill token")
        if not bears(authorization, access.kill_token):
            raise HTTPException(401, "wrong or missing token")
        runners = [runner for runner in floor.runners if symbol in ("", runner.plan.instrument.name)]
        if not runners:
            raise HTTPException(404, f"symbol={symbol} is not traded here")
        for runner in runners:
            runner.kill()
            runner.meters.count("kills")
        return {"killed": [runner.plan.instrument.name for runner in runners]}
