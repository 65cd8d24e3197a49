"""The tasks of a gateway, beside the rows: a fault in one is told, scrubbed, and stops the gateway."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from market.errors import BackgroundError, TickloopError


class Tasks:
    """Work that no row waits for."""

    def __init__(self, on_fault: Callable[[BaseException, BaseException], None]) -> None:
        """``on_fault`` hears of a fault as it is, and in words that hold no secret."""
        self._on_fault = on_fault
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> "Iterator[asyncio.Task[None]]":
        """Those that are not over."""
        return iter(tuple(self._tasks))

    def begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Begin some work."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def begin_lasting(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin work without an end; where it has one, that is a fault."""
        self.begin(_lasting(name, work))

    async def end(self) -> None:
        """Cancel all, and return once they are over."""
        for task in self:
            task.cancel()
        await asyncio.gather(*self, return_exceptions=True)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is None:
            return
        told = fault
        if not isinstance(fault, TickloopError):  # its text may hold an address with a signature
            told = BackgroundError(f"a task of the order gateway has ended: {type(fault).__name__}")
        self._on_fault(fault, told)


async def _lasting(name: str, work: Coroutine[Any, Any, None]) -> None:
    """Work without an end. Raises BackgroundError if it has one."""
    await work
    raise BackgroundError(f"the {name} of the order gateway has ended")
