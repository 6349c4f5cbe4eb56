"""Run a work item in this process. Every failure is written to the log of the job, and returned as an outcome."""

import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from hemexp.config.code import check_code
from hemexp.errors import RESUMES, CheckFailed, Interrupted, Pruned, SystemFailure, UserError
from hemexp.files.run_directory import OutputDirectory
from hemexp.process import Output, describe_error, open_text
from hemexp.sweep.backends.base import Outcome, WorkItem
from hemexp.training import progress

log = logging.getLogger(__name__)

AddEpochs = Callable[[int], Any]  # gets the number of epochs trained; 0 for a line in the log


def run_item(item: WorkItem, add_epochs: AddEpochs = lambda epochs: None) -> Outcome:
    """Run a work item to its end.

    Args:
        item: of any kind.
        add_epochs: is called as a heartbeat.
    """
    if item.kind == "jobs":
        for job in item.jobs:
            outcome, message = run_item(replace(item, kind="job", jobs=(job,)), add_epochs)
            if outcome == "interrupted":
                return Outcome(outcome, message)
        return Outcome("done")  # the directory of each job says how it ended
    first = item.jobs[0]
    if item.kind == "job":
        path = first.directory / "train.log"
    else:
        path = item.directory / ".logs" / f"{item.kind}-{item.name if item.ranges else first.number}.log"
    try:
        with _redirect_output(path, add_epochs), progress.report_epochs_to(add_epochs):
            return _run_to_end(item)
    except OSError as error:  # the log cannot be written
        return Outcome("failed", describe_error(error))


def _run_to_end(item: WorkItem) -> Outcome:
    """Run a work item; return its outcome and message."""
    try:
        _run(item)
        return Outcome("done")
    except (UserError, CheckFailed, SystemFailure) as error:
        log.error("error: %s", error)
        return Outcome("failed", " ".join(str(error).split()))
    except Pruned as end:
        log.info("%s", end)
        return Outcome("pruned", str(end))
    except (Interrupted, KeyboardInterrupt) as stop:
        log.error("%s", str(stop) or "interrupted before the training began; nothing is lost")
        return Outcome("interrupted", str(stop).split(RESUMES)[0])
    except BaseException as error:  # also SystemExit, which must not end the worker
        message = describe_error(error)
        log.exception("error: %s", message)
        return Outcome("failed", message)
    finally:
        for job in item.jobs:
            OutputDirectory(job.directory).release()


def _run(item: WorkItem) -> None:
    job = item.jobs[0]
    for each in item.jobs:
        check_code(each.code)
    if item.cohort:
        from hemexp.cohort.load import keep_in_memory

        keep_in_memory(pickle.loads(item.cohort))
    if item.kind == "fits":
        from hemexp.sweep.backends.fits import train_fits

        train_fits(item)
    elif item.kind == "reevaluation":
        from hemexp.sweep.results.reevaluation import reevaluate

        reevaluate(job)
    else:
        from hemexp.commands.train import train

        callback = None
        if job.cfg.search.prune:
            from hemexp.sweep.backends.pruning import build_score_callback

            callback = build_score_callback(job)
        train(job.cfg, job.directory, callback, job.settings)


@contextmanager
def _redirect_output(path: Path, add_epochs: AddEpochs) -> Iterator[None]:
    """Send the log, printed text, and the output of a crashing interpreter to a file."""

    def send_heartbeat(record: logging.LogRecord) -> bool:
        add_epochs(0)
        return True  # every line goes to the file

    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with open_text(Output(path, "a"), "utf-8", "surrogateescape", line_buffering=True) as lines:
        handler = logging.StreamHandler(lines)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        handler.addFilter(send_heartbeat)
        root.handlers[:] = [handler]
        root.setLevel(logging.INFO)
        with redirect_stdout(lines), redirect_stderr(lines), _redirect_descriptors(lines.fileno()):
            try:
                yield
            finally:
                root.handlers[:] = handlers
                root.setLevel(level)


@contextmanager
def _redirect_descriptors(target: int) -> Iterator[None]:
    """Redirect the standard output and error of C code and of a crash to an open file."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    copies = [(number, os.dup(number)) for number in (1, 2)]
    try:
        for number, _ in copies:
            os.dup2(target, number)
        yield
    finally:
        for number, copy in copies:
            os.dup2(copy, number)
            os.close(copy)
