"""Launcher and sweeper for Hydra. They pass the work on to `hemexp.sweep`.

Hydra finds this file where hemexp is installed; `hemexp.cli` registers it where hemexp runs from source. Every command
imports it, so it imports no large package.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hemexp.errors import JobFailed


@dataclass
class LauncherConf:
    """``hydra/launcher=hemexp``, the default of train.py."""

    _target_: str = "hydra_plugins.hemexp_launcher.HemexpLauncher"


@dataclass
class SweeperConf:
    """``hydra/sweeper=hemexp``, the default of train.py.

    Attributes:
        params: the keys that an experiment sweeps, with their values.
    """

    _target_: str = "hydra_plugins.hemexp_launcher.HemexpSweeper"
    params: dict[str, Any] = field(default_factory=dict)


class HemexpLauncher(Launcher):
    """The default launcher. It runs nothing: `HemexpSweeper` runs the jobs at the place that ``where=`` names."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Do nothing; `HemexpSweeper` runs the jobs."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Refuse the jobs of another sweeper.

        Raises:
            HydraException: always.
        """
        raise HydraException(
            "hydra/launcher=hemexp needs hydra/sweeper=hemexp; with another sweeper give hydra/launcher=basic"
        )


class HemexpSweeper(Sweeper):
    """Find the settings of a sweep (``search=``), check all of them and run a job for each (``where=``)."""

    def __init__(self, params: dict[str, Any] | None = None) -> None:
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the configuration for `sweep`."""
        self.context, self.config = hydra_context, config
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.other_launcher = None if isinstance(launcher, HemexpLauncher) else launcher

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep that the arguments of the command line describe.

        Raises:
            UserError: the configuration of a job or of the search is wrong; nothing was written.
            JobFailed: at least one job did not finish.
        """
        assert self.config is not None
        loader, params = self.context.config_loader, dict(self.params)
        try:
            if self.config.search.name == "grid":
                from hemexp.sweep.run_grid import sweep_grid

                done = sweep_grid(self.config, loader, arguments, params, self.other_launcher)
            else:
                from hemexp.sweep.plan.search import Search
                from hemexp.sweep.run_search import run_search

                done = run_search(Search(self.config, loader, arguments, params))
        except ValueError as error:  # Hydra's own code raises it for a wrong command line
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        if not done:
            raise JobFailed


ConfigStore.instance().store(group="hydra/launcher", name="hemexp", node=LauncherConf, provider="hemexp")
ConfigStore.instance().store(group="hydra/sweeper", name="hemexp", node=SweeperConf, provider="hemexp")
