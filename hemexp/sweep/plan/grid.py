"""The jobs of a grid: every combination of the swept values."""

from collections.abc import Sequence
from itertools import product
from typing import Any

from omegaconf import DictConfig

from hemexp.errors import UserError
from hemexp.sweep.plan.overrides import list_values, read_overrides

# keys with one value for the whole sweep
_NOT_SWEPT = ("where", "search", "logger", "tags", "output_dir", "trainer.accelerator", "trainer.devices")


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
