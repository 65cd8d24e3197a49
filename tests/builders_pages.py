"""The documentation as its tests read it: pages, their code, and what stands in it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))]
_FENCED: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED: Final = re.compile(r"(?<=\n\n)(?:    [^\n]*\n)+")
_INLINE: Final = re.compile(r"(?<!`)`([^`]+)`(?!`)")


class Said(NamedTuple):
    """A piece of a page, and where a person finds it."""

    page: str
    text: str


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def fenced(kind: str) -> list[Said]:
    """Code blocks that name this language."""
    return [
        Said(name_of(page), body)
        for page in PAGES
        for found, body in _FENCED.findall(page.read_text())
        if found == kind
    ]


def code_lines() -> Iterator[Said]:
    """Lines of all code blocks, fenced or indented; one that ends with a backslash is joined to the next."""
    for page in PAGES:
        text = page.read_text()
        blocks = [body for _, body in _FENCED.findall(text)] + _INDENTED.findall(_FENCED.sub("", text))
        for block in blocks:
            yield from (Said(name_of(page), line.strip()) for line in block.replace("\\\n", " ").splitlines())


def inline_code() -> Iterator[Said]:
    """Texts between backticks, in one line each."""
    for page in PAGES:
        prose = _FENCED.sub("", page.read_text())
        yield from (Said(name_of(page), " ".join(code.split())) for code in _INLINE.findall(prose))


def without_code(page: Path) -> str:
    """A page's prose."""
    return _INLINE.sub("", _FENCED.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may be, as the usual renderers name headings."""
    seen: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text()), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).strip().replace(" ", "-")
        seen[slug] = seen.get(slug, -1) + 1
        if seen[slug]:
            seen[f"{slug}-{seen[slug]}"] = 0
    return set(seen)
