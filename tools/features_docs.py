"""Writes docs/features.md from the catalogue."""

from pathlib import Path

from features.documentation import features_page

TARGET = Path(__file__).parents[1] / "docs" / "features.md"

if __name__ == "__main__":
    TARGET.write_text(features_page(), encoding="utf-8")
