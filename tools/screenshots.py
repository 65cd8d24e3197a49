"""Takes the pictures of docs/tour.md with a headless Chromium: the pages that ``make demo`` left, and a runner at work.

python -m tools.screenshots [NAME ...]    (all of them unless named; the ports of the settings must be free)
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import httpx
from PIL import Image

from assets.live_deployment import approved_version, pushed
from config.loading import load_settings
from config.settings import Paths, Settings
from market.errors import TickloopError
from orchestration.live_demo import LOOPBACK, granted, pointed_at
from orchestration.live_processes import settings_file, started
from storage.registry import CHAMPION, Registry
from tests.builders_browser import Page, browser

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET: Final = ROOT / "docs" / "images"
WIDTH: Final = 1280  # pixels
MOST_BYTES: Final = 150_000  # of a picture
INVITATIONS: Final = (("innerText", "Skip"), ("ariaLabel", "Close"))  # to a newsletter, to a chat: they come late
LOOK_S: Final = 3.0  # between two looks at a page, which is kept once they are alike
MOST_LOOKS: Final = 60
FEW_LOOKS: Final = 4  # at a page whose clock counts
READY_S: Final = 300.0  # that a server may take to answer
SENSOR: Final = "feature_drift"  # started for its picture, and stopped again
RESEARCH: Final = ("lineage", "partitions", "checks", "sensor", "compare")
LIVE: Final = ("live", "explain")
SHEET: Final = "tear-sheet"
_STEP: Final = "[...document.querySelectorAll('button, a, [role=button]')].find((one) => one.{what} === {text})"
_MODEL_S: Final = "[...document.querySelectorAll('#fills tbody a')].filter((one) => one.innerText.startsWith('model'))"


class Shot(NamedTuple):
    """A picture: where, how high, what must be shown, what is clicked then, and what must be shown after that."""

    url: str
    height: int
    shown: str
    click: str = ""
    then: str = ""


def main(names: Sequence[str]) -> None:
    """Take the pictures that are named, or all of them."""
    settings, wanted = load_settings(), list(names or (SHEET, *LIVE, *RESEARCH))
    with TemporaryDirectory() as folder, browser(Path(folder) / "profile") as page:
        if SHEET in wanted:
            take(page, {SHEET: Shot(newest_report(settings).as_uri(), 1000, "Net")})
        if any(name in wanted for name in LIVE):
            with trading(settings, Path(folder)) as url:
                take_live(page, url)
        if any(name in wanted for name in RESEARCH):
            with pages_served(settings):
                shots = research(settings)
                take(page, {name: shots[name] for name in RESEARCH if name in wanted})


def take(page: Page, shots: dict[str, Shot]) -> None:
    """Each picture, once its page shows what it should and stands still."""
    for name, shot in shots.items():
        page.show(WIDTH, shot.height, "light")
        page.open(shot.url)
        page.wait_for(says(shot.shown))
        if not shot.click:
            keep(name, still(page))
        else:
            for _ in range(FEW_LOOKS):
                if declined(page):
                    break
                time.sleep(LOOK_S)
            there = _STEP.format(what="innerText", text=json.dumps(shot.click))
            page.wait_for(f"!!{there}")
            page.run(f"{there}.click()")
            page.wait_for(says(shot.then))
            time.sleep(LOOK_S)  # a dialog fades in, over a page whose clock goes on counting
            keep(name, page.screen())


def says(text: str) -> str:
    """An expression of the page: whether it shows a text."""
    return f"document.body?.innerText.includes({json.dumps(text)})"


def still(page: Page) -> bytes:
    """A picture of a page that has not changed from one look to the next. Raises TimeoutError if it never does."""
    before = b""
    for _ in range(MOST_LOOKS):
        invited = declined(page)
        if (now := page.screen()) == before and not invited:
            return now
        before = now
        time.sleep(LOOK_S)
    raise TimeoutError(f"{page.run('location.href')} does not stand still")


def declined(page: Page) -> bool:
    """Whether the page invited us to something, which we have declined."""
    steps = (_STEP.format(what=what, text=json.dumps(text)) for what, text in INVITATIONS)
    answers = [bool(page.run(f"!!{step} && !{step}.click()")) for step in steps]
    return any(answers)


def keep(name: str, picture: bytes) -> None:
    """Write a picture with as many colours as its size allows. Raises TickloopError if it is too large with few."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for colours in (256, 128, 64, 32):
        body = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(body, "PNG", optimize=True)
        if len(body.getvalue()) < MOST_BYTES:
            (TARGET / f"{name}.png").write_bytes(body.getvalue())
            print(f"{name}.png: {len(body.getvalue()):,} bytes, {colours} colours")
            return
    raise TickloopError(f"{name}.png has {len(body.getvalue()):,} bytes, {MOST_BYTES:,} are allowed")


def newest_report(settings: Settings) -> Path:
    """The tear sheet of the newest slice."""
    sheets = (path for path in settings.paths.reports.glob("*/*.html") if path.name.count(".") == 1)
    return max(sheets, key=lambda path: path.stat().st_mtime).resolve()


def research(settings: Settings) -> dict[str, Shot]:
    """Dagster's and MLflow's pages, which have to be served."""
    dagster = f"http://{LOOPBACK}:{settings.orchestration.dagster_port}"
    day = f"2024-08-08|{settings.data.symbols[0]}"
    return {
        "lineage": Shot(
            f"{dagster}/assets/evaluation?view=lineage&lineageScope=upstream&lineageDepth=9", 800, "raw_ticks"
        ),
        "partitions": Shot(f"{dagster}/assets/labels?view=partitions&partition={quote(day)}", 800, "labelled_250ms"),
        "checks": Shot(f"{dagster}/assets/features?view=checks", 800, "rows_compared"),
        "sensor": Shot(
            f"{dagster}/locations/tickloop/sensors/{SENSOR}", 800, "Next tick", "0 runs requested", "drift says"
        ),
        "compare": Shot(comparison(f"http://{LOOPBACK}:{settings.orchestration.mlflow_port}"), 800, "Run Name"),
    }


def comparison(mlflow: str) -> str:
    """Address of MLflow's page that compares the runs of our experiment."""
    experiments = asked(f"{mlflow}/api/2.0/mlflow/experiments/search", max_results=100)["experiments"]
    ours = next(each["experiment_id"] for each in experiments if each["name"] == "tickloop")
    runs = asked(f"{mlflow}/api/2.0/mlflow/runs/search", experiment_ids=[ours], max_results=3)["runs"]
    named = [quote(json.dumps(part)) for part in ([run["info"]["run_id"] for run in runs], [ours])]
    return f"{mlflow}/#/compare-runs?runs={named[0]}&experiments={named[1]}"


def asked(url: str, **body: Any) -> dict[str, Any]:
    """A server's answer to a question in JSON."""
    answer = httpx.post(url, json=body, timeout=60.0).raise_for_status()
    told: dict[str, Any] = answer.json()
    return told


@contextlib.contextmanager
def pages_served(settings: Settings) -> Iterator[None]:
    """``main.py ui`` with one sensor running, until the block ends."""
    dagster, mlflow = (
        f"http://{LOOPBACK}:{port}"
        for port in (settings.orchestration.dagster_port, settings.orchestration.mlflow_port)
    )
    with subprocess.Popen([sys.executable, str(ROOT / "main.py"), "ui"], stdin=subprocess.DEVNULL) as served:
        try:
            for url in (dagster, mlflow):
                require_answer(url)
            with sensor_running(f"{dagster}/graphql"):
                yield
        finally:
            served.terminate()


@contextlib.contextmanager
def sensor_running(graphql: str) -> Iterator[None]:
    """The sensor of the picture, until the block ends."""
    named = {"repositoryName": "__repository__", "repositoryLocationName": "tickloop", "sensorName": SENSOR}
    start = "mutation($s: SensorSelector!) {startSensor(sensorSelector: $s) {... on Sensor {sensorState {id}}}}"
    state = asked(graphql, query=start, variables={"s": named})["data"]["startSensor"]["sensorState"]
    try:
        yield
    finally:
        asked(graphql, query="mutation($id: String!) {stopSensor(id: $id) {__typename}}", variables={"id": state["id"]})


def require_answer(url: str) -> None:
    """Return once a server answers. Raises TimeoutError if it does not."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url)
            return
        time.sleep(LOOK_S)
    raise TimeoutError(f"{url} does not answer")


@contextlib.contextmanager
def trading(settings: Settings, folder: Path) -> Iterator[str]:
    """Address of a runner that trades the demo's last minutes with its champion, in a folder of its own."""
    symbol, registry = settings.data.symbols[0], Registry(settings.paths.mlflow)
    own = replace(settings, paths=Paths(folder / "var"), live=replace(settings.live, symbol=symbol))
    own.paths.ledger.parent.mkdir(parents=True)
    shutil.copy(settings.paths.ledger, own.paths.ledger)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(settings.paths.var.resolve() / "numba"))
    start = [
        "--symbol",
        symbol,
        "--start",
        f"last:{settings.data.hold_back_s:g}s",
        "--ws-port",
        "0",
        "--rest-port",
        "0",
    ]
    with granted(own) as environment:
        settings_file(own, folder / "venue.yaml")
        with started("venue", ["exchange", *start], folder, environment) as venue:
            settings_file(pointed_at(own, venue.said["ws_port"], venue.said["rest_port"]), folder / "runner.yaml")
            with started("runner", ["live"], folder, environment) as runner:
                url = f"http://{LOOPBACK}:{runner.said['api_port']}"
                pushed(url, registry, approved_version(settings, registry, symbol), symbol, CHAMPION)
                yield url


def take_live(page: Page, url: str) -> None:
    """The runner's page once its model's desk has traded, and why one of the orders was sent."""
    page.show(WIDTH, 900, "light")
    page.open(url)
    page.wait_for("document.querySelector('#login')?.open")
    page.run(f"document.querySelector('#read-token').value = {json.dumps(os.environ['TICKLOOP_READ_TOKEN'])}")
    page.press("Enter")
    page.wait_for(f"{_MODEL_S}.length >= 5")
    keep("live", page.screen())
    page.run(f"{_MODEL_S}[0].click()")
    page.wait_for(says("Sizing"))
    keep("explain", page.screen())


if __name__ == "__main__":
    main(sys.argv[1:])
