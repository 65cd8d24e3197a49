"""Name every tracked line that holds the address of a package index or a path of one machine; exit 1 if any does."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
ADDRESS: Final = re.compile(
    r"https?://(?:files\.python" + r"hosted\.org|pypi\." + r"org/simple|download\.py" + r"torch\.org)"
    r"|\b(?:registry|index-url|extra-index-url)\b\W{1,4}https?://(?!index\.invalid)"
    r"|^\s*(?:\{ )?url = \"https?://"
)
MACHINE_PATH: Final = re.compile(r"(?<![\w.])/(?:home|root|work|Users)/\w")


def tracked_files(root: Path = ROOT) -> list[Path]:
    """Every file that git tracks and that is still there."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True, text=True).stdout
    return [root / name for name in names.split("\0") if name and (root / name).is_file()]


def offending_lines(path: Path) -> Iterator[str]:
    """``path:line: text`` for each line of a text file that names an index or a machine's folder."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if ADDRESS.search(line) or MACHINE_PATH.search(line):
            yield f"{path}:{number}: {line.strip()[:100]}"


def main() -> int:
    """Print the offending lines of all tracked files."""
    found = [line for path in tracked_files() for line in offending_lines(path)]
    print("\n".join(found) or "no index address and no machine path in a tracked file")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
