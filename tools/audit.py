"""Ask OSV which locked packages have known vulnerabilities; exit 1 where one has, or where nobody answers.

python tools/audit.py [--source URL]
"""

import argparse
import json
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

SOURCE: Final = "https://api.osv.dev/v1/querybatch"
LOCK: Final = Path(__file__).resolve().parents[1] / "uv.lock"
HOLED: Final = ("pyyaml", "5.3")  # CVE-2020-1747: who does not know of it knows of nothing
BATCH: Final = 500  # packages a request; OSV takes 1,000
PATIENCE_S: Final = 60.0
Package = tuple[str, str]  # name, version


class Unanswered(Exception):
    """Nothing was audited."""


def locked_packages(lock: str) -> list[Package]:
    """Name and version of every package of a registry in a lock file."""
    packages = tomllib.loads(lock)["package"]
    return [(package["name"], package["version"]) for package in packages if "registry" in package["source"]]


def advisories(packages: list[Package], source: str = SOURCE) -> dict[Package, list[str]]:
    """Ids of the advisories of each package that has any.

    Raises Unanswered if the source cannot be reached, or does not know of a hole that is known to be one.
    """
    found = {}
    for begin in range(0, len(packages), BATCH):
        asked = [HOLED, *packages[begin : begin + BATCH]]
        known, *told = _ask(asked, source)
        if not known:
            raise Unanswered(f"{source} knows of no vulnerability in {' '.join(HOLED)}, which has one")
        found.update({package: ids for package, ids in zip(asked[1:], told, strict=True) if ids})
    return found


def _ask(packages: list[Package], source: str) -> list[list[str]]:
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in packages]
    body = json.dumps({"queries": queries}).encode()
    request = urllib.request.Request(source, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            results = json.load(answer)["results"]
    except (OSError, ValueError, KeyError) as error:  # an HTTP status is an OSError
        raise Unanswered(f"{source} gave no answer: {error}") from error
    if len(results) != len(packages):
        raise Unanswered(f"{source} answered {len(results)} of {len(packages)} questions")
    return [[advisory["id"] for advisory in result.get("vulns", [])] for result in results]


def main() -> int:
    """Print what is known of the lock file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default=SOURCE, help="where advisories are asked for")
    packages = locked_packages(LOCK.read_text())
    try:
        found = advisories(packages, parser.parse_args().source)
    except Unanswered as reason:
        print(f"NOT AUDITED: {reason}", file=sys.stderr)
        return 1
    for (name, version), ids in found.items():
        print(f"{name} {version}: {', '.join(ids)}")
    print(f"{len(packages)} packages audited, {len(found)} with known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
