"""Every combination of the swept values: composed, checked, and run."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hemexp.errors import JobFailed
from hemexp.sweep.backends.devices import workers_ahead
from hemexp.sweep.backends.local import Pool
from hemexp.sweep.controller import Sweep, command_line
from hemexp.sweep.directory import settle
from hemexp.sweep.plan.grid import combinations
from hemexp.sweep.plan.job import SweepJob, compose_job

_MANY = 50  # jobs; fewer are checked in a few seconds, and nothing need be said


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
