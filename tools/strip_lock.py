"""Strip a freshly written uv.lock of every index address, so that it works behind any mirror.

python tools/strip_lock.py uv.lock
"""

import re
import sys
from pathlib import Path
from typing import Final

NO_INDEX: Final = "https://index.invalid/simple"
_FILE: Final = re.compile(r'\burl = "[^"]*/([^"/]+)"')
_REGISTRY: Final = re.compile(r'\bregistry = "[^"]*"')
_PROJECT_METADATA: Final = re.compile(r"^\[package\.metadata.*?(?=^\[\[package\]\]|\Z)", re.MULTILINE | re.DOTALL)


def strip(lock: str) -> str:
    """The lock with file names for addresses and without the project's own metadata tables; hashes stay.

    >>> strip('{ url = "https://host/packages/ab/a-1.0.tar.gz", hash = "sha256:00" }')
    '{ filename = "a-1.0.tar.gz", hash = "sha256:00" }'
    """
    lock = _FILE.sub(r'filename = "\1"', lock)
    lock = _REGISTRY.sub(f'registry = "{NO_INDEX}"', lock)
    return _PROJECT_METADATA.sub("", lock)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(strip(path.read_text()))
