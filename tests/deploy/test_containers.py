"""The compose file and the image: pinned, without root, watched, on loopback, and of the same mind as the settings."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from commands.line import command_line
from config.loading import load_settings
from config.settings import Settings
from market.kernel_cache import KERNEL_ROOMS
from orchestration.instance import SETTINGS
from storage.studies import URL as STUDY_URL

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = {name: found for name, found in SERVICES.items() if found["image"].startswith("tickloop:")}
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINNED: Final = re.compile(r"(postgres:\d+\.\d+|[a-z0-9./-]+:v?\d+(\.\d+){2,})(-[a-z0-9-]+)?")  # to the last part
LISTENS: Final = {  # what its health check has to ask; the daemon listens nowhere
    "runner": 8792,
    "code": 4000,
    "dagster": 3000,
    "research-metrics": 8793,
    "mlflow": 5000,
    "postgres": 5432,
    "clickhouse": 8123,
    "redis": 6379,
    "prometheus": 9090,
    "grafana": 3001,
}
SHARED: Final = re.compile(r"\b(?:TICKLOOP_[A-Z_]+|APP_ENV|NUMBA_CACHE_DIR)\b")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    pairs = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(word, rest) for word, rest in pairs]


@pytest.fixture(scope="module")
def settings() -> Settings:
    """What the containers run under."""
    return load_settings(path=DEPLOY / "settings.yaml")


def port_after(words: list[str], option: str = "--port") -> int:
    return int(words[words.index(option) + 1])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_without_root_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert PINNED.fullmatch(service["image"])
    assert int(service["user"].split(":")[0]) > 0
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is (name != "clickhouse")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert not {"privileged", "ports", "cap_add", "devices"} & service.keys()
    for other, wanted in service.get("depends_on", {}).items():
        assert (other in SERVICES, wanted) == (True, {"condition": "service_healthy"})


def test_our_image_bears_our_version_and_is_built_once() -> None:
    assert {service["image"] for service in OURS.values()} == {f"tickloop:{PROJECT['project']['version']}"}
    (build,) = [service["build"] for service in SERVICES.values() if "build" in service]
    assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")


def test_everything_listens_on_loopback_and_nowhere_else(settings: Settings) -> None:
    told = {
        "code": port_after(SERVICES["code"]["command"]),
        "dagster": port_after(SERVICES["dagster"]["command"]),
        "mlflow": port_after(SERVICES["mlflow"]["command"]),
        "grafana": int(SERVICES["grafana"]["environment"]["GF_SERVER_HTTP_PORT"]),
    }
    for name in ("code", "dagster", "mlflow"):
        words = SERVICES[name]["command"]
        assert words[words.index("--host") + 1] == "127.0.0.1"
    assert SERVICES["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert "listen_addresses=127.0.0.1" in SERVICES["postgres"]["command"]
    assert "--bind 127.0.0.1 --port 6379 " in SERVICES["redis"]["command"][0]
    assert "--web.listen-address=127.0.0.1:9090" in SERVICES["prometheus"]["command"]
    assert re.findall(r"<listen_host.*?>(.*?)<", (DEPLOY / "clickhouse" / "listen.xml").read_text()) == ["127.0.0.1"]
    every = [*told.values(), settings.live.api_port, settings.orchestration.metrics_port, 5432, 6379, 8123, 9000, 9090]
    assert len(set(every)) == len(every)
    assert not [path for path in DEPLOY.rglob("*") if path.is_file() and b"0.0.0.0" in path.read_bytes()]


def test_ports_are_those_that_the_settings_and_prometheus_ask_for(settings: Settings) -> None:
    ports = settings.orchestration
    assert port_after(SERVICES["dagster"]["command"]) == ports.dagster_port
    assert settings.registry.url == f"http://127.0.0.1:{port_after(SERVICES['mlflow']['command'])}"
    assert settings.warehouse.url == "http://127.0.0.1:8123"
    assert settings.live.hot.redis_url == "redis://127.0.0.1:6379"
    assert settings.models.search.storage == "postgresql+psycopg2://tickloop@127.0.0.1:5432/studies"
    (server,) = yaml.safe_load((DEPLOY / "dagster" / "workspace.yaml").read_text())["load_from"]
    assert server["grpc_server"]["port"] == port_after(SERVICES["code"]["command"])
    scraped = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in scraped for group in job["static_configs"] for target in group["targets"]]
    assert targets == [f"127.0.0.1:{settings.live.api_port}", f"127.0.0.1:{ports.metrics_port}"]
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/tickloop.yml").read_text())["datasources"]
    assert source["url"] == "http://127.0.0.1:9090"


def test_health_is_asked_where_each_listens() -> None:
    assert SERVICES.keys() - LISTENS.keys() == {"daemon"}
    for name, port in LISTENS.items():
        asked = " ".join(SERVICES[name]["healthcheck"]["test"])
        assert "127.0.0.1" in asked
        assert re.search(rf"\b{port}\b", asked), name
    (check,) = [rest for word, rest in instructions() if word == "HEALTHCHECK"]
    assert "127.0.0.1:8792/health" in check


def test_a_tag_that_moves_is_not_pinned() -> None:
    assert not [tag for tag in ("redis", "redis:latest", "redis:7.4-bookworm", "python:3.11") if PINNED.fullmatch(tag)]


@pytest.mark.parametrize("name", [name for name, found in OURS.items() if found["command"][0] == "main.py"])
def test_a_command_of_ours_is_taken_by_our_parser(name: str) -> None:
    assert command_line().parse_args(OURS[name]["command"][1:]).command is not None


@pytest.mark.parametrize("name", ["code", "dagster", "daemon"])
def test_a_command_of_dagster_is_taken_by_its_parser(name: str) -> None:
    from dagster._cli import cli as dagster
    from dagster._daemon.cli import cli as daemon
    from dagster_webserver.cli import dagster_webserver

    known = {"dagster": dagster, "dagster_webserver": dagster_webserver, "dagster._daemon": daemon}
    asked = [SERVICES[name]["command"], *([SERVICES[name]["healthcheck"]["test"][2:]] if name != "dagster" else [])]
    for _, module, *words in asked:
        parsed, left = known[module], words
        while hasattr(parsed, "commands"):
            word, *left = left
            parsed = parsed.commands[word]
        parsed.make_context(word if parsed is not dagster_webserver else "web", list(left), resilient_parsing=False)


def test_the_environment_names_what_the_code_reads() -> None:
    rooms = (*KERNEL_ROOMS, "storage", "config", "live", "assets", "orchestration", "commands")
    code = "".join(path.read_text() for room in rooms for path in (ROOT / room).rglob("*.py"))
    read = set(SHARED.findall(code)) | {STUDY_URL, "TICKLOOP_DEPLOY_TOKEN", "TICKLOOP_DEPLOY_KEY"}
    named = {
        path: set(SHARED.findall(path.read_text()))
        for path in sorted(DEPLOY.rglob("*"))
        if path.suffix != ".json" and path.is_file()
    }
    assert sum(map(len, named.values())) > 20
    assert {str(path): names - read for path, names in named.items() if names - read} == {}


def test_every_variable_of_the_compose_file_is_in_its_example_and_must_be_set() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    used = set(re.findall(r"\$\{(\w+):\?see deploy/\.env\.example\}", text))
    assert len(re.findall(r"(?<!\$)\$\{", text)) == len(re.findall(r":\?see deploy/\.env\.example\}", text))
    assert used == set(re.findall(r"^([A-Z_]+)=$", (DEPLOY / ".env.example").read_text(), re.M))
    keys = [name for service in SERVICES.values() for name in service.get("environment", {})]
    assert not [name for name in keys if name.startswith("TICKLOOP_EXCHANGE")]


def test_the_image_copies_what_is_there_and_every_room() -> None:
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    sources = {source.strip("./") for words in copied for source in words if not source.startswith("--")}
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= sources
    let_in = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert {source for source in sources if source not in let_in and str(Path(source).parent) not in let_in} == set()
    assert {source for source in let_in if not (ROOT / source).exists()} == set()


def test_the_image_has_the_project_s_python_and_uv_and_no_root() -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    stages = [rest.split()[-1] for word, rest in instructions() if word == "FROM"]
    foreign = [base for base in bases if base not in stages]
    assert all(PINNED.fullmatch(base) and base.startswith("python:3.11.") for base in foreign)
    wanted = re.search(r"^UV_WANTED := (\S+)", (ROOT / "Makefile").read_text(), re.M)
    assert wanted is not None
    assert ("ARG", f"UV_WANTED={wanted[1]}") in instructions()
    users = [(word, rest) for word, rest in instructions() if word in ("FROM", "USER")]
    for (word, rest), after in zip(users, [*users[1:], ("FROM", "")], strict=True):
        if after[0] == "FROM" and not rest.endswith("AS built"):
            assert (word, rest) == ("USER", "10001:10001")


def test_the_image_starts_the_runner() -> None:
    (start,) = [yaml.safe_load(rest) for word, rest in instructions() if word == "CMD"]
    assert start == SERVICES["runner"]["command"]
    assert [shlex.split(rest) for word, rest in instructions() if word == "ENTRYPOINT"] == [["[python]"]]


def test_dagsters_home_in_the_image_is_the_one_that_we_write() -> None:
    assert yaml.safe_load((DEPLOY / "dagster" / "dagster.yaml").read_text()) == yaml.safe_load(SETTINGS)


def test_what_is_mounted_is_there_and_read_only_or_a_volume() -> None:
    mounts = {name: service.get("volumes", []) for name, service in SERVICES.items()}
    files = [mount for listed in mounts.values() for mount in listed if mount.startswith("./")]
    assert len(files) >= 6
    for mount in files:
        source, _, mode = mount.split(":")
        assert (mount, mode, (DEPLOY / source).exists()) == (mount, "ro", True)
    named = {mount.split(":")[0] for listed in mounts.values() for mount in listed if not mount.startswith("./")}
    assert named == set(COMPOSE["volumes"])
