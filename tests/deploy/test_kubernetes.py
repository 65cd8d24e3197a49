"""Values for Dagster's chart: the release that is locked, pinned images, no root, and names that the code reads."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from assets.partitions import symbol_days

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = (ROOT / "deploy" / "kubernetes" / "values.yaml").read_text()
VALUES: Final = yaml.safe_load(TEXT)
LOCKED: Final = re.search(r'^name = "dagster"\nversion = "(.*)"', (ROOT / "uv.lock").read_text(), re.M)


def found(values: Any, key: str) -> Iterator[Any]:
    """Everything that stands under a key, at any depth."""
    if isinstance(values, dict):
        for name, value in values.items():
            if name == key:
                yield value
            yield from found(value, key)
    if isinstance(values, list):
        for value in values:
            yield from found(value, key)


def test_chart_and_images_are_of_the_locked_release() -> None:
    assert LOCKED is not None
    release = LOCKED[1]
    assert set(re.findall(r"--version (\S+)", TEXT)) == {release}
    images = list(found(VALUES, "image"))
    assert len(images) == 3
    assert all(re.match(r"\d+\.\d+\.\d+", image["tag"]) for image in images)
    theirs = [image for image in images if image["repository"].startswith("docker.io/dagster/")]
    assert [image["tag"] for image in theirs] == [release] * 2
    integration = ".".join(["0", str(int(release.split(".")[1]) + 16), release.split(".")[2]])  # 1.13.27 <-> 0.29.27
    wanted = re.findall(r'"dagster-\w+==(0\S+)"', (ROOT / "pyproject.toml").read_text())
    assert wanted == [integration] * 3


def test_no_pod_is_roots() -> None:
    pods = [*found(VALUES, "podSecurityContext"), VALUES["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]]
    assert len(pods) == 4
    assert all(pod["runAsNonRoot"] and pod["runAsUser"] > 0 for pod in pods[:3])
    assert pods[3]["podSpecConfig"]["securityContext"] == pods[0]
    contexts = [context for context in found(VALUES, "securityContext") if "capabilities" in context]
    assert len(contexts) == 4
    assert all(context["allowPrivilegeEscalation"] is False for context in contexts)


def test_the_code_location_is_the_one_of_the_workspace() -> None:
    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
    (ours,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    told = deployment["dagsterApiGrpcArgs"]
    assert told[told.index("--module-name") + 1] == ours["python_module"]["module_name"]
    assert told[told.index("--location-name") + 1] == ours["python_module"]["location_name"]


def test_days_of_a_symbol_run_one_after_the_other() -> None:
    (limit,) = found(VALUES, "tagConcurrencyLimits")
    dimensions = [dimension.name for dimension in symbol_days.partitions_defs]
    assert limit[0]["key"].removeprefix("dagster/partition/") in dimensions
    assert (limit[0]["limit"], limit[0]["value"]) == (1, {"applyLimitPerUniqueValue": True})


def test_secrets_are_named_and_never_written() -> None:
    assert [one["name"] for secrets in found(VALUES, "envSecrets") for one in secrets] == ["tickloop-research"] * 2
    assert VALUES["global"]["postgresqlSecretName"]
    assert not re.search(r"(?i)(password|token|_key)\s*[:=]\s*['\"]?\w{8,}", TEXT)
