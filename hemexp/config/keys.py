"""The keys of a composed configuration: refuse those that no schema knows, and suggest the nearest ones.

Hydra refuses an unknown key only where it is written ``KEY=VALUE``; ``+KEY=VALUE`` and ``++KEY=VALUE`` add it. A key
that the schema declares as a dictionary, such as ``where.options``, may hold any keys.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hemexp.config.foreign_words import explain_word, list_known
from hemexp.config.section import list_sections
from hemexp.errors import UserError


def check_keys(config: DictConfig, prefix: str = "") -> None:
    """Refuse a key that no schema knows, and a key that was deleted.

    Args:
        config: all of a configuration, or a part of it.
        prefix: what the keys of this part begin with, such as ``hydra.``.

    Raises:
        UserError: names the key, the nearest known keys and the rule.
    """
    for start, node, known in _list_nodes(config, prefix):
        for name in map(str, node):
            if name not in known:
                key = f"{start}{name}"
                parts, schema = _list_nodes(config, prefix), None if prefix else OmegaConf.get_type(config)
                value = node._get_node(name)
                given = "" if OmegaConf.is_config(value) else str(value)
                keys = [f"{path}{each}" for path, _, names in parts for each in names]
                raise UserError(describe_unknown(key, keys, schema, given))
        for name in known:
            if node._get_node(name) is None:
                raise UserError(f"~{start}{name}: a key cannot be deleted; leave it out, and it has its default")


def _list_nodes(node: DictConfig, prefix: str) -> Iterator[tuple[str, DictConfig, list[str]]]:
    """Return each part of a configuration that has a schema, with what its keys begin with and its known keys."""
    schema = OmegaConf.get_type(node)
    if schema is None or not is_dataclass(schema):
        return
    yield prefix, node, [item.name for item in fields(schema)]
    for name in map(str, node):
        below = node._get_node(name)
        if isinstance(below, DictConfig) and not below._is_none() and not below._is_missing():
            yield from _list_nodes(below, f"{prefix}{name}.")


def describe_unknown(unknown: str, keys: list[str], schema: type[Any] | None = None, value: str = "") -> str:
    """Return the message for a key that the chosen configuration does not have.

    Args:
        unknown: the key.
        keys: of the command.
        schema: of the command, to answer a word of another template.
        value: of the key, if it is known.
    """
    group, _, name = unknown.rpartition(".")
    advice = explain_word(unknown, value, schema) if schema else None
    if group and f"{group}.args" in keys and not (advice and group == "model"):
        argument = f"{group}.args.{name}={value or 'VALUE'}"
        return f"{unknown}: there is no such key here; for an argument of your own code give {argument}"
    if advice and schema and unknown not in list_known(schema):
        return f"{unknown}: there is no such setting in hemexp; {advice}"
    owners = [section for section in list_sections() if group == section.PREFIX and section.NAMES]
    choices = [
        f"{group}={choice}"
        for section in owners
        if name in {item.name for item in fields(section)}
        for choice in section.NAMES
    ]
    if choices:
        owner = " or ".join(dict.fromkeys(choices))
        instead = advice or "remove the key"
        return f"{unknown}: there is no such key here; it is a key of {owner}; add that choice, or {instead}"
    folded = {key.casefold(): key for key in keys}
    last = {key.rpartition(".")[2].casefold(): key for key in keys}
    similar = [folded[key] for key in get_close_matches(unknown.casefold(), folded, cutoff=0.8)]
    similar = similar or [last[key] for key in get_close_matches(name.casefold(), last)]
    siblings = [key for key in keys if group and key.rpartition(".")[0] == group]
    near = (
        f"did you mean {' or '.join(similar)}?" if similar else f"known here: {', '.join(siblings)}" if siblings else ""
    )
    return f"{unknown}: there is no such key; rule: a key that --help lists{'; ' if near else ''}{near}"
