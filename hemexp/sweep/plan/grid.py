"""The jobs of a grid: every combination of the swept values."""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from hemexp.errors import UserError

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
    given = list(arguments)
    keys = {argument.split("=")[0].lstrip("+~") for argument in given}
    given += [f"{key}={value}" for key, value in params.items() if key not in keys]
    overrides = OverridesParser.create().parse_overrides(given)
    for override in overrides:
        key = override.key_or_group
        if override.is_interval_sweep():
            raise UserError(
                f"{override.input_line}: a grid cannot sweep an interval; list values, or add search=random (or tpe)"
            )
        if override.is_sweep_override() and any(key == name or key.startswith(f"{name}.") for name in _NOT_SWEPT):
            raise UserError(f"{override.input_line}: {key} cannot be swept: give one value for the whole sweep")
    (batch,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [list(job_overrides) for job_overrides in batch]
