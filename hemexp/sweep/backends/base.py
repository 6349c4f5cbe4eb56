"""The work items of a sweep, their events, and the rules for time limits."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hemexp.config import WhereConfig
from hemexp.files.run_directory import RunDirectory
from hemexp.runner.events import Heartbeat as Heartbeat
from hemexp.runner.events import ItemResult as ItemResult
from hemexp.runner.events import Outcome as Outcome
from hemexp.sweep.plan.job import SweepJob

RUN_ITEM = "hemexp.sweep.backends.run_item:run_item"  # the function that runs a work item, as module:name
BATCHES = ".batches"  # in the directory of a sweep: the states of fits that are being trained


@dataclass(frozen=True)
class FitRange:
    """Some fits of a job.

    Attributes:
        job: number of the job.
        stage: see `hemexp.sweep.plan.cost.count_fits`.
        start: position of the first fit in its stage.
        stop: position after the last fit.
    """

    job: int
    stage: str
    start: int
    stop: int


@dataclass(frozen=True)
class WorkItem:
    """A unit of work for one process.

    Attributes:
        kind: ``fits`` (train fits of one or several jobs together; each job then finds them trained), ``job`` (run a
            job to its end, with the fits that are missing), ``jobs`` (finish several jobs one after another, which then
            share what they compute of the cohort) or ``reevaluation`` (score a finished job on new folds).
        jobs: one job, or the several jobs of ``fits`` and ``jobs``.
        cost: an estimate; the most expensive items start first.
        ranges: the fits of ``fits``, one range for each job.
        wave: ``fits`` of the first wave start first.
        on_device: whether it trains; an item that does not needs no GPU.
        cohort: the pickled cohort of the jobs, so that it is not read again; empty where it is not known.
        place: directory for logs and states; by default that of the sweep.
    """

    kind: str
    jobs: tuple[SweepJob, ...]
    cost: float = 0.0
    ranges: tuple[FitRange, ...] = ()
    wave: int = 0
    on_device: bool = True
    cohort: bytes = b""
    place: Path | None = None

    @property
    def directory(self) -> Path:
        """The directory for logs and states."""
        return self.place or self.jobs[0].directory.parent

    def get_result_path(self, job: SweepJob) -> Path:
        """Return the file with the results of ``fits`` for one of the jobs."""
        path: Path = RunDirectory(job.directory).fits / f"{self.name}.fits"
        return path

    @property
    def order(self) -> tuple[bool, int, float]:
        """The place in the queue, lowest first: a job that only has to finish starts before more fits."""
        return self.kind == "fits", self.wave, -self.cost

    @cached_property
    def name(self) -> str:
        """A name for files: a hash of the configurations and the fits."""
        pairs = zip(self.jobs, self.ranges, strict=False)
        fits = [f"{job.config_hash} {each.stage} {each.start} {each.stop}" for job, each in pairs]
        return hashlib.sha256("\n".join(fits).encode()).hexdigest()[:16]


def describe_timeout(where: WhereConfig, item: WorkItem, running: float, silent: float) -> str:
    """Return the time limit that a work item exceeds, for a message; empty where it exceeds none.

    Args:
        where: the time limits; `job_timeout` counts once for each job of the item.
        item: the work item.
        running: seconds since it started.
        silent: seconds since its last heartbeat.
    """
    num_jobs = len(item.jobs)
    if where.job_timeout is not None and running > where.job_timeout * num_jobs:
        jobs = f" for each of {num_jobs} jobs" if num_jobs > 1 else ""
        return f"took longer than where.job_timeout={where.job_timeout:g} s{jobs}"
    if where.silence_timeout is not None and silent > where.silence_timeout:
        return f"sent no heartbeat for where.silence_timeout={where.silence_timeout:g} s"
    return ""
