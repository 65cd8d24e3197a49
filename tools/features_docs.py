"""Writes docs/features.md from the catalogue."""

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from config.loading import load_settings  # noqa: E402
from features.documentation import features_page  # noqa: E402

TARGET: Final = ROOT / "docs" / "features.md"

if __name__ == "__main__":
    TARGET.write_text(features_page(load_settings("dev").features), encoding="utf-8")
