"""The page's three files; they hold no figures, so that whoever may load them still needs the token to see any."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter, Response

WEB: Final = Path(__file__).parents[1] / "web"
FILES: Final = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def add_site(router: APIRouter) -> None:
    """One route a file, read once."""
    for path, (name, kind) in FILES.items():
        _add(router, path, (WEB / name).read_bytes(), kind)


def page() -> Response:
    """The page itself, which draws what its address names."""
    return Response((WEB / "index.html").read_bytes(), media_type="text/html")


def _add(router: APIRouter, path: str, content: bytes, kind: str) -> None:
    async def file() -> Response:
        return Response(content, media_type=kind)

    router.add_api_route(path, file, include_in_schema=False, methods=["GET"])
