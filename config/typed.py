"""Plain values of YAML into frozen dataclasses: keys known, types as declared, or one line that says which is not."""

import difflib
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from market.errors import ConfigError


def build(kind: Any, value: Any, key: str) -> Any:
    """``value`` as an instance of ``kind``: a dataclass, tuple, dict, Literal, union or scalar.

    Raises ConfigError, naming ``key``, if it is none: unknown or missing keys, a wrong type, a value out of range.

    >>> build(tuple[float, ...], [0, 3.4], "labels.fee_budgets_bp")
    (0.0, 3.4)
    """
    if is_dataclass(kind):
        return value if is_dataclass(value) else _dataclass(kind, value, key)
    origin = get_origin(kind)
    if origin is tuple:
        return _tuple(get_args(kind), value, key)
    if origin is dict:
        return {name: build(get_args(kind)[1], item, _below(key, name)) for name, item in _mapping(value, key).items()}
    if origin is Literal:
        return _choice(get_args(kind), value, key)
    if origin in (Union, types.UnionType):
        return _union(get_args(kind), value, key)
    return _scalar(kind, value, key)


def _dataclass(kind: Any, value: Any, key: str) -> Any:
    given = _mapping(value, key)
    wanted = [field.name for field in fields(kind)]
    for name in given:
        if name not in wanted:
            raise ConfigError(_unknown(_below(key, name), str(name), wanted))
    missing = [_below(key, name) for name in wanted if name not in given]
    if missing:
        raise ConfigError(f"missing: {', '.join(missing)}")
    hints = get_type_hints(kind)
    values = {name: build(hints[name], given[name], _below(key, name)) for name in wanted}
    try:
        return kind(**values)
    except ConfigError as refused:
        raise ConfigError(f"{key}: {refused}" if key else str(refused)) from refused


def _unknown(key: str, name: str, allowed: list[str]) -> str:
    nearest = difflib.get_close_matches(name, allowed, n=1)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    return f"unknown key {key}; {hint}allowed: {', '.join(allowed)}"


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key or 'the file'} must hold keys and values, not {_shown(value)}")
    return value


def _tuple(kinds: tuple[Any, ...], value: Any, key: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{key} must be a list, not {_shown(value)}")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ConfigError(f"{key} must hold {len(kinds)} values, not {len(value)}")
    return tuple(build(kind, item, f"{key}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _choice(allowed: tuple[Any, ...], value: Any, key: str) -> Any:
    if value not in allowed:
        raise ConfigError(f"{key}={value!r} is not one of {', '.join(map(str, allowed))}")
    return value


def _union(kinds: tuple[Any, ...], value: Any, key: str) -> Any:
    if all(map(is_dataclass, kinds)):
        return build(_of_kind(kinds, value, key), value, key)
    refusals = []
    for kind in kinds:
        try:
            return build(kind, value, key)
        except ConfigError as refused:
            refusals.append(str(refused))
    raise ConfigError(" or ".join(refusals))


def _of_kind(kinds: tuple[Any, ...], value: Any, key: str) -> Any:
    """The dataclass whose ``kind`` is the value's: each names its own as a Literal."""
    if is_dataclass(value):
        return type(value)
    names = {get_args(get_type_hints(kind)["kind"])[0]: kind for kind in kinds}
    return names[_choice(tuple(names), _mapping(value, key).get("kind"), _below(key, "kind"))]


def _scalar(kind: Any, value: Any, key: str) -> Any:
    if kind is type(None) and value is None:
        return None
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    hint = ""
    if isinstance(value, str) and kind in (int, float):
        hint = "; a power of ten is written 1.0e-4"
    raise ConfigError(f"{key} must be {_NAMES.get(kind, kind.__name__)}, not {_shown(value)}{hint}")


def _below(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)


_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "empty"}
