"""What every monitor's report is known by."""

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def content_sha(report: "DataclassInstance") -> str:
    """Hex sha256 of a report's content: two reports that say the same bear the same."""
    return hashlib.sha256(json.dumps(asdict(report), sort_keys=True).encode()).hexdigest()
