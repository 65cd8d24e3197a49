"""Processes that do the same work beside this one, each started anew."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def colleagues(
    work: Callable[..., None], count: int, arguments: tuple[Any, ...], say: Callable[[str], None]
) -> Iterator[None]:
    """``count`` processes that call ``work`` while the context lasts; it is left when all are through.

    work : importable by name, as its arguments must be picklable. It must do without any of its fellows: one that dies
        is told in a line, and the others go on. Where the context is left by an error they are ended.
    """
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=work, args=arguments, daemon=True) for _ in range(count)]
    for process in started:
        process.start()
    try:
        yield
    except BaseException:
        for process in started:
            process.terminate()
        raise
    finally:
        for number, process in enumerate(started, 1):
            process.join()
            if process.exitcode:
                say(f"process {number} beside this one ended with code {process.exitcode}")
