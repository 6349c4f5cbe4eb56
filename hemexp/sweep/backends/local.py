"""Worker processes on this machine: each has its device, does one task after another, and is replaced when it dies."""

import heapq
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from hemexp.config import WhereConfig
from hemexp.config.compose import PACKAGE
from hemexp.sweep.backends.base import Beat, Ended, Task

_STILLBORN = 3  # workers in a row that die before they are ready
_GRACE = 60.0  # seconds that a job has to save its state when the sweep is stopped


@dataclass(frozen=True)
class Device:
    """What a worker computes on.

    Attributes:
        name: in print, such as ``gpu 3``.
        env: what makes a process see it and nothing else.
        lease: its name for every sweep on this machine; empty where it need not be shared out.
        slots: tasks at once.
    """

    name: str
    env: dict[str, str] = field(default_factory=dict)
    lease: str = ""
    slots: int = 1


class Worker:
    """A process and what it is doing."""

    def __init__(self, device: Device, function: str, news: "queue.SimpleQueue[tuple[Worker, Any]]") -> None:
        self.device, self.task = device, None
        self.ready = self.leaving = False
        self.why = ""  # it is being ended by us
        self.started = self.heard = 0.0
        paths = (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))  # hemexp may be run from its source
        self._said = TemporaryFile()  # noqa: SIM115 -- what it says outside tasks, until it is buried
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hemexp.sweep.backends.worker", device.lease, str(device.slots), function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, **device.env, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, args=(news,), daemon=True)
        self._listener.start()

    task: Task | None

    def _listen(self, news: "queue.SimpleQueue[tuple[Worker, Any]]") -> None:
        assert self.process.stdout is not None
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                news.put((self, pickle.load(self.process.stdout)))
        news.put((self, None))

    def give(self, task: Task | None, cores: int = 0) -> None:
        """Hand it a task, and how many cores that may keep busy (0: as many as before); None sends it home."""
        self.task, self.started, self.heard = task, 0.0, time.time()
        self.leaving = task is None
        assert self.process.stdin is not None
        with suppress(OSError):  # it died: its news say so
            pickle.dump((task, cores), self.process.stdin)
            self.process.stdin.flush()

    def bury(self, log: Path | None) -> int:
        """Wait for its end, add what it said to `log`, if there is one, and return its exit code."""
        code = self.process.wait()
        with self._said as said, suppress(OSError):  # such as a full disk
            said.seek(0)
            words = said.read()
            if words and log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)
                with log.open("ab") as lines:
                    lines.write(words)
        self._listener.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(OSError):  # what was still to be sent
                pipe.close()
        return code

    def kill(self, why: str) -> None:
        """End it at once, with whatever it has started."""
        self.why = why
        with suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL) if hasattr(os, "killpg") else self.process.kill()


class Pool:
    """A `hemexp.sweep.backends.base.Backend` of worker processes.

    Args:
        devices: a worker is kept for each.
        where: when a task is given up.
        log: takes what workers say outside tasks, once there is something and they have ended.
        function: what does a task, as ``module:name``.
        num_cores: to be shared by the tasks that run at once; 0 leaves each worker those of its environment.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        where: WhereConfig,
        log: Path,
        function: str = "hemexp.sweep.backends.run_item:run_task",
        num_cores: int = 0,
    ) -> None:
        self.capacity, self.where, self.log, self.function = len(devices), where, log, function
        self.num_cores = num_cores
        self._free = list(devices)[::-1]
        self._workers: list[Worker] = []
        self._waiting: list[tuple[bool, float, int, Task]] = []
        self._numbers, self._stillborn, self._stopped = count(), 0, False
        self._returned: Counter[tuple[str, int]] = Counter()  # how often a task's worker died before it began
        self._news: queue.SimpleQueue[tuple[Worker, Any]] = queue.SimpleQueue()

    def warm_up(self, num_tasks: int) -> None:
        """Start the workers of so many tasks before there are any: importing PyTorch takes them seconds."""
        while self._free and len(self._workers) < num_tasks:
            self._start()

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take tasks in; batches begin before all, of each kind the costliest first."""
        for task in tasks:
            heapq.heappush(self._waiting, (task.kind != "batch", -task.cost, next(self._numbers), task))
        self._hand_out()

    def wait(self, seconds: float) -> list[Ended | Beat]:
        """Return what has happened, after `seconds` at most.

        Raises:
            RuntimeError: workers die before they are ready.
        """
        told: list[Ended | Beat] = []
        until = time.monotonic() + seconds
        while not told and (self._workers or self._waiting):
            left = until - time.monotonic()
            if left <= 0:
                break
            with suppress(queue.Empty):
                worker, message = self._news.get(timeout=min(left, 0.5))
                told += self._hear(worker, message)
                while not self._news.empty():
                    worker, message = self._news.get()
                    told += self._hear(worker, message)
            self._look_after()
            self._hand_out()
        return told

    def stop(self) -> None:
        """Forget what has not begun, and ask what runs to save its state."""
        self._stopped = True
        self._waiting.clear()
        for worker in self._workers:
            worker.heard = time.time()
            with suppress(OSError):
                worker.process.send_signal(signal.SIGTERM)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self._waiting and all(worker.task is None for worker in self._workers)

    def close(self) -> None:
        """End every worker."""
        self._end_workers(self.log)

    def abandon(self) -> None:
        """End every worker, and write nothing: the sweep has not begun."""
        self._end_workers(None)

    def _end_workers(self, log: Path | None) -> None:
        for worker in self._workers:
            worker.kill("the sweep has ended")
            worker.bury(log)
        self._workers.clear()

    def _hear(self, worker: Worker, message: Any) -> list[Ended | Beat]:
        worker.heard = time.time()
        task = worker.task
        if message is None:
            return self._bury(worker)
        if message[0] == "ready":
            worker.ready, self._stillborn = True, 0
        elif message[0] == "began":
            worker.started = time.time()
        elif message[0] == "beat" and task is not None:
            return [Beat(task, message[1])]
        elif message[0] == "ended" and task is not None:
            worker.task = None
            return [Ended(task, message[1], message[2], worker.device.name, worker.started, time.time())]
        return []

    def _bury(self, worker: Worker) -> list[Ended | Beat]:
        code = worker.bury(self.log)
        self._workers.remove(worker)
        self._free.append(worker.device)
        task = worker.task
        self._stillborn += not worker.ready and not self._stopped
        if self._stillborn >= _STILLBORN and not any(each.ready for each in self._workers):
            raise RuntimeError(f"worker processes do not start (exit code {code}); {self.log} says why")
        if task is None or worker.leaving:
            return []
        if not worker.started and not self._stopped:  # the task has not begun: another worker does it
            key = (task.kind, task.jobs[0].number)
            self._returned[key] += 1
            if self._returned[key] < _STILLBORN:
                self.submit([task])
                return []
        outcome, why = ("timeout", worker.why) if worker.why else ("killed", f"its process was ended {_how(code)}")
        if self._stopped and (code == 0 or worker.why):
            outcome, why = "interrupted", worker.why
        return [Ended(task, outcome, why, worker.device.name, worker.started, time.time())]

    def _look_after(self) -> None:
        """End what takes too long or gives no sign of life."""
        now, where = time.time(), self.where
        for worker in self._workers:
            if self._stopped:
                if now - worker.heard > _GRACE and not worker.why:
                    worker.kill(f"did not stop within {_GRACE:.0f} s")
                continue
            if worker.task is None or not worker.started or worker.why:
                continue
            if where.job_timeout is not None and now - worker.started > where.job_timeout * len(worker.task.jobs):
                worker.kill(f"took longer than where.job_timeout={where.job_timeout:g} s")
            elif where.silence_timeout is not None and now - worker.heard > where.silence_timeout:
                worker.kill(f"gave no sign of life for where.silence_timeout={where.silence_timeout:g} s")

    def _hand_out(self) -> None:
        """Give tasks to idle workers, start more where there is work, and send home whom nobody needs."""
        for worker in self._workers:
            if self._waiting and worker.task is None and not worker.leaving and not worker.why:
                self._give(worker)
        while self._waiting and self._free and not self._stopped:
            self._give(self._start())

    def _start(self) -> Worker:
        worker = Worker(self._free.pop(), self.function, self._news)
        self._workers.append(worker)
        return worker

    def _give(self, worker: Worker) -> None:
        """Hand out the next task, with its share of the cores: the fewer tasks there are, the more each has."""
        running = sum(each.task is not None for each in self._workers)
        at_once = max(1, min(self.capacity, running + len(self._waiting)))
        worker.give(heapq.heappop(self._waiting)[-1], self.num_cores // at_once)


def _how(code: int) -> str:
    """Return how a process came to its end, in words."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"by {name}" + (": killed, perhaps for want of memory" if name == "SIGKILL" else "")
