"""Hydra looks for launchers and sweepers here; what they do is `hemexp.sweep`. Imported at every start: nothing heavy.

Hydra finds this file by itself where hemexp is installed; where it is run from source, `hemexp.cli` registers it.
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


@dataclass
class LauncherConf:
    """hydra/launcher=hemexp, the default of train.py."""

    _target_: str = "hydra_plugins.hemexp_launcher.HemexpLauncher"


@dataclass
class SweeperConf:
    """hydra/sweeper=hemexp, the default of train.py; `params` are what an experiment sweeps."""

    _target_: str = "hydra_plugins.hemexp_launcher.HemexpSweeper"
    params: dict[str, Any] = field(default_factory=dict)


class HemexpLauncher(Launcher):
    """Stands for ``where=``: the sweeper runs the jobs there, unless the user names another launcher."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Nothing is needed: see `HemexpSweeper`."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Refuse another sweeper's jobs.

        Raises:
            HydraException: always.
        """
        raise HydraException("hydra/launcher=hemexp goes with hydra/sweeper=hemexp; give hydra/launcher=basic")


class HemexpSweeper(Sweeper):
    """Finds settings as ``search=`` says, checks all of them, and runs a job for each as ``where=`` says."""

    def __init__(self, params: dict[str, Any] | None = None) -> None:
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what `sweep` needs."""
        self.context, self.config = hydra_context, config
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.other_launcher = None if isinstance(launcher, HemexpLauncher) else launcher

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep that the command line's arguments span."""
        assert self.config is not None
        loader, params = self.context.config_loader, dict(self.params)
        try:
            if self.config.search.name == "grid":
                from hemexp.sweep.run_grid import sweep_grid

                return sweep_grid(self.config, loader, arguments, params, self.other_launcher)
            from hemexp.sweep.run_search import search

            return search(self.config, loader, arguments, params)
        except ValueError as error:  # which Hydra's own code raises for a wrong command line
            raise RuntimeError(f"{type(error).__name__}: {error}") from error


ConfigStore.instance().store(group="hydra/launcher", name="hemexp", node=LauncherConf, provider="hemexp")
ConfigStore.instance().store(group="hydra/sweeper", name="hemexp", node=SweeperConf, provider="hemexp")
