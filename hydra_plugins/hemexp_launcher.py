"""Hydra looks for launchers and sweepers here; what they do is `hemexp.sweep`. Imported at every start: nothing heavy.

Hydra finds this file by itself where hemexp is installed; `hemexp.command` registers it where it is run from its source.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class LauncherConf:
    """hydra/launcher=hemexp, the default of train.py."""

    _target_: str = "hydra_plugins.hemexp_launcher.HemexpLauncher"


@dataclass
class SweeperConf:
    """hydra/sweeper=hemexp, chosen by search=random and search=tpe."""

    _target_: str = "hydra_plugins.hemexp_launcher.HemexpSweeper"
    params: dict[str, Any] = field(default_factory=dict)


class HemexpLauncher(Launcher):
    """Runs the jobs of a sweep as ``where=`` says."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what `launch` needs."""
        self.context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a job for each list of overrides."""
        from hemexp.sweep.grid import launch

        return launch(self.config, self.context.config_loader, job_overrides, initial_job_idx)


class HemexpSweeper(Sweeper):
    """Finds settings as ``search=`` says, and runs a job for each."""

    def __init__(self, params: dict[str, Any] | None = None) -> None:
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what `sweep` needs."""
        self.context, self.config = hydra_context, config

    def sweep(self, arguments: list[str]) -> Any:
        """Search among the settings that the command line's arguments span."""
        from hemexp.sweep.search import search

        return search(self.config, self.context.config_loader, arguments, self.params)


ConfigStore.instance().store(group="hydra/launcher", name="hemexp", node=LauncherConf, provider="hemexp")
ConfigStore.instance().store(group="hydra/sweeper", name="hemexp", node=SweeperConf, provider="hemexp")
