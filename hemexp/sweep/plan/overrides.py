"""The overrides of a sweep: of the command line, of an experiment that sweeps, and of each job of a grid."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from omegaconf import DictConfig

from hemexp.config.compose import quote_paths
from hemexp.errors import UserError

# keys with one value for the whole sweep
_NOT_SWEPT = ("where", "search", "logger", "tags", "output_dir", "trainer.accelerator", "trainer.devices")


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


def combinations(config: DictConfig, arguments: Sequence[str], params: dict[str, Any]) -> list[list[str]]:
    """Return the overrides of every job.

    Args:
        config: configuration of the sweep.
        arguments: overrides from the command line.
        params: ``hydra.sweeper.params`` of an experiment; the command line takes precedence.

    Raises:
        UserError: a swept key must have one value for the whole sweep, or an interval is given.
    """
    choices = []
    typed, added = read_overrides(arguments, params)
    for override in (*typed, *added):
        key, line = override.key_or_group, override.input_line
        if not override.is_sweep_override():
            choices.append([str(line)])
            continue
        if override.is_interval_sweep():
            raise UserError(f"{line}: a grid cannot sweep an interval; list values, or add search=random (or tpe)")
        if any(key == name or key.startswith(f"{name}.") for name in _NOT_SWEPT):
            hint = (
                f"; 'logger=[{','.join(list_values(override))}]' gives every job all of them" if key == "logger" else ""
            )
            raise UserError(f"{line}: {key} cannot be swept: give one value for the whole sweep{hint}")
        values = list_values(override)
        if not values:
            raise UserError(f"{line}: holds no value; give at least one")
        choices.append([f"{override.get_key_element()}={value}" for value in values])
    return [list(job_overrides) for job_overrides in product(*choices)]


def _format(value: Any) -> str:
    """Return a value of a YAML file as an override's; a text is one already, and may sweep."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
