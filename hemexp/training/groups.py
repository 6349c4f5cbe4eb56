"""Train groups in this process, or in parallel processes for CPU cores or GPUs; the results are the same."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from ctypes import c_bool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger

from hemexp.config import TrainerConfig
from hemexp.config.code import Code, check_code
from hemexp.errors import Interrupted, SystemFailure
from hemexp.hardware import VISIBLE, limit_cores, list_gpus
from hemexp.runner.events import Heartbeat, ItemResult
from hemexp.runner.local import Device, LocalRunner, NotStartedError
from hemexp.training.checkpoint import list_member_code, members_key
from hemexp.training.member import FitResult
from hemexp.training.progress import InterruptHandler
from hemexp.training.recorder import ProgressCallback

MemberGroup = tuple[int, ...]  # indices in the list of members
Results = dict[int, FitResult]
_MAX_DEATHS = 3  # of processes that train a single member, before the fit fails


@dataclass(frozen=True)
class FitRequest:
    """The arguments of one call of `hemexp.training.fit.fit`, for members that one function trains.

    Attributes:
        train: trains the members of a group; its arguments are those of `hemexp.training.loop.fit_group`.
        cores: of each process on a CPU; 0 for no limit.
    """

    train: Callable[..., list[FitResult]]
    members: Sequence[Any]  # Member, or None where another process has the member
    trainer: TrainerConfig
    directory: Path | None = None
    loggers: Sequence[Logger] = ()
    history: Path | None = None
    cores: int = 0

    def take(self, group: MemberGroup) -> "FitRequest":
        """Return the request without the members of other groups, for another process."""
        members = [member if number in group else None for number, member in enumerate(self.members)]
        return replace(self, members=members, loggers=(), history=None)

    def fit(self, group: MemberGroup, report: ProgressCallback, stop: c_bool) -> Results:
        """Train one group in this process. A group of all members saves its state in ``last.ckpt``."""
        members, is_complete = [self.members[i] for i in group], len(group) == len(self.members)
        checkpoint = None
        if self.directory is not None:
            checkpoint = self.directory / f"{'last' if is_complete else members_key(members, self.trainer)}.ckpt"
        options: dict[str, Any] = {"checkpoint": checkpoint, "report": report, "stop": stop}
        if len(self.members) == 1:
            options |= {"loggers": self.loggers, "history": self.history}
        return dict(zip(group, self.train(members, self.trainer, **options), strict=True))


def fit_in_this_process(request: FitRequest, groups: Sequence[MemberGroup], report: ProgressCallback) -> Results:
    """Train the groups one after another. A group that runs out of memory is trained in halves."""
    waiting, stop = list(groups), c_bool(False)
    results: Results = {}
    while waiting:
        group = waiting.pop(0)
        try:
            results.update(request.fit(group, report, stop))
        except (MemoryError, RuntimeError) as error:
            waiting = [*_split_out_of_memory(group, error), *waiting]
        if torch.cuda.is_available():  # here the error is gone, and with it the tensors of the step that failed
            torch.cuda.empty_cache()
    return results


@dataclass(frozen=True)
class _GroupItem:
    """A group for another process."""

    group: MemberGroup
    request: FitRequest
    code: Code  # as this process has it

    @property
    def order(self) -> int:
        """Large groups start first."""
        return -len(self.group)


def run_group(item: _GroupItem, report: ProgressCallback) -> Results:
    """Train a group in the process that was started for it; its results hold tensors, which are copied."""
    check_code(item.code)
    return item.request.fit(item.group, report, c_bool(False))


def fit_in_processes(
    request: FitRequest, groups: Sequence[MemberGroup], report: ProgressCallback, num_workers: int
) -> Results:
    """Train the groups in parallel, each in a process.

    A group whose process dies is trained again, and from the second time on in halves, because memory may have run out.
    After an error or a signal the other groups save their states.

    Raises:
        Interrupted: a signal came.
    """
    devices = list_devices(request.trainer, num_workers, request.cores)
    runner = LocalRunner(devices, "hemexp.training.groups:run_group")
    deaths, results, stop, stopped = Counter[MemberGroup](), Results(), c_bool(False), False
    failure: Exception | None = None
    code = list_member_code(request.members)
    with InterruptHandler(stop), closing(runner):
        runner.submit([_GroupItem(group, request.take(group), code) for group in groups])
        while not runner.idle:
            if (stop.value or failure) and not stopped:
                stopped = True
                runner.stop()
            for event in runner.wait(0.2):
                if isinstance(event, Heartbeat):
                    report(event.epochs, event.skipped, event.loss)
                elif event.outcome == "done":
                    results.update(event.value)
                elif stopped or failure:
                    failure = failure or (event.value if isinstance(event.value, Exception) else None)
                else:
                    try:
                        again = _divide_lost(event, deaths)
                    except Exception as error:
                        failure, again = error, []
                    runner.submit([_GroupItem(group, request.take(group), code) for group in again])
        if len(results) < sum(map(len, groups)):
            raise failure or Interrupted("interrupted before all fits began")
    return results


def _divide_lost(event: ItemResult, deaths: Counter[MemberGroup]) -> list[MemberGroup]:
    """Return the groups to train again after a group was lost; raise its error if it would be lost again."""
    group, error = event.item.group, event.value
    if isinstance(error, NotStartedError):
        rule = "where the system has no fork (Windows), call fit under __name__ == '__main__'"
        raise RuntimeError(f"models were not fitted: {error}; rule: {rule}") from error
    if error is not None:
        return _split_out_of_memory(group, error)
    deaths[group] += 1
    if len(group) == 1 and deaths[group] > _MAX_DEATHS:
        raise SystemFailure(
            f"processes died {deaths[group]} times while member {group[0]} was fitted: killed, or out of memory; use "
            "fewer num_workers"
        )
    return [group] if deaths[group] == 1 else _split(group)


def list_devices(trainer: TrainerConfig, num_workers: int, cores: int = 0) -> list[Device]:
    """Return a device for each process. A GPU that the configuration names has no limits, and a CPU that of `cores`."""
    if cores or trainer.accelerator == "cpu" or not isinstance(trainer.devices, int) or not (gpus := list_gpus()):
        return [Device(f"process {number}", limit_cores(cores) if cores else {}) for number in range(num_workers)]
    # more processes than GPUs share them
    return [Device(f"gpu {gpus[n % len(gpus)]}", {VISIBLE: gpus[n % len(gpus)]}) for n in range(num_workers)]


def _split_out_of_memory(group: MemberGroup, error: Exception) -> list[MemberGroup]:
    """Return the halves of a group if `error` means that memory ran out; else raise it."""
    messages = ("can't allocate memory", "not enough memory", "out of memory")
    is_runtime = isinstance(error, MemoryError | RuntimeError)
    if not isinstance(error, MemoryError) and not (is_runtime and any(text in str(error).lower() for text in messages)):
        raise error
    if len(group) == 1:
        raise SystemFailure(f"a member needs more memory than there is: {error}; reduce trainer.batch_size") from error
    return _split(group)


def _split(group: MemberGroup) -> list[MemberGroup]:
    middle = (len(group) + 1) // 2
    return [part for part in (group[:middle], group[middle:]) if part]
