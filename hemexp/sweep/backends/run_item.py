"""What a worker does with a task, wherever it runs. Whatever goes wrong is told in the job's own log, and returned."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from hemexp.errors import RESUMES, CheckFailed, Interrupted, Pruned, UserError
from hemexp.files.run_directory import OutputDirectory
from hemexp.sweep.backends.base import Task
from hemexp.training import progress

log = logging.getLogger(__name__)

Pulse = Callable[[int], Any]  # is told of epochs trained, and by 0 of a line in the log


def run_task(task: Task, pulse: Pulse = lambda epochs: None) -> tuple[str, str]:
    """Run a task to its end in this process.

    Args:
        task: of any kind.
        pulse: is told that the task lives.

    Returns:
        Its outcome, see `hemexp.sweep.backends.base.Ended`, and a line about it.
    """
    (first, *_), place = task.jobs, task.jobs[0].folder
    name = "train.log" if task.kind == "job" else f"{task.kind}-{first.number}.log"
    logs = place / name if task.kind == "job" else place.parent / ".logs" / name
    with _told_in(logs, pulse), progress.report_epochs_to(pulse):
        try:
            _KINDS[task.kind](task)
        except (UserError, CheckFailed) as error:
            log.error("error: %s", error)
            return "failed", " ".join(str(error).split())
        except Pruned as end:
            log.info("%s", end)
            return "pruned", str(end)
        except (Interrupted, KeyboardInterrupt) as stop:
            log.error("%s", str(stop) or "interrupted before the work began; nothing is lost")
            return "interrupted", str(stop).split(RESUMES)[0]
        except BaseException as error:  # SystemExit too: it must not take the worker along
            log.exception("%s: %s", type(error).__name__, error)
            return "failed", f"{type(error).__name__}: {error}".splitlines()[0]
        finally:
            for job in task.jobs:
                OutputDirectory(job.folder).release()
    return "done", ""


def _job(task: Task) -> None:
    from hemexp.commands.train import train

    (job,) = task.jobs
    callback = None
    if job.cfg.search.prune:
        from hemexp.sweep.run_search import build_score_callback

        callback = build_score_callback(job)
    train(job.cfg, job.folder, callback)


def _batch(task: Task) -> None:
    from hemexp.sweep.backends.batch import train_together

    train_together(task.jobs)


def _fresh(task: Task) -> None:
    from hemexp.sweep.results.reevaluation import evaluate_afresh

    (job,) = task.jobs
    evaluate_afresh(job)


_KINDS: dict[str, Callable[[Task], None]] = {"job": _job, "batch": _batch, "fresh": _fresh}


class _Pulse(logging.Handler):
    """A line in the log is a sign of life."""

    def __init__(self, pulse: Pulse) -> None:
        super().__init__()
        self.pulse = pulse

    def emit(self, record: logging.LogRecord) -> None:
        self.pulse(0)


@contextmanager
def _told_in(path: Path, pulse: Pulse) -> Iterator[None]:
    """Send the log, all that is printed, and what a dying interpreter says, to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    earlier, level = root.handlers[:], root.level
    with path.open("a", encoding="utf-8", buffering=1) as lines:
        told = logging.StreamHandler(lines)
        told.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.handlers[:] = [told, _Pulse(pulse)]
        root.setLevel(logging.INFO)
        with redirect_stdout(lines), redirect_stderr(lines), _descriptors(lines.fileno()):
            try:
                yield
            finally:
                root.handlers[:] = earlier
                root.setLevel(level)


@contextmanager
def _descriptors(target: int) -> Iterator[None]:
    """Point standard output and error of C code and of a crash at an open file."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    try:
        for number, _ in kept:
            os.dup2(target, number)
        yield
    finally:
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
