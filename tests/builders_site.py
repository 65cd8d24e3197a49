"""The pages of a floor on a tape, called in process; and OpenAPI's promises held against answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx

from live.api import Access, api
from live.api.explanations import Explanations
from live.floor import Floor
from live.runner import Runner
from tests.builders_runner import ROW, HandClock, drive, new_runner, synthetic_frames

OPEN = Access(read_token="", deploy_token="", swap_patience_s=5.0, kill_token="kill")


class Watched(Protocol):
    """A runner and a client of its pages."""

    runner: Runner
    client: httpx.AsyncClient


class Desktop:
    """A floor of one runner and whoever looks at it."""

    def __init__(self, folder: Path, access: Access = OPEN) -> None:
        self.runner = new_runner(folder)
        self.symbol = self.runner.plan.instrument.name
        self.floor = Floor([self.runner])
        explanations = Explanations({self.symbol: self.runner.folders}, (250, 1_000))
        self.app = api(self.floor, {}, self.runner.meters, access, explanations)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1:8000")

    def refused(self, reason: str) -> float:
        """How many requests were refused for a reason."""
        return self.runner.meters.value("refused_requests_total", reason=reason)


@asynccontextmanager
async def looking_at(site: Watched, frames: int = 1_500) -> AsyncIterator[Runner]:
    """The runner has followed the first frames of a tape; rows go on closing in the background."""
    runner = site.runner
    runner.on_connection(True, runner.clock.now())
    drive(runner, synthetic_frames(6.0)[:frames])

    async def close() -> None:
        assert isinstance(runner.clock, HandClock)
        while True:
            runner.clock.ns += ROW
            runner.close_due()
            await asyncio.sleep(0.001)

    closing = asyncio.create_task(close())
    try:
        yield runner
    finally:
        closing.cancel()
        await asyncio.wait([closing])
        runner.close()
        await site.client.aclose()


def faults(value: Any, schema: dict[str, Any], whole: dict[str, Any], path: str = "") -> list[str]:
    """Where an answer is not what a schema of OpenAPI promises; a key that it does not name is one, too."""
    if "$ref" in schema:
        named = schema["$ref"].removeprefix("#/components/schemas/")
        return faults(value, whole["components"]["schemas"][named], whole, path)
    if "anyOf" in schema:
        each = [faults(value, option, whole, path) for option in schema["anyOf"]]
        return [] if [] in each else min(each, key=len)
    if "enum" in schema or "const" in schema:
        allowed = schema.get("enum", [schema.get("const")])
        return [] if value in allowed else [f"{path}: {value!r} is none of {allowed}"]
    kinds = {"integer": int, "number": (int, float), "string": str, "boolean": bool, "null": type(None)}
    kind = schema.get("type")
    if kind == "array":
        if not isinstance(value, list):
            return [f"{path}: {value!r} is no array"]
        return [
            fault
            for place, item in enumerate(value)
            for fault in faults(item, schema["items"], whole, f"{path}[{place}]")
        ]
    if kind == "object":
        return _object_faults(value, schema, whole, path)
    fits = isinstance(value, kinds[kind]) and (kind == "boolean" or not isinstance(value, bool)) if kind else False
    return [] if fits else [f"{path}: {value!r} is no {kind}"]


def _object_faults(value: Any, schema: dict[str, Any], whole: dict[str, Any], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no object"]
    if "properties" not in schema:
        return []
    known = schema["properties"]
    missing = [f"{path}.{key} is missing" for key in schema.get("required", ()) if key not in value]
    unknown = [f"{path}.{key} is not promised" for key in value if key not in known]
    inside = [
        fault for key in value.keys() & known.keys() for fault in faults(value[key], known[key], whole, f"{path}.{key}")
    ]
    return missing + unknown + inside
