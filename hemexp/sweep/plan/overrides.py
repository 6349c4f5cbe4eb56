"""The overrides of a sweep: those of the command line, and those that an experiment sweeps."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override

from hemexp.config.compose import quote_paths
from hemexp.errors import UserError


def read_overrides(arguments: Sequence[str], params: Mapping[str, Any]) -> tuple[list[Override], list[Override]]:
    """Return the overrides of the command line, and those of an experiment for other keys.

    Args:
        arguments: overrides from the command line.
        params: ``hydra.sweeper.params`` of an experiment.

    Raises:
        UserError: a key cannot be swept, or is given twice.
    """
    parser = OverridesParser.create()
    typed = parser.parse_overrides(list(arguments))
    given = {override.key_or_group for override in typed}
    groups = tuple(f"{override.key_or_group}." for override in typed if isinstance(override.value(), dict))
    lines = [f"{key}={_format(value)}" for key, value in params.items()]
    added = parser.parse_overrides(quote_paths(["-m", *lines])[1:])
    added = [item for item in added if item.key_or_group not in given and not item.key_or_group.startswith(groups)]
    overrides = [*typed, *added]
    counts = Counter(override.key_or_group for override in overrides)
    for override in overrides:
        key, line = override.key_or_group, override.input_line
        if override.is_sweep_override() and counts[key] > 1:
            raise UserError(f"{line}: {key} is given twice; rule: a swept key is given once, with all its values")
        if override in added and override.is_hydra_override():
            raise UserError(f"{line}: a setting of Hydra cannot be swept; remove it from hydra.sweeper.params")
    return typed, added


def list_values(override: Override) -> list[str]:
    """Return the values of a list or a range, each as it is written in an override.

    Raises:
        UserError: the values are not listed.
    """
    if isinstance(override.value(), Glob):
        raise UserError(f"{override.input_line}: glob() cannot be swept; give a list, range() or interval()")
    return list(map(str, override.sweep_string_iterator()))


def _format(value: Any) -> str:
    """Return a value of a YAML file as an override's; a text is one already, and may sweep."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
