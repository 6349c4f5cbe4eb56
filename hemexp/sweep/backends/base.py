"""The interface of a backend, its messages to the controller, and the rules for time limits.

`hemexp.sweep.backends.local`, `slurm` and `ray` implement the interface.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from hemexp.config import WhereConfig
from hemexp.runner.events import Heartbeat as Heartbeat
from hemexp.runner.events import ItemResult as ItemResult
from hemexp.sweep.plan.job import SweepJob

Outcome = tuple[str, str]  # an outcome, see `ItemResult`, and its message
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
        ranges: the fits of ``fits``.
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

    @property
    def order(self) -> tuple[bool, int, float]:
        """The place in the queue, lowest first: a job that only has to finish starts before more fits."""
        return self.kind == "fits", self.wave, -self.cost

    @cached_property
    def name(self) -> str:
        """A name for files: a hash of the configurations and the fits."""
        hashes = {job.number: job.config_hash for job in self.jobs}
        fits = [f"{hashes[each.job]} {each.stage} {each.start} {each.stop}" for each in self.ranges]
        return hashlib.sha256("\n".join(fits).encode()).hexdigest()[:16]


class Backend(Protocol):
    """Run each work item in a separate process, so that one failure does not affect the others."""

    capacity: int  # work items that run at the same time

    def submit(self, items: Sequence[WorkItem]) -> None:
        """Queue work items; they start when there is a free worker."""

    def wait(self, seconds: float) -> list[ItemResult | Heartbeat]:
        """Return the events since the last call; wait for the first one, at most `seconds`."""

    def stop(self) -> None:
        """Ask running items to save their state and end, and drop queued items; `wait` still returns events."""

    @property
    def idle(self) -> bool:
        """Whether no item is running or queued."""

    def close(self) -> None:
        """End every remaining process."""


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
