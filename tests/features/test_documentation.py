"""The pages of features and regimes: as catalogue and profile say, and every picture that they show is there."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from config.loading import load_settings
from features.catalogue import catalogue
from features.documentation import LEADER_PICTURE, PICTURE, features_page, regimes_page
from features.regimes import REGIME_NAMES, UNKNOWN

DOCS = Path(__file__).parents[2] / "docs"
SETTINGS = load_settings("dev")


def test_page_of_the_features_is_fresh():
    assert (DOCS / "features.md").read_text() == features_page(SETTINGS.features)


def test_page_of_the_regimes_is_fresh_around_its_measured_table():
    page = (DOCS / "regimes.md").read_text()
    table = page[page.rindex("\n\n") + 2 :].rstrip("\n")
    assert page == regimes_page(SETTINGS.regimes, table)
    header, _, *lines = table.splitlines()
    assert [line.split(" | ")[0].lstrip("| ") for line in lines] == list(SETTINGS.data.sources)
    assert all(f"{name}, share" in header for code, name in REGIME_NAMES.items() if code != UNKNOWN)
    for line in lines:
        shares = [float(cell) for cell in line.strip("| ").split(" | ")[2::2]]
        assert abs(sum(shares) - 1) < 0.02


def test_every_picture_of_the_page_is_there_and_shows_what_the_catalogue_holds():
    shown = re.findall(r"!\[.*\]\((.*)\)", features_page(SETTINGS.features))
    assert {PICTURE, LEADER_PICTURE} <= set(shown)
    assert all((DOCS / name).is_file() for name in shown)
    led = replace(SETTINGS.features, leader="LEADER")
    of_leader = {feature.name for feature in catalogue(led) if feature.stream == "leader"}
    assert of_leader
    assert texts_of(PICTURE) >= {feature.name for feature in catalogue(SETTINGS.features)}
    assert texts_of(LEADER_PICTURE) >= of_leader


def texts_of(picture: str) -> set[str | None]:
    return {element.text for element in ElementTree.parse(DOCS / picture).iter() if element.tag.endswith("text")}
