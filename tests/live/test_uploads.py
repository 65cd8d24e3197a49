"""A bundle that never comes to its end holds the door for a bounded time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from live.api import rollout
from live.rollout import Refusal
from tests.builders_live import in_loop


class Trickle:
    """A request that has begun."""

    async def stream(self) -> AsyncIterator[bytes]:
        """One byte, and nothing after it."""
        yield b"x"
        await asyncio.Event().wait()


@in_loop
async def test_an_upload_that_does_not_end_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "UPLOAD_S", 0.05)
    with pytest.raises(Refusal, match=r"not here within 0\.05 s") as refused:
        await rollout._body(cast(Any, Trickle()))
    assert rollout._STATUS[refused.value.code] == 408
