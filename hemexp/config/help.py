"""The text of ``--help``: every choice and every key of a command, with the values of this command line."""

import textwrap
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hemexp.config.registry import MODELS
from hemexp.config.section import Section, get_key, is_optional

_WIDTH, _COLUMN = 120, 36  # characters: of a line, and before the help of a key
_GROUPS = {"experiment": "a set of values for one purpose"}  # groups of choices that are not keys of a section


def build_help(config: DictConfig, schema: type[Section], folder: Path) -> str:
    """Return the choices and the keys of a command.

    Args:
        config: composed by Hydra, with its node ``hydra``.
        schema: of the command.
        folder: that holds a folder with YAML files for each group of choices.
    """
    items, choices = {item.name: item for item in fields(schema)}, config.hydra.runtime.choices
    # a group with a list of choices is not in `choices`
    chosen = {group: choices.get(group) for group in {**items, **choices} if read_choices(folder / group)}
    sections = [name for name, item in items.items() if _is_section(item)]
    example = "scheduler=warmup_cosine" if "scheduler" in chosen else "data=synthetic"
    lines = [
        "Set a key as KEY=VALUE. The values below are those of this command line.",
        f"A star (*) marks the choice in use. To see the keys of another choice, add it: --help {example}.",
        "",
        "== General ==",
        *_format_section(config, schema),
    ]
    for name in [*sections, *(group for group in chosen if group not in sections)]:
        title = get_key(items[name]).help if name in items else _GROUPS[name]
        lines += ["", f"== {name}: {title} =="]
        if name in chosen:
            lines += _format_choices(folder / name, chosen[name])
        if name in chosen and name in sections:
            lines.append("")
        if name in sections:
            lines += _format_section(config[name], OmegaConf.get_type(config, name), f"{name}.", name in chosen)
    if "only" in items:
        lines += ["", "== only: the protocols of the audit =="]
        for name, words in read_choices(folder / "protocol").items():
            lines += _format_row(f"  only={name}", words)
    return "\n".join(lines)


def read_choices(folder: Path) -> dict[str, str]:
    """Return the help of every choice of a group: the first comment of its YAML file that is not for Hydra.

    The models come from the registry; a folder of the user may hold more of them.
    """
    choices = {}
    for path in sorted(folder.glob("*.yaml")):
        comments = (line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
        choices[path.stem] = next((text for text in comments if not text.startswith("@package")), "")
    if folder.name == "model":
        choices |= {name: entry.help for name, entry in MODELS.items()}
    return choices


def _is_section(item: Field[Any]) -> bool:
    return isinstance(item.type, type) and issubclass(item.type, Section)


def _format_choices(folder: Path, chosen: str | None) -> list[str]:
    choices = read_choices(folder)
    order = sorted(choices, key=lambda name: name != chosen)
    return [
        line
        for name in order
        for line in _format_row(f"{'*' if name == chosen else ' '} {folder.name}={name}", choices[name])
    ]


def _format_section(config: DictConfig, schema: type[Any] | None, prefix: str = "", skip: bool = False) -> list[str]:
    """Return the keys of a section that are not sections; `skip` leaves out the name of the choice."""
    lines = []
    for item in fields(schema or Section):
        if not _is_section(item) and not (skip and item.name in {"name", "kind"}):
            lines += _format_row(f"  {prefix}{item.name}={_format_value(config[item.name])}", _describe(item))
    return lines


def _describe(item: Field[Any]) -> str:
    """Return help, unit and legal values of a key."""
    rules = get_key(item)
    null = " or null" if is_optional(item) and rules.range else ""
    details = "; ".join(text for text in (rules.unit, rules.range + null) if text)
    return f"{rules.help} [{details}]" if details else rules.help


def _format_value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if OmegaConf.is_list(value):
        return f"[{','.join(map(_format_value, value))}]"
    return str(value)


def _format_row(name: str, text: str) -> list[str]:
    """Return a name and its text in two columns; a long name has its own line."""
    lines = textwrap.wrap(text, _WIDTH - _COLUMN, break_on_hyphens=False)
    if len(name) < _COLUMN:
        return [name.ljust(_COLUMN) + lines[0], *(" " * _COLUMN + line for line in lines[1:])]
    return [name, *(" " * _COLUMN + line for line in lines)]
