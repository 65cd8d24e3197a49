"""Write docs/configuration.md: every key, from the comments beside the settings' fields and the two profiles.

python tools/configuration_docs.py
"""

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from config.loading import load_settings  # noqa: E402
from config.settings import Paths, Settings  # noqa: E402

TARGET: Final = ROOT / "docs" / "configuration.md"
INTRODUCTION: Final = """\
# Configuration

`APP_ENV=dev|prod` picks `config/dev.yaml` or `config/prod.yaml`; `main.py --config FILE` or `TICKLOOP_CONFIG=FILE`
picks a file of your own. A file says only what differs from the one it names with `extends: dev`. Unknown keys, wrong
types and values out of range are refused in one line. The sha of the resolved settings is on every run and model.

The environment, or `.env` beside the repository's `README.md`, holds what belongs to a machine. A token or deploy key
of fewer than 8 characters is refused at the start:

| variable | meaning |
| --- | --- |
| `APP_ENV` | profile, `dev` unless set |
| `TICKLOOP_CONFIG` | a file instead of a profile |
| `TICKLOOP_VAR` | the folder that everything is written to, `var` unless set |
| `TICKLOOP_RECORDINGS` | folder of sample recordings, `../shared/recordings` unless set |
| `TICKLOOP_REQUIRE_SERVICES` | `1`: tests fail, instead of skip, where a recording or service is missing |
| `TICKLOOP_READ_TOKEN` | who may read the runner's status; anyone on this machine unless set |
| `TICKLOOP_DEPLOY_TOKEN` | who may push a bundle to the runner; nobody unless set |
| `TICKLOOP_KILL_TOKEN` | who may latch the runner's kill switch over HTTP; nobody unless set |
| `TICKLOOP_METRICS_TOKEN` | who may scrape the runner's metrics; anyone on this machine unless set |
| `TICKLOOP_DEPLOY_KEY` | with which bundles are signed; runner and `live_deployment` hold the same |
| `TICKLOOP_WAREHOUSE_USER` | who asks the ClickHouse server of `warehouse.url` |
| `TICKLOOP_WAREHOUSE_PASSWORD` | their password; it stands in no log and no error |
| `TICKLOOP_REDIS_USER` | who asks the Redis of `live.hot.redis_url`; its default user unless set |
| `TICKLOOP_REDIS_PASSWORD` | their password; it stands in no log and no error |
| `TICKLOOP_STUDY_URL` | `models.search.storage` with user and password; it stands in no log and no error |
| `NUMBA_CACHE_DIR` | compiled kernels, below `TICKLOOP_VAR` unless set |

This page is written by `tools/configuration_docs.py` from the comments beside the fields; a test compares the two.
"""


def page() -> str:
    """The whole page."""
    profiles = (load_settings("dev"), load_settings("prod"))
    sections = (_section(name, kind, profiles) for name, kind in _sections())
    return "\n".join([INTRODUCTION, *sections])


def _sections() -> Iterator[tuple[str, Any]]:
    """Each dataclass of the settings with its dotted name, outermost first; ``paths`` is no setting."""
    yield from ((name, kind) for name, kind in _nested("", Settings) if kind not in (Settings, Paths))


def _nested(name: str, kind: Any) -> Iterator[tuple[str, Any]]:
    yield name, kind
    for key, hint in get_type_hints(kind).items():
        below = f"{name}.{key}" if name else key
        if is_dataclass(hint):
            yield from _nested(below, hint)
        elif _kinds(hint):
            yield from ((below, one) for one in _kinds(hint))
        elif get_args(hint) and is_dataclass(get_args(hint)[-1]):
            yield from _nested(f"{below}.NAME", get_args(hint)[-1])


def _leaves(kind: Any) -> list[Any]:
    hints = get_type_hints(kind)
    return [field for field in fields(kind) if not is_dataclass(hints[field.name]) and not _kinds(hints[field.name])]


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The dataclasses that a value may be one of; none where it is no such choice."""
    return get_args(hint) if get_args(hint) and all(map(is_dataclass, get_args(hint))) else ()


def _section(name: str, kind: Any, profiles: tuple[Settings, ...]) -> str:
    lines = [f"## {_title(name, kind, profiles)}", "", inspect.getdoc(kind) or "", ""]
    meanings = _meanings(kind)
    if not meanings:
        return "\n".join(lines)
    if "NAME" in name:
        rows = [f"| `{key}` | {meaning} |" for key, meaning in meanings.items() if key != "name"]
        return "\n".join([*lines, "| key | meaning |", "| --- | --- |", *rows, ""])
    own = tuple(settings for settings in profiles if isinstance(_value(settings, name), kind))
    if not own:
        rows = [f"| `{key}` | {meaning} |" for key, meaning in meanings.items()]
        return "\n".join([*lines, "| key | meaning |", "| --- | --- |", *rows, ""])
    rows = [_row(name, key, meaning, profiles) for key, meaning in meanings.items()]
    return "\n".join([*lines, "| key | dev | prod | meaning |", "| --- | --- | --- | --- |", *rows, ""])


def _title(name: str, kind: Any, profiles: tuple[Settings, ...]) -> str:
    """The section's name; where a value may be of several kinds, those that the first profile does not use say so."""
    if "NAME" in name or isinstance(_value(profiles[0], name), kind):
        return f"`{name}`"
    return f"`{name}` of kind `{get_args(get_type_hints(kind)['kind'])[0]}`"


def _meanings(kind: Any) -> dict[str, str]:
    """What each field of a section means: the comment beside it, and its choices where it has some."""
    comments = dict(re.findall(r"^    (\w+): [^#\n]+  # (.+)$", inspect.getsource(kind), re.MULTILINE))
    hints = get_type_hints(kind)
    choices = {key: f"one of {', '.join(get_args(hint))}" for key, hint in hints.items() if get_origin(hint) is Literal}
    names = [field.name for field in _leaves(kind)]
    return {name: "; ".join(filter(None, (comments.get(name), choices.get(name)))) for name in names}


def _row(section: str, key: str, comment: str, profiles: tuple[Settings, ...]) -> str:
    dev, prod = (_shown(getattr(_value(settings, section), key, "")) for settings in profiles)
    return f"| `{key}` | {dev} | {prod if prod != dev else ''} | {comment} |"


def _value(settings: Any, key: str) -> Any:
    for part in key.split("."):
        settings = getattr(settings, part)
    return settings


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    if isinstance(value, dict):
        return f"{len(value)} entries"
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
