"""The page in a real browser, fed by a real runner that trades at a replay venue: what a person sees and can do."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import pytest

from live.replay import decision_of
from storage.bundle import MANIFEST
from storage.deployment import SIGNATURE_HEADER, pack, signature
from storage.journal import DECISION, KILL, read_journal
from storage.promotions import PromotionLedger
from tests.builders_browser import Page, browser, chromium
from tests.builders_processes import (
    Process,
    ended_at_last,
    journal_of,
    settings_file,
    synthetic_tape,
    until,
    venue_process,
)
from tests.builders_runner import KEY, approve, write_band_bundle
from trading.records import PLACE

TOKENS: Final = {
    "TICKLOOP_READ_TOKEN": "read token",
    "TICKLOOP_KILL_TOKEN": "kill token",
    "TICKLOOP_DEPLOY_TOKEN": "deploy token",
    "TICKLOOP_DEPLOY_KEY": KEY.decode(),
}
TAPE_S: Final = 300.0  # longer than the tests take
SCREENS: Final = ((1280, 900, "light"), (1280, 900, "dark"), (375, 800, "light"), (375, 800, "dark"))


class Seen(NamedTuple):
    """A runner, and a tab that shows its page."""

    folder: Path
    runner: Process
    url: str
    page: Page
    sha: str


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """The tests of this module run in their order, on one page: the last ones end what the first ones look at."""
    chromium()
    folder = tmp_path_factory.mktemp("page")
    synthetic_tape(folder, TAPE_S)
    sha = write_band_bundle(folder / "written")
    approve(PromotionLedger(folder / "var" / "mlflow" / "promotions.jsonl"), sha)
    with ended_at_last(venue_process(folder)) as venue:
        ports = venue.ready()
        settings_file(folder, ports["ws_port"], ports["rest_port"])
        with ended_at_last(Process(folder, "runner", ["live"], **TOKENS)) as runner:
            url = f"http://127.0.0.1:{runner.ready()['api_port']}"
            until(lambda: httpx.get(f"{url}/health").status_code == 200)
            claimed = signature((folder / "written" / MANIFEST).read_bytes(), KEY)
            headers = {"Authorization": "Bearer deploy token", SIGNATURE_HEADER: claimed}
            answer = httpx.post(f"{url}/deploy", content=pack(folder / "written"), headers=headers, timeout=60)
            assert answer.status_code == 200, answer.text
            with browser(folder / "profile") as page:
                yield Seen(folder, runner, url, page, sha)


def test_the_page_asks_for_the_token_before_it_shows_a_figure(seen: Seen) -> None:
    seen.page.open(seen.url)
    seen.page.wait_for("document.querySelector('#login')?.open")
    assert seen.page.run("!/[0-9]/.test(document.querySelector('#book tbody').innerText)")
    seen.page.run("document.querySelector('#read-token').value = 'read token'")
    seen.page.press("Enter")
    seen.page.wait_for("document.querySelector('#mid')?.innerText.length > 3")
    assert seen.page.text("#link") == "live"


def test_the_book_is_shown_and_moves(seen: Seen) -> None:
    count = "[...document.querySelectorAll('#book .size')].filter(each => each.innerText.trim()).length"
    assert seen.page.wait_for(f"{count} > 10 && {count}") <= 20
    before = seen.page.text("#book")
    seen.page.wait_for(f"document.querySelector('#book').innerText !== {before!r}")
    prices = seen.page.run(
        "[...document.querySelectorAll('#book tbody tr:not(.middle) td:first-child')].map(c => +c.innerText)"
    )
    shown = [price for price in prices if price]
    assert shown == sorted(shown, reverse=True)


def test_signal_gates_latency_and_model_are_shown(seen: Seen) -> None:
    page = seen.page
    page.wait_for("document.querySelector('#mu').innerText.endsWith('bp')")
    assert page.text("#desks tbody tr td:nth-child(2)") == seen.sha[:12]
    gates = page.run("[...document.querySelectorAll('#gates li')].map(each => each.dataset.light)")
    assert len(gates) > 10
    assert set(gates) <= {"green", "amber", "red"}
    assert page.run("[...document.querySelectorAll('#latency td')].every(cell => cell.innerText.length)")
    page.wait_for("document.querySelector('#curve polyline').getAttribute('points').split(' ').length > 2")
    page.run("document.querySelector('#desks tbody tr:nth-child(2) button').click()")
    page.wait_for("document.querySelector('#gates-title').innerText === 'Gates, probe'")
    assert "no forecast" in page.text("#signal-title")


@pytest.mark.parametrize(("width", "height", "scheme"), SCREENS)
def test_nothing_runs_over_the_edge_of_a_screen(seen: Seen, width: int, height: int, scheme: str) -> None:
    page = seen.page
    page.show(width, height, scheme)
    page.wait_for(f"innerWidth === {width}")
    assert page.run("document.documentElement.scrollWidth") <= width
    dark = page.run("getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 22)"
    assert dark == (scheme == "dark")
    if folder := os.environ.get("TICKLOOP_PICTURES"):
        page.picture(Path(folder) / f"page-{width}-{scheme}.png")


def test_a_whole_second_of_news_moves_nothing_but_figures(seen: Seen) -> None:
    seen.page.show(1280, 900, "light")
    seen.page.wait_for("document.querySelectorAll('#fills a').length > 5")
    shifted = """new Promise(done => {
      let moved = 0;
      const watch = new PerformanceObserver(list => { for (const entry of list.getEntries()) moved += entry.value; });
      watch.observe({type: 'layout-shift', buffered: false});
      setTimeout(() => { watch.disconnect(); done(moved); }, 1000);
    })"""
    assert seen.page.run(shifted) < 0.02  # of 0.1 that a whole visit may have


def test_a_fill_leads_to_why_it_was_sent(seen: Seen) -> None:
    page = seen.page
    page.wait_for("document.querySelectorAll('#fills a').length > 5")
    path = page.run(
        "const link = [...document.querySelectorAll('#fills a')].at(5); link.click(); link.getAttribute('href')"
    )
    page.wait_for("document.querySelectorAll('#explanation section').length > 5")
    assert page.run("location.pathname") == path
    text = page.text("#explanation")
    for words in ("bit for bit", "Sizing, step by step", "kill switch", "Had it been sent otherwise", "not sent"):
        assert words in text
    assert path.rpartition("/")[2] in page.text("#explanation h1")
    for width, height, scheme in SCREENS:
        page.show(width, height, scheme)
        page.wait_for(f"innerWidth === {width}")
        assert page.run("document.documentElement.scrollWidth") <= width
        if folder := os.environ.get("TICKLOOP_PICTURES"):
            page.picture(Path(folder) / f"explain-{width}-{scheme}.png")
    page.run("history.back()")
    page.wait_for("!document.querySelector('#live').hidden")


def test_the_keyboard_reaches_everything(seen: Seen) -> None:
    page = seen.page
    page.show(1280, 900, "light")
    page.open(seen.url)
    page.wait_for("document.querySelector('#mid')?.innerText.length > 3")
    reached = []
    for _ in range(12):
        page.press("Tab")
        reached.append(
            page.run("document.activeElement.id || document.activeElement.className || document.activeElement.tagName")
        )
    assert {"skip", "brand", "kill"} <= set(reached)
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_the_kill_switch_asks_twice_and_latches(seen: Seen) -> None:
    page = seen.page
    page.click("#kill")
    page.wait_for("document.querySelector('#kill-dialog').open")
    page.press("Escape")
    page.wait_for("!document.querySelector('#kill-dialog').open")
    page.click("#kill")
    page.wait_for("document.querySelector('#kill-dialog').open")
    page.run("document.querySelector('#kill-token').value = 'guess'")
    page.click("#kill-go")
    page.wait_for("document.querySelector('#kill-title').innerText === 'Are you sure?'")
    page.click("#kill-go")
    page.wait_for("document.querySelector('#kill-answer').innerText.includes('wrong or missing token')")
    assert not _killed(seen)
    page.run("document.querySelector('#kill-token').value = 'kill token'")
    page.click("#kill-go")
    page.wait_for("document.querySelector('#kill').innerText === 'Killed' && document.querySelector('#kill').disabled")
    assert _killed(seen)
    page.wait_for("document.querySelector('#gates li[data-light=red]')?.innerText.includes('kill switch')")
    _no_order_after_the_kill(seen)


def _killed(seen: Seen) -> bool:
    (line,) = httpx.get(f"{seen.url}/symbols", headers={"Authorization": "Bearer read token"}).json()
    return bool(line["killed"])


def _no_order_after_the_kill(seen: Seen) -> None:
    """But those that take off what was held."""
    killed, held, opened = False, dict[int, int](), []
    for record in read_journal(journal_of(seen.folder)):
        killed |= record.kind == KILL
        if record.kind == DECISION and killed:
            decision = decision_of(record.payload)
            held[record.place] = int(decision.record["position"][0])
            placed = decision.intents[decision.intents["verb"] == PLACE]
            opened += [intent for intent in placed if int(intent["side"]) * held[record.place] >= 0]
    assert killed
    assert held
    assert opened == []


def test_a_page_whose_runner_is_gone_says_since_when(seen: Seen) -> None:
    assert seen.runner.end() == 0, seen.runner.lines()
    seen.page.wait_for("document.body.dataset.stale === 'the runner does not answer'")
    assert "old" in seen.page.text("#notice")
    assert "since" in seen.page.text("#notice")
    assert seen.page.text("#link") == "stale"


def test_the_browser_had_nothing_to_complain_of(seen: Seen) -> None:
    expected = ("401 (Unauthorized)", "ERR_CONNECTION_REFUSED", "WebSocket connection")
    assert [line for line in seen.page.complaints if not any(known in line for known in expected)] == []
