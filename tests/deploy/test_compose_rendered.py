"""The compose file as Debian's docker-compose reads it: whole with every secret set, refused without one."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
SERVICES: Final = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
EXAMPLE: Final = (DEPLOY / ".env.example").read_text()
PLANTED: Final = "planted-7f3a"


def docker_compose() -> str:
    """Path of the program. Skips the test without it; fails it where TICKLOOP_REQUIRE_SERVICES=1."""
    found = shutil.which("docker-compose")
    if found is None and os.environ.get("TICKLOOP_REQUIRE_SERVICES") == "1":
        pytest.fail("no docker-compose; apt-get install docker-compose")
    return found or pytest.skip("no docker-compose; apt-get install docker-compose")


def rendered(tmp_path: Path, environment: str) -> subprocess.CompletedProcess[str]:
    """What the program makes of the file with these variables and no others."""
    (tmp_path / "environment").write_text(environment)
    command = [docker_compose(), "--env-file", str(tmp_path / "environment"), "--file", str(DEPLOY / "compose.yaml")]
    return subprocess.run(
        [*command, "config"], capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
    )


def test_every_service_is_rendered_with_the_secrets_that_are_set(tmp_path: Path) -> None:
    made = rendered(tmp_path, re.sub(r"=$", f"={PLANTED}", EXAMPLE, flags=re.M))
    assert made.returncode == 0, made.stderr
    found = yaml.safe_load(made.stdout)["services"]
    assert {name: service["image"] for name, service in found.items()} == {
        name: service["image"] for name, service in SERVICES.items()
    }
    assert found["runner"]["environment"]["TICKLOOP_KILL_TOKEN"] == PLANTED
    assert f"tickloop:{PLANTED}@127.0.0.1" in found["code"]["environment"]["TICKLOOP_STUDY_URL"]
    assert {service["network_mode"] for service in found.values()} == {"host"}


def test_it_is_refused_while_a_secret_is_unset(tmp_path: Path) -> None:
    made = rendered(tmp_path, re.sub(r"=$", f"={PLANTED}", EXAMPLE.replace("TICKLOOP_DEPLOY_KEY=\n", ""), flags=re.M))
    assert made.returncode != 0
    assert "see deploy/.env.example" in made.stderr
    assert PLANTED not in made.stderr
