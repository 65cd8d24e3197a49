"""The log of a process as JSON lines, without its secrets."""

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

SECRET_NAMES: Final = ("TOKEN", "KEY", "SECRET", "PASSWORD", "PASSPHRASE")  # ends of variables whose values never show
LEAST_SECRET: Final = 4  # characters; what is shorter would black out words
_HIDDEN: Final = "***"
_BEARING: Final = re.compile(
    r"(?i)(bearer\s+|(?:signature|listenkey|apikey|api_key|secret|token|password)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;}]+"
)
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/@:]*:(?P<password>[^/@]+)@")
_CHATTY: Final = ("httpx", "httpcore", "urllib3", "asyncio", "ccxt")  # they tell of every request, addresses included


class JsonLines(logging.Formatter):
    """One JSON object a record: when, how bad, who, what, and the traceback where there is one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._secrets = sorted({text for text in secrets if len(text) >= LEAST_SECRET}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {"ts": when, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps({name: self.scrubbed(text) for name, text in fields.items()}, ensure_ascii=False)

    def scrubbed(self, text: str) -> str:
        """The text without our secrets, and without whatever stands where secrets stand."""
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return _BEARING.sub(rf"\g<1>{_HIDDEN}", text)


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """Values of the variables that hold a secret by their names, and the passwords of those that hold an address."""
    named = [value for name, value in environment.items() if name.upper().endswith(SECRET_NAMES)]
    return named + [password for value in environment.values() if (password := _password(value))]


def _password(value: str) -> str | None:
    """Of an address with a password in it: that, as it stands there."""
    found = _ADDRESS.match(value)
    return found["password"] if found else None


def write_json_lines(secrets: Iterable[str], stream: TextIO | None = None) -> None:
    """From now on whatever this process logs is a JSON line on ``stream``, standard output unless given."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonLines(secrets))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
