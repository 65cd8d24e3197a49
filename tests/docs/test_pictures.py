"""Pictures of the pages: each is shown, small, and taken by the tool that says so."""

import ast
import re

from tests.builders_pages import PAGES, ROOT

IMAGES = {path.name: path for path in (ROOT / "docs" / "images").iterdir()}


def constant(name: str) -> object:
    """A constant of the tool that takes the photographs, which itself takes seconds to import."""
    tree = ast.parse((ROOT / "tools" / "screenshots.py").read_text())
    [value] = [node.value for node in tree.body if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name]
    return ast.literal_eval(value or ast.Constant(None))


def test_each_picture_is_shown_somewhere() -> None:
    shown = {name for page in PAGES for name in re.findall(r"\((?:docs/)?images/([\w.-]+)\)", page.read_text())}
    assert len(shown) > 8
    assert shown == set(IMAGES)


def test_photographs_are_those_of_the_tool_and_small() -> None:
    photographs = {name.removesuffix(".png"): path for name, path in IMAGES.items() if name.endswith(".png")}
    assert set(photographs) == {constant("SHEET"), *constant("LIVE"), *constant("RESEARCH")}
    assert [
        name for name, path in photographs.items() if not 5_000 < path.stat().st_size < constant("MOST_BYTES")
    ] == []
