"""Groups over processes: one thread each on CPU cores, one GPU each, with the same results as in this process."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_bool
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger

from hemexp.config import TrainerConfig
from hemexp.errors import UserError
from hemexp.members import Member
from hemexp.training.group import FitResult, Report, fit_group, members_key
from hemexp.training.progress import StopOnSignal

Group = tuple[int, ...]  # positions in the list of members
Results = dict[int, FitResult]
_TRIES = 2  # of a member alone whose worker died


@dataclass(frozen=True)
class Job:
    """All that one `hemexp.training.fit` is asked for."""

    members: Sequence[Member]
    trainer: TrainerConfig
    directory: Path | None
    loggers: Sequence[Logger] = ()

    def fit(self, group: Group, report: Report, stop: c_bool) -> Results:
        """Train one group in this process; a group of everybody saves its state in ``last.ckpt``."""
        members, whole = [self.members[i] for i in group], len(group) == len(self.members)
        checkpoint = None
        if self.directory is not None:
            checkpoint = self.directory / f"{'last' if whole else members_key(members, self.trainer)}.ckpt"
        loggers = self.loggers if whole else ()
        fitted = fit_group(members, self.trainer, checkpoint=checkpoint, loggers=loggers, report=report, stop=stop)
        return dict(zip(group, fitted, strict=True))


def fit_here(job: Job, groups: Sequence[Group], report: Report) -> Results:
    """Train the groups one after another; one that runs out of memory is trained in halves."""
    waiting, stop = list(groups), c_bool(False)
    results: Results = {}
    while waiting:
        group = waiting.pop(0)
        try:
            results.update(job.fit(group, report, stop))
        except (MemoryError, RuntimeError) as error:
            waiting = [*_halves(group, error), *waiting]
    return results


def fit_in_processes(job: Job, groups: Sequence[Group], report: Report, num_workers: int) -> Results:
    """Train the groups side by side. A group whose worker died is trained again, in halves: memory may have run out."""
    context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    if isinstance(context, multiprocessing.context.ForkServerContext):
        context.set_forkserver_preload(["hemexp.training"])  # imported once, not once a worker
    waiting, died = list(groups), Counter[Group]()
    results: Results = {}
    stop = context.RawValue(c_bool, False)
    reader, writer = context.Pipe(duplex=False)
    listener = threading.Thread(target=_listen, args=(reader, report), daemon=True)
    listener.start()
    with StopOnSignal(stop):
        while waiting:
            devices = context.SimpleQueue()
            for device in range(num_workers):
                devices.put(device)
            setup = (pickle.dumps(replace(job, loggers=())), devices, writer, stop)
            with ProcessPoolExecutor(num_workers, context, _begin, setup) as pool:
                futures = {pool.submit(_fit, group): group for group in waiting}
                waiting = []
                try:
                    for future in as_completed(futures):
                        waiting += _collect(future, futures[future], results, died)
                except BaseException:
                    stop.value = True
                    pool.shutdown(cancel_futures=True)
                    raise
    writer.send(None)
    listener.join()
    return results


def _collect(future: Future[bytes], group: Group, results: Results, died: Counter[Group]) -> list[Group]:
    """Take a group's results; return what must be trained again."""
    try:
        results.update(pickle.loads(future.result()))
    except BrokenProcessPool:
        died[group] += 1
        if len(group) == 1 and died[group] >= _TRIES:
            raise UserError(
                f"a worker process died {_TRIES} times over member {group[0]} alone: killed, or out of memory"
            ) from None
        return _split(group)
    except (MemoryError, RuntimeError) as error:
        return _halves(group, error)
    return []


def _halves(group: Group, error: Exception) -> list[Group]:
    """Return a group in two parts if `error` says that memory ran out; else raise it."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    if not isinstance(error, MemoryError) and not any(word in str(error).lower() for word in words):
        raise error
    if len(group) == 1:
        raise UserError(f"one member alone needs more memory than there is: {error}; try trainer.batch_size") from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return _split(group)


def _split(group: Group) -> list[Group]:
    middle = (len(group) + 1) // 2
    return [part for part in (group[:middle], group[middle:]) if part]


def _listen(reader: Connection, report: Report) -> None:
    while (progress := reader.recv()) is not None:
        report(*progress)


_here: dict[str, Any] = {}  # in a worker: what its parent gave it


def _begin(job: bytes, devices: Any, writer: Connection, stop: c_bool) -> None:
    """Set a worker up: its device, and its end with its parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    loaded: Job = pickle.loads(job)
    _here.update(job=on_device(loaded, devices.get()), report=lambda *progress: writer.send(progress), stop=stop)


def on_device(job: Job, device: int) -> Job:
    """Return the job for the worker of a GPU; cores, and a GPU that the config names, need no choice."""
    if job.trainer.accelerator == "cpu" or not isinstance(job.trainer.devices, int):
        return job
    return replace(job, trainer=replace(job.trainer, devices=[device]))


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _fit(group: Group) -> bytes:
    """Train a group in a worker. Its results travel as bytes: tensors in shared memory would not outlive the worker."""
    return pickle.dumps(_here["job"].fit(group, _here["report"], _here["stop"]))
