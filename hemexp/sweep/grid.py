"""Every combination of the swept values: composed, checked, and run."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hemexp.errors import UserError
from hemexp.sweep.folders import settle
from hemexp.sweep.job import SweepJob, compose_job
from hemexp.sweep.places import workers_ahead
from hemexp.sweep.pool import Pool
from hemexp.sweep.sweep import Sweep, command_line

_MANY = 50  # jobs; fewer are checked in a few seconds, and nothing need be said
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


def sweep_grid(config: DictConfig, loader: Any, arguments: Sequence[str], params: dict[str, Any], launcher: Any) -> Any:
    """Check every job of a grid, then run them all.

    Args:
        config: the sweep's own.
        loader: Hydra's config loader.
        arguments: of the command line.
        params: see `combinations`.
        launcher: another than hemexp's own runs the jobs its own way, after the same checks.

    Raises:
        UserError: a job's configuration is wrong; nothing was written.
        JobFailed: a job was lost.
    """
    from hemexp.command import JobFailed

    lists = combinations(config, arguments, params)
    shared = set.intersection(*map(set, lists))
    if len(lists) > _MANY:
        print(f"checking {len(lists)} configurations", file=sys.stderr)
    directory = Path(config.hydra.sweep.dir)
    jobs: list[SweepJob] = []
    workers: Pool | None = None
    with ExitStack() as refused:
        for number, overrides in enumerate(lists):
            own = [each for each in overrides if each not in shared]
            try:
                jobs.append(compose_job(config, loader, overrides, number, own))
            except (HydraException, OmegaConfBaseException) as error:  # a wrong type, an unknown key
                raise type(error)(f"job {number} ({' '.join(own)}): {error}") from error.__cause__
            if number == 0 and launcher is None and (workers := workers_ahead(jobs[0].cfg, directory, len(lists))):
                refused.callback(workers.abandon)
        if launcher is None:
            sweep = Sweep(directory, jobs[0].cfg, command_line(), workers)
            refused.pop_all()  # it has begun
    if launcher is not None:
        directory.mkdir(parents=True, exist_ok=True)
        for done in launcher.launch(lists, initial_job_idx=0):
            _ = done.return_value  # raises what the job raised
        return
    OmegaConf.save(config, sweep.directory / "multirun.yaml")
    run_all(sweep, jobs)
    if not sweep.finish():
        raise JobFailed


def run_all(sweep: Sweep, jobs: Sequence[SweepJob]) -> None:
    """Run those jobs of a sweep that are not done yet, and wait for them."""
    waiting = settle(sweep.directory, jobs)
    names = {job.number for job in waiting}
    finished = [job for job in jobs if job.number not in names]
    sweep.skip(finished)
    places = sweep.backend.capacity
    where = f", {min(places, len(waiting))} at once" if waiting else ""
    which = ", ".join(str(job.number) for job in finished)
    skipped = f"{len(finished)} done already and skipped (job {which}), " if finished else ""
    sweep.display.say(f"{len(jobs)} jobs into {sweep.directory}: {skipped}{len(waiting)} to run{where}")
    sweep.run(waiting, jobs)
