"""Who may send orders to an exchange: whoever asked twice, where the profile allows it, with keys that only trade."""

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from config.loading import LIVE_FILE, LIVE_KEYS
from config.orders import GatewayKind
from config.refusals import RefusedKey
from market.errors import ConfigError

KEY, SECRET = LIVE_KEYS
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class Keys(NamedTuple):
    """Of one account at one exchange."""

    key: str
    secret: str

    def __repr__(self) -> str:
        """Nothing of them."""
        return "Keys(...)"


def gateway_of(configured: GatewayKind, flag: GatewayKind | None) -> GatewayKind:
    """The gateway to use: the flag's, or the profile's; an exchange only where both name it.

    Raises ConfigError if one of them alone names the exchange.

    >>> gateway_of("paper", None), gateway_of("paper", "shadow"), gateway_of("exchange", "exchange")
    ('paper', 'shadow', 'exchange')
    """
    chosen = flag or configured
    if "exchange" in (configured, flag) and configured != flag:
        raise ConfigError(
            f"live.gateway={configured} and --gateway {flag or '(not given)'}: orders go to an exchange "
            "only where both say exchange"
        )
    return chosen


def require_test_venue(urls: tuple[str, str], testnet: bool, real_money: bool) -> None:
    """Raises ConfigError if orders would reach a venue with real money and the profile does not allow it.

    urls : of the venue's orders, empty where its own addresses count
    """
    hosts = [urlsplit(url).hostname for url in urls if url]
    if real_money or testnet or (len(hosts) == len(urls) and all(host in LOOPBACK for host in hosts)):
        return
    raise ConfigError(
        f"orders would go to {', '.join(filter(None, hosts)) or 'the exchange itself'}: this profile has "
        "live.orders.real_money=false; set live.orders.testnet, or addresses of this machine"
    )


def require_rehearsal(urls: tuple[str, str]) -> None:
    """Raises ConfigError if the orders of a recorded market would leave this machine.

    urls : of the venue's orders, empty where its own addresses count
    """
    if not all(urlsplit(url).hostname in LOOPBACK for url in urls):
        raise ConfigError(
            "the market is a recording that a replay venue plays: its orders go to live.orders.rest_url and ws_url "
            "on this machine, or on paper"
        )


def keys_from(environment: Mapping[str, str]) -> Keys:
    """The keys. Raises ConfigError, naming the variable, if one is not set."""
    for name in (KEY, SECRET):
        if not environment.get(name):
            raise ConfigError(f"{name} is not set: keys come from the environment or {LIVE_FILE}")
    return Keys(environment[KEY], environment[SECRET])


def require_harmless(restrictions: Mapping[str, object], may_trade: str = "enableFutures") -> None:
    """Raises RefusedKey unless the venue says that a key may trade and cannot withdraw or move money.

    may_trade : what the venue calls the permission to trade
    """
    for name in ("enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer"):
        if restrictions.get(name) is not False:
            raise RefusedKey(
                f"the key of {KEY} is refused: {name}={restrictions.get(name)}; make one that only trades",
                "key may move money",
            )
    if restrictions.get(may_trade) is not True:
        raise RefusedKey(
            f"the key of {KEY} is refused: {may_trade}={restrictions.get(may_trade)}; it may not trade",
            "key may not trade",
        )
