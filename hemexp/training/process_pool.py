"""Train groups in parallel processes, one for each CPU core or GPU. Results are the same as in one process."""

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
from hemexp.errors import SystemFailure
from hemexp.training.checkpoint import members_key
from hemexp.training.loop import fit_group
from hemexp.training.member import FitResult, Member
from hemexp.training.progress import InterruptHandler
from hemexp.training.recorder import ProgressCallback

MemberGroup = tuple[int, ...]  # indices in the list of members
Results = dict[int, FitResult]
_MAX_DEATHS = 3  # of workers that train a single member, before the fit fails


@dataclass(frozen=True)
class FitRequest:
    """The arguments of one call of `hemexp.training.fit.fit`."""

    members: Sequence[Member]
    trainer: TrainerConfig
    directory: Path | None
    loggers: Sequence[Logger] = ()
    history: Path | None = None

    def fit(self, group: MemberGroup, report: ProgressCallback, stop: c_bool) -> Results:
        """Train one group in this process. A group of all members saves its state in ``last.ckpt``."""
        members, is_complete = [self.members[i] for i in group], len(group) == len(self.members)
        checkpoint = None
        if self.directory is not None:
            checkpoint = self.directory / f"{'last' if is_complete else members_key(members, self.trainer)}.ckpt"
        fitted = fit_group(
            members,
            self.trainer,
            checkpoint=checkpoint,
            loggers=self.loggers,
            history=self.history,
            report=report,
            stop=stop,
        )
        return dict(zip(group, fitted, strict=True))


def fit_in_this_process(request: FitRequest, groups: Sequence[MemberGroup], report: ProgressCallback) -> Results:
    """Train the groups one after another. A group that runs out of memory is trained in halves."""
    waiting, stop = list(groups), c_bool(False)
    results: Results = {}
    while waiting:
        group = waiting.pop(0)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # free the memory of a group that ran out of it
        try:
            results.update(request.fit(group, report, stop))
        except (MemoryError, RuntimeError) as error:
            waiting = [*_split_out_of_memory(group, error), *waiting]
    return results


def fit_in_processes(
    request: FitRequest, groups: Sequence[MemberGroup], report: ProgressCallback, num_workers: int
) -> Results:
    """Train the groups in parallel.

    If a worker dies, all unfinished groups are trained again, and from the second time on in halves, because memory may
    have run out.
    """
    context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    if isinstance(context, multiprocessing.context.ForkServerContext):
        context.set_forkserver_preload(["hemexp.training.fit"])  # imported once for all workers
    waiting, deaths = list(groups), Counter[MemberGroup]()
    results: Results = {}
    stop, content = context.RawValue(c_bool, False), pickle.dumps(replace(request, loggers=(), history=None))
    reader, writer = context.Pipe(duplex=False)
    ready = threading.Event()
    listener = threading.Thread(target=_listen, args=(reader, report, ready), daemon=True)
    listener.start()
    try:
        with InterruptHandler(stop):
            while waiting:
                devices = context.SimpleQueue()
                for device in range(num_workers):
                    devices.put(device)
                with ProcessPoolExecutor(num_workers, context, _init_worker, (content, devices, writer, stop)) as pool:
                    try:
                        waiting = _fit_all(pool, waiting, results, deaths)
                    except BaseException:
                        stop.value = True
                        pool.shutdown(cancel_futures=True)
                        raise
                if waiting and not ready.is_set():
                    raise RuntimeError("worker processes do not start; rule: call fit under __name__ == '__main__'")
    finally:
        writer.send(None)
        listener.join()
        reader.close()
        writer.close()
    return results


def _fit_all(
    pool: ProcessPoolExecutor, groups: list[MemberGroup], results: Results, deaths: Counter[MemberGroup]
) -> list[MemberGroup]:
    """Train groups in a pool; return the groups that must be trained again."""
    again: list[MemberGroup] = []
    futures: dict[Future[bytes], MemberGroup] = {}
    for group in groups:
        try:
            futures[pool.submit(_fit, group)] = group
        except BrokenProcessPool:  # a worker died before all groups were submitted
            again.append(group)
    for future in as_completed(futures):
        group = futures[future]
        try:
            results.update(pickle.loads(future.result()))
        except BrokenProcessPool:
            deaths[group] += 1
            if len(group) == 1 and deaths[group] > _MAX_DEATHS:
                raise SystemFailure(
                    f"workers died {deaths[group]} times while member {group[0]} was trained: killed, or out of "
                    "memory; use fewer num_workers"
                ) from None
            again += [group] if deaths[group] == 1 else _split(group)
        except (MemoryError, RuntimeError) as error:
            again += _split_out_of_memory(group, error)
    return again


def _split_out_of_memory(group: MemberGroup, error: Exception) -> list[MemberGroup]:
    """Return the halves of a group if `error` means that memory ran out; else raise it."""
    messages = ("can't allocate memory", "not enough memory", "out of memory")
    if not isinstance(error, MemoryError) and not any(message in str(error).lower() for message in messages):
        raise error
    if len(group) == 1:
        raise SystemFailure(f"a member needs more memory than there is: {error}; reduce trainer.batch_size") from error
    return _split(group)


def _split(group: MemberGroup) -> list[MemberGroup]:
    middle = (len(group) + 1) // 2
    return [part for part in (group[:middle], group[middle:]) if part]


def _listen(reader: Connection, report: ProgressCallback, ready: threading.Event) -> None:
    while (progress := reader.recv()) is not None:
        ready.set()
        if progress:
            report(*progress)


_worker: dict[str, Any] = {}  # in a worker process: request, report and stop from its parent


def _init_worker(request: bytes, devices: Any, writer: Connection, stop: c_bool) -> None:
    """Prepare a worker: choose its device, and let it end when its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the parent handles Ctrl-C
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    loaded: FitRequest = pickle.loads(request)
    _worker.update(request=on_device(loaded, devices.get()), report=lambda *progress: writer.send(progress), stop=stop)
    writer.send(())


def on_device(request: FitRequest, device: int) -> FitRequest:
    """Return the request with the GPU of a worker. A CPU, or a GPU that the configuration names, is kept."""
    if request.trainer.accelerator == "cpu" or not isinstance(request.trainer.devices, int):
        return request
    count = torch.cuda.device_count() or device + 1  # more workers than GPUs share them
    return replace(request, trainer=replace(request.trainer, devices=[device % count]))


def _exit_with_parent(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _fit(group: MemberGroup) -> bytes:
    """Train a group in a worker. Results are returned as bytes: tensors in shared memory would end with the worker."""
    return pickle.dumps(_worker["request"].fit(group, _worker["report"], _worker["stop"]))
