"""The log: JSON lines that a machine reads, and no secret in them, wherever one was put."""

import io
import json
import logging
import re
from pathlib import Path

import pytest

from live.logs import JsonLines, secrets_of, write_json_lines

ROOT = Path(__file__).parents[2]
PLAIN = {"TICKLOOP_CONFIG", "TICKLOOP_RECORDINGS", "TICKLOOP_WAREHOUSE_USER", "TICKLOOP_REDIS_USER"}
TOKEN = 'pl4nted "t0ken"\\'


def lines(stream: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    write_json_lines(secrets_of({"TICKLOOP_READ_TOKEN": TOKEN, "HOME": "planted", "EXCHANGE_SECRET": "abc"}), out)
    yield out
    logging.basicConfig(handlers=handlers, level=level, force=True)


def test_a_line_says_when_how_bad_who_and_what(stream: io.StringIO) -> None:
    logging.getLogger("live.x").warning("%s frames, planted: é", 3)
    (line,) = lines(stream)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "live.x", "3 frames, planted: é")
    assert line["ts"].endswith("+00:00")


def test_a_planted_token_shows_nowhere(stream: io.StringIO) -> None:
    log = logging.getLogger("live.x")
    log.info("in the text %s", TOKEN)
    log.info("in an argument %r", {"header": TOKEN})
    try:
        raise ValueError(f"in an exception: {TOKEN}")
    except ValueError:
        log.exception("in a traceback")
    written = stream.getvalue()
    assert len(lines(stream)) == 3
    assert "ValueError" in lines(stream)[2]["traceback"]
    for form in (TOKEN, json.dumps(TOKEN)[1:-1], "pl4nted", "t0ken"):
        assert form not in written


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("GET /order?symbol=X&signature=0a1b&x=1", "GET /order?symbol=X&signature=***&x=1"),
        ('{"listenKey": "pq"}', '{"listenKey": "***"}'),
        ("apiKey=k, secret=s", "apiKey=***, secret=***"),
        ("a token is missing", "a token is missing"),
    ],
)
def test_what_stands_where_secrets_stand_is_hidden_too(text: str, shown: str) -> None:
    assert JsonLines([]).scrubbed(text) == shown


def test_a_value_too_short_to_be_a_secret_blacks_out_no_words() -> None:
    assert JsonLines(["a", ""]).scrubbed("a bad day") == "a bad day"


def test_the_password_of_an_address_is_hidden_wherever_it_is_told() -> None:
    environment = {
        "TICKLOOP_STUDY_URL": "postgresql+psycopg2://me:correct-horse@db:5432/studies",
        "OTHER": "http://a:80/b",
    }
    assert secrets_of(environment) == ["correct-horse"]
    assert JsonLines(secrets_of(environment)).scrubbed("no such user: me, correct-horse") == "no such user: me, ***"


def test_every_secret_that_the_examples_name_is_hidden() -> None:
    examples = (ROOT / ".env.example").read_text() + (ROOT / ".env.live.example").read_text()
    named = set(re.findall(r"^# (TICKLOOP_\w+)=", examples, re.M)) - PLAIN
    assert len(named) > 8
    planted = {name: f"planted-{name}" for name in named}
    environment = planted | {"TICKLOOP_STUDY_URL": f"postgresql://me:{planted['TICKLOOP_STUDY_URL']}@db/studies"}
    assert set(planted.values()) == set(secrets_of(environment))
