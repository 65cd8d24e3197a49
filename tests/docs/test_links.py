"""Links lead to files and headings, and every file that a page speaks of is there."""

import re
from pathlib import Path

from tests.builders_pages import PAGES, ROOT, anchors, inline_code, name_of, without_code

ROOMS = [path.name for path in ROOT.iterdir() if path.is_dir() and path.name.isidentifier() and path.name != "var"]
FILE = re.compile(
    rf"(?<![\w/.])((?:{'|'.join(ROOMS)})/[\w./*-]*\.(?:py|md|ya?ml|jsonl?|sh|sql|html|js|css|svg|png|service|toml))\b"
)
FOLDER = re.compile(rf"(?:{'|'.join(ROOMS)})(?:/[\w-]+)+/?")


def broken_links(page: Path) -> list[str]:
    """Links of a page whose file is not there, or whose heading is not in it."""
    broken = []
    for link in re.findall(r"\]\(((?!https?:|mailto:)[^)\s]+)\)", without_code(page)):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{name_of(page)}: {link}")
    return broken


def test_links_lead_to_files_and_headings() -> None:
    assert sum(page.read_text().count("](") for page in PAGES) > 30
    assert [link for page in PAGES for link in broken_links(page)] == []


def test_a_link_to_a_heading_that_is_not_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One thing: `this`, twice\n## Twice\n## Twice\n")
    page = ROOT / "docs" / "glossary.md"
    assert anchors(tmp_path / "other.md") == {"one-thing-this-twice", "twice", "twice-1"}
    assert "no-such-heading" not in anchors(page)


def test_files_that_pages_speak_of_are_in_the_repository() -> None:
    named = {(name_of(page), path) for page in PAGES for path in FILE.findall(page.read_text())}
    assert len(named) > 100
    assert sorted(said for said in named if not list(ROOT.glob(said[1]))) == []


def test_folders_that_pages_speak_of_are_in_the_repository() -> None:
    named = {said for said in inline_code() if FOLDER.fullmatch(said.text)}
    assert len(named) > 5
    assert sorted(said for said in named if not list(ROOT.glob(said.text)) + list(ROOT.glob(f"{said.text}.py"))) == []


def test_every_page_of_docs_can_be_reached_from_the_readme() -> None:
    reached, front = set[Path](), {ROOT / "README.md"}
    while front:
        reached |= front
        links = {
            (page, link) for page in front for link in re.findall(r"\]\(((?!https?:)[^)#\s]+\.md)", page.read_text())
        }
        front = {(page.parent / link).resolve() for page, link in links} - reached
    assert sorted(name_of(page) for page in set(PAGES) - reached) == []
