"""A single run whose fits are trained at the place that ``where=`` names: GPUs, Slurm or Ray."""

import logging
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from hemexp.config import TrainConfig, list_code
from hemexp.errors import RESUMES, Interrupted
from hemexp.files.result import RunResult
from hemexp.files.run_directory import RunDirectory
from hemexp.process import get_ending_signals, interrupt_on
from hemexp.sweep.backends.base import BATCHES, Heartbeat, WorkItem
from hemexp.sweep.backends.devices import build_backend, check_backend
from hemexp.sweep.batches import build_items
from hemexp.sweep.plan.cost import count_epochs
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.results.job_result import DONE
from hemexp.training.progress import EpochBar

log = logging.getLogger(__name__)


def train(cfg: TrainConfig, directory: Path) -> RunResult:
    """Train all fits of a run elsewhere, then finish the run in this process; see `hemexp.commands.train.train`.

    A fit that is lost elsewhere is trained in this process.

    Raises:
        UserError: the place is not available; and as `hemexp.commands.train.train`.
        Interrupted: a signal came; the same call resumes the run.
    """
    check_backend(cfg)
    run = RunDirectory(directory)
    if run.open(cfg) != "done":
        _fit_elsewhere(cfg, run)
    from hemexp.commands.train import train as finish

    result = finish(cfg, directory)
    for name in (BATCHES, ".logs"):
        shutil.rmtree(run.fits.parent / name, ignore_errors=True)
    return result


def _fit_elsewhere(cfg: TrainConfig, run: RunDirectory) -> None:
    place, job = run.fits.parent, SweepJob(0, run.path, (), cfg, {}, code=list_code(cfg))
    with closing(build_backend(cfg, place)) as backend:
        items = [replace(item, place=place) for item in build_items([job], backend.capacity)]
        items = [item for item in items if not item.get_result_path(job).is_file()]
        if not items:  # the run has one fit, or all are trained
            return
        num_fits = sum(each.stop - each.start for item in items for each in item.ranges)
        log.info(
            "where=%s: %d fits in %d work items, %d at once", cfg.where.name, num_fits, len(items), backend.capacity
        )
        with (
            EpochBar("training", count_epochs(cfg), cfg.trainer.progress_bar) as bar,
            interrupt_on(get_ending_signals()),
        ):
            try:
                backend.submit(items)
                while not backend.idle:
                    for event in backend.wait(1.0):
                        if isinstance(event, Heartbeat):
                            bar.advance(event.epochs, 0, float("nan"))
                        elif event.outcome != DONE:
                            _warn(event.item, event.message or event.outcome)
            except KeyboardInterrupt:
                backend.stop()
                while not backend.idle:
                    backend.wait(1.0)
                raise Interrupted(f"interrupted; the fits save their states{RESUMES}{run.path} resumes") from None


def _warn(item: WorkItem, reason: str) -> None:
    text = ", ".join(f"{each.stage} {each.start} to {each.stop - 1}" for each in item.ranges)
    log.warning("fits (%s) were lost: %s; they are trained in this process", text, reason)
