"""Whose orders the replay venue takes, what an order is there, and what a request is answered where it is refused."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

Answer = tuple[HTTPStatus, Any]


class Greeting(NamedTuple):
    """What a listener of the account's stream is answered."""

    answer: dict[str, Any]
    admitted: bool  # it hears of the account from now on


class Refusal(Exception):
    """What Binance answers instead."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.answer = HTTPStatus.BAD_REQUEST, {"code": code, "msg": text}


class TooMany(Refusal):
    """429: the client asks too often."""

    def __init__(self) -> None:
        super().__init__(-1003, "Too many requests.")
        self.answer = HTTPStatus.TOO_MANY_REQUESTS, self.answer[1]


@dataclass(frozen=True, slots=True)
class Account:
    """Whose orders are taken, and what its key may do."""

    key: str
    secret: str
    withdraws: bool = False

    def check(self, query: str, headers: Mapping[str, str], now_ms: float) -> None:
        """Raises Refusal unless key, signature and time of a request are right; ``now_ms`` : the venue's clock, UTC."""
        if headers.get("x-mbx-apikey") != self.key:
            raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.")
        payload, _, signature = query.rpartition("&signature=")
        expected = hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature, expected):
            raise Refusal(-1022, "Signature for this request is not valid.")
        fields = dict(parse_qsl(payload))
        late_ms = now_ms - float(fields.get("timestamp", 0))
        if not -1_000.0 <= late_ms <= float(fields.get("recvWindow", 5_000)):
            raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")


@dataclass
class VenueOrder:
    """One order as Binance shows it."""

    venue_id: int
    client_id: str
    side: int
    price: int  # ticks
    qty: int  # lots
    tif: str
    status: str = "NEW"
    filled: int = 0
    venue_ts: int = 0
    refusal: int = 0  # reason of the kernel

    @property
    def over(self) -> bool:
        """Whether nothing of it works any more."""
        return self.status not in ("NEW", "PARTIALLY_FILLED")


def signed(fields: Mapping[str, Any], secret: str) -> str:
    """A query string with its signature, as Binance wants it.

    >>> signed({"a": 1}, "s")[:14]
    'a=1&signature='
    """
    query = urlencode(fields)
    return f"{query}&signature={hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()}"
