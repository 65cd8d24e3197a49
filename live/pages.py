"""The web server of the runner's pages, beside the rows: small messages, and no signal of its own."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from live.api.access import LARGEST_REQUEST
from live.floor import Floor
from market.errors import VenueError
from storage.files import replace_file

LOG: Final = logging.getLogger(__name__)
PAGES_END_S: Final = 2  # how long open requests may take at the end


def page_server(app: FastAPI) -> uvicorn.Server:
    """The server of the pages: small messages in, none compressed, and no signal of its own."""
    return _Pages(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=PAGES_END_S,
            ws_max_size=LARGEST_REQUEST,
            ws_per_message_deflate=False,
        )
    )


@asynccontextmanager
async def served(app: FastAPI, floor: Floor, listener: socket.socket) -> AsyncIterator[None]:
    """Serve the pages for as long as the floor runs; where they end, the floor stops."""
    pages = page_server(app)
    serving = asyncio.create_task(pages.serve(sockets=[listener]))
    serving.add_done_callback(lambda _: floor.stop())
    try:
        yield
    finally:
        pages.should_exit = True
        await serving


def listen(host: str, port: int) -> socket.socket:
    """A socket of the pages; 0 takes a free port. Raises VenueError if the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise VenueError(f"port {port} for the runner's pages is taken: {error.strerror}") from error
    return listener


def tell_ready(listener: socket.socket, ready_file: Path | None) -> None:
    """Say where the pages are; the file is JSON of api_port and pid."""
    host, port = listener.getsockname()
    LOG.info(f"runner pages at http://{host}:{port}")
    if ready_file:
        replace_file(ready_file, json.dumps({"api_port": port, "pid": os.getpid()}).encode())


class _Pages(uvicorn.Server):
    """A web server that leaves the signals to the runner."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield
