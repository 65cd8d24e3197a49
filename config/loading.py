"""Settings from a YAML profile and the environment: ``APP_ENV`` picks the profile, ``.env`` adds what is not set."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from dotenv import load_dotenv

from config.instruments import instruments_of
from config.refusals import RefusedKey
from config.settings import Paths, Settings
from config.typed import build
from market.errors import ConfigError
from market.kernel_cache import ROOT, var_folder

FOLDER: Final = Path(__file__).resolve().parent
PROFILES: Final = ("dev", "prod")
LIVE_KEYS: Final = ("TICKLOOP_EXCHANGE_KEY", "TICKLOOP_EXCHANGE_SECRET")  # with which orders go to an exchange
LIVE_FILE: Final = ".env.live"  # read by `main.py live` and `main.py exchange` alone
SECRETS: Final = ("api_key", "apikey", "key", "secret", "api_secret", "secret_key", "private_key", "password", "token")


def load_settings(profile: str | None = None, path: Path | None = None) -> Settings:
    """Settings of a file, or of a profile.

    The first that is given counts: ``path``, ``profile``, the environment's ``TICKLOOP_CONFIG`` (a file),
    its ``APP_ENV`` (a profile), ``dev``.
    Raises ConfigError if the file is missing or a key or value in it is wrong.
    """
    load_dotenv(ROOT / ".env", override=False)
    chosen = path or _chosen(profile)
    values = _resolve(chosen, ())
    try:
        return _compose(values)
    except ConfigError as refused:
        raise ConfigError(f"{chosen}: {refused}") from refused


def load_live_keys() -> None:
    """Let ``.env.live`` add what the environment lacks; only a process that trades calls this."""
    load_dotenv(ROOT / LIVE_FILE, override=False)


def refuse_live_keys(environment: Mapping[str, str]) -> None:
    """Raises ConfigError, naming a variable and not its value, if a process of research holds a key to an exchange."""
    for name in LIVE_KEYS:
        if environment.get(name):
            raise ConfigError(f"{name} is set, and research takes no key to an exchange; keep it in {LIVE_FILE}")


def choose_profile(profile: str) -> None:
    """Let a profile count for this process and those that it starts, as if ``APP_ENV`` had named it.

    Raises ConfigError if the file that ``TICKLOOP_CONFIG`` names is laid over another profile.
    """
    load_dotenv(ROOT / ".env", override=False)
    file = os.environ.get("TICKLOOP_CONFIG")
    if file and (below := _profile_of(Path(file))) != profile:
        raise ConfigError(
            f"{file} is laid over {below or 'no profile'}, and the profile that was asked for is {profile}"
        )
    os.environ["APP_ENV"] = profile


def _profile_of(path: Path) -> str:
    """The profile that a file extends in the end, empty if none. Raises ConfigError if a file cannot be read."""
    seen: list[Path] = []
    while path not in seen:
        seen.append(path)
        if path.parent.resolve() == FOLDER and path.stem in PROFILES:
            return path.stem
        base = _read(path).get("extends")
        if base is None:
            return ""
        path = _base_of(path, base)
    raise ConfigError(f"{path} extends itself")


def _base_of(path: Path, base: object) -> Path:
    return FOLDER / f"{base}.yaml" if base in PROFILES else path.parent / str(base)


def _chosen(profile: str | None) -> Path:
    file = os.environ.get("TICKLOOP_CONFIG")
    if profile is None and file:
        return Path(file)
    name = profile or os.environ.get("APP_ENV") or "dev"
    if name not in PROFILES:
        raise ConfigError(f"APP_ENV={name!r} is not one of {', '.join(PROFILES)}")
    return FOLDER / f"{name}.yaml"


def _compose(values: dict[str, Any]) -> Settings:
    if "paths" in values:
        raise ConfigError("unknown key paths; TICKLOOP_VAR says where everything is written")
    if "instruments" in values:
        values["instruments"] = instruments_of(values)
    settings: Settings = build(Settings, {"paths": Paths(var_folder()), **values}, "")
    return settings


def _resolve(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The values of a file laid over those of the profile or file that it ``extends``."""
    if path in seen:
        raise ConfigError(f"{path} extends itself")
    values = _read(path)
    base = values.pop("extends", None)
    if base is None:
        return values
    return _overlay(_resolve(_base_of(path, base), (*seen, path)), values)


def _refuse_secrets(values: object, path: Path) -> None:
    """Raises RefusedKey if a key at any depth names a secret, whatever it holds: the value is not repeated."""
    for key in values if isinstance(values, dict) else ():
        if str(key).lower() in SECRETS:
            line = f"{path}: {key} is a secret; secrets come from the environment or .env, never from YAML"
            raise RefusedKey(line, "secret in YAML")
    for value in _held_by(values):
        _refuse_secrets(value, path)


def _held_by(values: object) -> Iterable[object]:
    if isinstance(values, dict):
        return values.values()
    return values if isinstance(values, list) else ()


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Key by key; what is of another ``kind`` has other keys, and takes the place of all that was there."""
    if "kind" in above and above["kind"] != below.get("kind", above["kind"]):
        return above
    merged = dict(below)
    for key, value in above.items():
        old = below.get(key)
        merged[key] = _overlay(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_OnceLoader)
    except OSError as missing:
        raise ConfigError(f"{path}: {missing.strerror}") from missing
    except UnicodeDecodeError as binary:
        raise ConfigError(f"{path} is no text: {binary}") from binary
    except yaml.YAMLError as broken:
        raise ConfigError(f"{path}: {_place_of(broken)}") from None  # its traceback quotes the line
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold keys and values")
    _refuse_secrets(values, path)
    return values


def _place_of(broken: yaml.YAMLError) -> str:
    """What is wrong where, without the line itself, which may hold a secret."""
    if not isinstance(broken, yaml.MarkedYAMLError):
        return f"no YAML: {type(broken).__name__}"
    mark = broken.problem_mark or broken.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return ", ".join(filter(None, (broken.context, broken.problem, place)))


class _OnceLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, not a silent replacement."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"key {twice!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)
