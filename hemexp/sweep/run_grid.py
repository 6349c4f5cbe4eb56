"""Run a grid: compose and check every combination of the swept values, then run all of them."""

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hemexp.config import ClusterConfig
from hemexp.files.writing import write_text
from hemexp.runner.launch import start_server
from hemexp.sweep.backends.devices import check_backend
from hemexp.sweep.controller import Sweep
from hemexp.sweep.plan.compose import JobComposer
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.plan.overrides import combinations

_MANY_JOBS = 200  # the check of fewer jobs takes a few seconds and needs no message


def sweep_grid(
    config: DictConfig, loader: Any, arguments: Sequence[str], params: dict[str, Any], launcher: Any
) -> bool:
    """Check every job of a grid, then run all jobs.

    Args:
        config: configuration of the sweep.
        loader: Hydra's config loader.
        arguments: overrides from the command line.
        params: see `combinations`.
        launcher: a launcher other than hemexp's; it runs the jobs itself after the same checks.

    Returns:
        Whether every job was done.

    Raises:
        UserError: the configuration of a job is wrong; nothing was written.
    """
    began = time.monotonic()
    job_overrides = combinations(config, arguments, params)
    shared = set.intersection(*map(set, job_overrides))
    if len(job_overrides) == 1:
        print("no key has several values: the sweep has one job", file=sys.stderr)
    if len(job_overrides) > _MANY_JOBS:
        print(f"checking {len(job_overrides)} configurations", file=sys.stderr)
    directory, composer = Path(config.hydra.sweep.dir), JobComposer(config, loader)
    jobs: list[SweepJob] = []
    by_hash: dict[str, SweepJob] = {}
    for overrides in job_overrides:
        number = len(jobs)
        varied = [override for override in overrides if override not in shared]
        try:
            job = composer.compose(overrides, number, varied)
        except (HydraException, OmegaConfBaseException) as error:  # a wrong type, an unknown key
            raise type(error)(f"job {number} ({' '.join(varied)}): {error}") from error.__cause__
        same = by_hash.setdefault(job.config_hash, job)
        if same is not job:
            print(f"{' '.join(varied)}: is the same run as {same.title}; it runs once", file=sys.stderr)
            continue
        jobs.append(job)
        if number == 0 and launcher is None:
            check_backend(job.cfg)
            if not directory.exists() and not isinstance(job.cfg.where, ClusterConfig):
                start_server()  # it imports PyTorch while the other jobs are checked
    if launcher is not None:
        directory.mkdir(parents=True, exist_ok=True)
        for job_return in launcher.launch([job.all_overrides for job in jobs], initial_job_idx=0):
            _ = job_return.return_value  # raises the exception of the job
        return True
    sweep = Sweep(directory, jobs[0].cfg, began=began)
    with closing(sweep.backend):  # also after an interruption outside of the jobs
        write_text(sweep.directory / "multirun.yaml", OmegaConf.to_yaml(config))
        sweep.run_all(jobs)
        return sweep.finish()
