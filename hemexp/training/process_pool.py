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
from hemexp.training.loop import FitResult, Report, fit_group, members_key
from hemexp.training.member import Member
from hemexp.training.progress import StopOnSignal

Group = tuple[int, ...]  # positions in the list of members
Results = dict[int, FitResult]
_DEATHS = 3  # of workers around a member alone, before it is given up


@dataclass(frozen=True)
class Job:
    """All that one `hemexp.training.fit` is asked for."""

    members: Sequence[Member]
    trainer: TrainerConfig
    directory: Path | None
    loggers: Sequence[Logger] = ()
    history: Path | None = None
    apart: Sequence[Path] = ()

    def fit(self, group: Group, report: Report, stop: c_bool) -> Results:
        """Train one group in this process; a group of everybody saves its state in ``last.ckpt``."""
        members, whole = [self.members[i] for i in group], len(group) == len(self.members)
        checkpoint = None
        if self.directory is not None:
            checkpoint = self.directory / f"{'last' if whole else members_key(members, self.trainer)}.ckpt"
        fitted = fit_group(
            members,
            self.trainer,
            checkpoint=checkpoint,
            loggers=self.loggers,
            history=self.history,
            apart=[self.apart[i] for i in group] if self.apart else (),
            report=report,
            stop=stop,
        )
        return dict(zip(group, fitted, strict=True))


def fit_here(job: Job, groups: Sequence[Group], report: Report) -> Results:
    """Train the groups one after another; one that runs out of memory is trained in halves."""
    waiting, stop = list(groups), c_bool(False)
    results: Results = {}
    while waiting:
        group = waiting.pop(0)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # what a group that ran out of memory held
        try:
            results.update(job.fit(group, report, stop))
        except (MemoryError, RuntimeError) as error:
            waiting = [*_halves(group, error), *waiting]
    return results


def fit_in_processes(job: Job, groups: Sequence[Group], report: Report, num_workers: int) -> Results:
    """Train the groups side by side.

    When a worker dies, all unfinished groups are trained again; from the second time on in halves, for memory may have
    run out.
    """
    context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    if isinstance(context, multiprocessing.context.ForkServerContext):
        context.set_forkserver_preload(["hemexp.training.fit"])  # imported once, not once a worker
    waiting, died = list(groups), Counter[Group]()
    results: Results = {}
    stop, content = context.RawValue(c_bool, False), pickle.dumps(replace(job, loggers=(), history=None))
    reader, writer = context.Pipe(duplex=False)
    ready = threading.Event()
    listener = threading.Thread(target=_listen, args=(reader, report, ready), daemon=True)
    listener.start()
    try:
        with StopOnSignal(stop):
            while waiting:
                devices = context.SimpleQueue()
                for device in range(num_workers):
                    devices.put(device)
                with ProcessPoolExecutor(num_workers, context, _begin, (content, devices, writer, stop)) as pool:
                    try:
                        waiting = _fit_all(pool, waiting, results, died)
                    except BaseException:
                        stop.value = True
                        pool.shutdown(cancel_futures=True)
                        raise
                if waiting and not ready.is_set():
                    raise RuntimeError(
                        "worker processes do not start; a script must call fit under __name__ == '__main__'"
                    )
    finally:
        writer.send(None)
        listener.join()
        reader.close()
        writer.close()
    return results


def _fit_all(pool: ProcessPoolExecutor, groups: list[Group], results: Results, died: Counter[Group]) -> list[Group]:
    """Train groups in a pool; return what must be trained again."""
    again: list[Group] = []
    futures: dict[Future[bytes], Group] = {}
    for group in groups:
        try:
            futures[pool.submit(_fit, group)] = group
        except BrokenProcessPool:  # it died while it was still being told what to do
            again.append(group)
    for future in as_completed(futures):
        group = futures[future]
        try:
            results.update(pickle.loads(future.result()))
        except BrokenProcessPool:
            died[group] += 1
            if len(group) == 1 and died[group] > _DEATHS:
                raise UserError(
                    f"workers died {died[group]} times while member {group[0]} and others beside it were trained: "
                    "killed, or out of memory"
                ) from None
            again += [group] if died[group] == 1 else _split(group)
        except (MemoryError, RuntimeError) as error:
            again += _halves(group, error)
    return again


def _halves(group: Group, error: Exception) -> list[Group]:
    """Return a group in two parts if `error` says that memory ran out; else raise it."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    if not isinstance(error, MemoryError) and not any(word in str(error).lower() for word in words):
        raise error
    if len(group) == 1:
        raise UserError(f"one member alone needs more memory than there is: {error}; try trainer.batch_size") from error
    return _split(group)


def _split(group: Group) -> list[Group]:
    middle = (len(group) + 1) // 2
    return [part for part in (group[:middle], group[middle:]) if part]


def _listen(reader: Connection, report: Report, ready: threading.Event) -> None:
    while (progress := reader.recv()) is not None:
        ready.set()
        if progress:
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
    writer.send(())


def on_device(job: Job, device: int) -> Job:
    """Return the job for the worker of a GPU; cores, and a GPU that the config names, need no choice."""
    if job.trainer.accelerator == "cpu" or not isinstance(job.trainer.devices, int):
        return job
    count = torch.cuda.device_count() or device + 1  # more workers than GPUs share them
    return replace(job, trainer=replace(job.trainer, devices=[device % count]))


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _fit(group: Group) -> bytes:
    """Train a group in a worker. Its results travel as bytes: tensors in shared memory would not outlive the worker."""
    return pickle.dumps(_here["job"].fit(group, _here["report"], _here["stop"]))
