"""The jobs of a grid: every combination of the swept values."""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from hemexp.errors import UserError

# one choice for the whole sweep
_NOT_SWEPT = ("where", "search", "logger", "tags", "output_dir", "trainer.accelerator", "trainer.devices")


def combinations(config: DictConfig, arguments: Sequence[str], params: dict[str, Any]) -> list[list[str]]:
    """Return the overrides of every job.

    Args:
        config: the sweep's own.
        arguments: of the command line.
        params: an experiment's ``hydra.sweeper.params``; the command line wins.

    Raises:
        UserError: a key is swept that is one for the whole sweep.
    """
    given = list(arguments)
    keys = {each.split("=")[0].lstrip("+~") for each in given}
    given += [f"{key}={value}" for key, value in params.items() if key not in keys]
    overrides = OverridesParser.create().parse_overrides(given)
    for override in overrides:
        key = override.key_or_group
        if override.is_interval_sweep():
            raise UserError(f"{override.input_line}: a grid has no intervals; give search=random or search=tpe with it")
        if override.is_sweep_override() and any(key == each or key.startswith(f"{each}.") for each in _NOT_SWEPT):
            raise UserError(f"{override.input_line}: {key} is one for the whole sweep, it cannot be swept")
    (batch,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [list(each) for each in batch]
