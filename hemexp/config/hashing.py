"""The hash that identifies a run's configuration."""

import hashlib
import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Optional

from hemexp.config.code import Code, read_code
from hemexp.config.section import Section, get_key

# Raise this number when the default of a key changes. The same command then computes something else, so its runs need
# another hash. A new key does not need this, if its default does what earlier runs did.
DEFAULTS_VERSION = 1


def hashed_values(section: Section) -> dict[str, Any]:
    """Return the values that change the numbers of a run and differ from their defaults.

    A key without a default, such as ``model.name``, is always part of it. A key with ``hashed=False`` never is.
    """
    return {"defaults_version": DEFAULTS_VERSION, **_changed(section)}


def list_code(*sections: Section) -> Code:
    """Return the digests of the user's source files that sections need; empty without code of the user."""
    return read_code(name for section in sections for name in _list_code_names(section))


def config_hash(cfg: Section) -> str:
    """Return 16 hexadecimal digits that are the same for equal `hashed_values` and equal code of the user."""
    code = list_code(cfg)
    content = json.dumps({**hashed_values(cfg), **({"code": code} if code else {})}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def list_differences(earlier: dict[str, Any], section: Section, prefix: str = "") -> list[str]:
    """Return which hashed keys of a section differ from the values of an earlier configuration.

    Args:
        earlier: all values of the earlier configuration, as `dataclasses.asdict` returns them.
        section: the new configuration.
        prefix: of the keys.
    """
    lines = []
    for item in fields(section):
        value, name = getattr(section, item.name), f"{prefix}{item.name}"
        if not get_key(item).hashed or item.name not in earlier:
            continue
        before = earlier[item.name]
        if isinstance(value, Section) and isinstance(before, dict):
            lines += list_differences(before, value, f"{name}.")
        elif before != value and not get_key(item).is_file:
            lines.append(f"{name}={before} there, {value} here")
    return lines


def _list_code_names(section: Section) -> list[str]:
    below = (value for value in vars(section).values() if isinstance(value, Section))
    return [*section.list_code_names(), *(name for each in below for name in _list_code_names(each))]


def _find_file(path: Path) -> Path:
    """Return the file that identifies a path: of a run directory its result.json, of a model folder its model.json."""
    return next((path / name for name in ("result.json", "model.json") if (path / name).is_file()), path)


def _changed(section: Section) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for item in fields(section):
        value = getattr(section, item.name)
        if not get_key(item).hashed:
            continue
        if isinstance(value, Section):
            if below := _changed(value):
                changed[item.name] = below
            continue
        if isinstance(value, int) and item.type in (float, Optional[float]):
            value = float(value)
        if value == 0 and isinstance(value, float):
            value = 0.0  # never -0.0
        default = item.default if item.default_factory is MISSING else item.default_factory()
        if value and get_key(item).is_file:
            value = hashlib.sha256(_find_file(Path(value)).read_bytes()).hexdigest()[:16]
        if default is MISSING or value != default:
            changed[item.name] = value
    return changed
