"""The REST side of a venue: one client for all symbols, paced by the venue's own weights."""

import asyncio
import re
from typing import Final

import httpx
import msgspec

from live.connectors.binance_api import INVALID_SYMBOL, depth_weight, rest_prefix
from live.connectors.pace import Bucket, take
from market.errors import VenueError
from market.instrument import Instrument

_TIMEOUT_S: Final = 10.0
TOO_MANY: Final = (429, 418)  # slow down; banned
_UNTOLD_S: Final = 60.0  # wait where a venue that sends us away does not say for how long
_SECONDS: Final = re.compile(r"\d{1,6}")


class UnknownSymbol(VenueError):
    """The venue does not know the symbol."""


class Rest:
    """Questions to one venue; usable inside ``async with``, by many at a time."""

    def __init__(self, url: str, bucket: Bucket) -> None:
        """``bucket``: the budget of the address, see ``live.connectors.pace.Hosts``."""
        self._url = url.rstrip("/")
        self._bucket = bucket
        self._users = 0
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> "Rest":
        self._users += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if self._users == 0 and self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def depth(self, instrument: Instrument, levels: int) -> bytes:
        """Body of Binance's depth snapshot. Raises UnknownSymbol, or VenueError if it gives none."""
        url, symbol = f"{self._url}{rest_prefix(instrument)}/depth", instrument.venue_symbol.upper()
        answer = await self._get(url, {"symbol": symbol, "limit": levels}, depth_weight(instrument, levels))
        if answer.status_code == httpx.codes.OK:
            return answer.content
        if _code(answer.content) == INVALID_SYMBOL:
            raise UnknownSymbol(f"the venue at {url} does not know symbol={symbol}")
        raise VenueError(f"{url} answers {answer.status_code}: {' '.join(answer.text.split())[:120]}")

    async def _get(self, url: str, query: dict[str, str | int], weight: int) -> httpx.Response:
        self._client = self._client or httpx.AsyncClient(timeout=_TIMEOUT_S)
        await take(self._bucket, weight)
        try:
            answer = await self._client.get(url, params=query)
        except httpx.TransportError as error:
            raise VenueError(f"no venue answers at {url}: {error}") from error
        if answer.status_code in TOO_MANY:
            wait_s = told_wait_s(answer.headers.get("Retry-After"))
            self._bucket.close(wait_s, asyncio.get_running_loop().time())
            raise VenueError(f"{url} answers {answer.status_code}: we ask too often, and wait {wait_s:g} s")
        return answer


def told_wait_s(retry_after: str | None) -> float:
    """Seconds that a Retry-After header asks for; a minute where there is none that can be read.

    >>> told_wait_s("7"), told_wait_s(None)
    (7.0, 60.0)
    """
    return float(retry_after) if retry_after and _SECONDS.fullmatch(retry_after) else _UNTOLD_S


def _code(body: bytes) -> int | None:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return answer.get("code") if isinstance(answer, dict) else None
