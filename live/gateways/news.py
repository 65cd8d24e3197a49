"""What an account's own stream says of our orders, by an allow-list of fields: clients read it, the gateway hears."""

from typing import NamedTuple

import msgspec


class OrderNews(msgspec.Struct):
    """Of an ``ORDER_TRADE_UPDATE`` or what another venue says instead: nothing else of it is read."""

    s: str  # symbol
    c: str  # client order id
    x: str  # what happened: NEW, TRADE, CANCELED, EXPIRED
    X: str  # where the order stands
    i: int  # the venue's order id
    z: str  # filled in all
    T: int  # ms UTC
    l: str = "0"  # filled now  # noqa: E741
    L: str = "0"  # its price
    t: int = 0  # trade id
    m: bool = False  # maker


class Heard(NamedTuple):
    """What one message of the stream comes to."""

    news: tuple[OrderNews, ...] = ()
    taken: int = 0  # greetings that the venue has taken
    over: bool = False  # the venue says no more on this connection
