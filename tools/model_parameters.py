"""Write MODEL_PARAMETERS.md: every parameter of models and features, under the shas that bind a model to them.

python tools/model_parameters.py
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from config.loading import load_settings  # noqa: E402
from config.settings import Settings, config_sha  # noqa: E402
from features.catalogue import CATALOGUE_VERSION, catalogue, catalogue_sha  # noqa: E402

TARGET: Final = ROOT / "MODEL_PARAMETERS.md"
SECTIONS: Final = ("features", "regimes", "labels", "models", "trading", "venue")
INTRODUCTION: Final = f"""\
# Model parameters

What a model is made with, profile by profile. A bundle's manifest carries the two shas below: a model is refused
where the feature catalogue is another one, and a comparison of runs is refused where the configurations differ.
Feature catalogue {CATALOGUE_VERSION}; what each parameter means stands in `docs/configuration.md`.

This page is written by `tools/model_parameters.py` from the profiles; a test compares the two.
"""


def page() -> str:
    """The whole page."""
    profiles = {name: load_settings(name) for name in ("dev", "prod")}
    tables = [_table(section, profiles) for section in SECTIONS]
    return "\n".join([INTRODUCTION, _shas(profiles), *tables, _features(profiles["dev"])])


def _shas(profiles: dict[str, Settings]) -> str:
    lines = ["| profile | configuration sha | catalogue sha |", "| --- | --- | --- |"]
    for name, settings in profiles.items():
        lines.append(f"| {name} | `{config_sha(settings)}` | `{catalogue_sha(settings.features)}` |")
    return "\n".join([*lines, ""])


def _table(section: str, profiles: dict[str, Settings]) -> str:
    dev, prod = (dict(_leaves("", asdict(getattr(settings, section)))) for settings in profiles.values())
    lines = [f"## `{section}`", "", "| parameter | dev | prod |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {_shown(dev[name])} | {_shown(prod[name])} |" for name in dev]
    return "\n".join([*lines, ""])


def _leaves(above: str, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(f"{above}{name}.", value)
        else:
            yield f"{above}{name}", value


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _features(settings: Settings) -> str:
    lines = [
        "## Features",
        "",
        "| column | window ms | unit | normalisation | floor |",
        "| --- | --- | --- | --- | --- |",
    ]
    for feature in catalogue(settings.features):
        floor = f"{feature.floor:g}" if feature.floor else ""
        window = feature.window_ms or ""
        lines.append(f"| `{feature.name}` | {window} | {feature.unit} | {feature.normalization} | {floor} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
