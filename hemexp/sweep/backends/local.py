"""Worker processes on this machine: each has a device, runs one work item after another, and is replaced if it dies."""

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
from hemexp.sweep.backends.base import RUN_ITEM, SAVE_SECONDS, Heartbeat, ItemResult, WorkItem, describe_timeout

_MAX_FAILED_STARTS = 3  # workers in a row that die before they are ready


@dataclass(frozen=True)
class Device:
    """A device for one worker.

    Attributes:
        name: for messages, such as ``gpu 3``.
        env: the environment that limits a process to this device.
        lock_name: its name for every sweep on this machine; empty where the device needs no lock.
        slots: work items that may use it at the same time.
    """

    name: str
    env: dict[str, str] = field(default_factory=dict)
    lock_name: str = ""
    slots: int = 1


class Worker:
    """A worker process, and the work item that it runs."""

    item: WorkItem | None

    def __init__(self, device: Device, function: str, messages: "queue.SimpleQueue[tuple[Worker, Any]]") -> None:
        self.device, self.item = device, None
        self.ready = False
        self.kill_reason = ""  # set where this process kills the worker
        self.started = self.last_heartbeat = 0.0
        paths = (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))  # hemexp may run from its source
        arguments = [device.lock_name, str(device.slots), function]
        self._output = TemporaryFile()  # noqa: SIM115 -- output outside work items, until `join`
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hemexp.sweep.backends.worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            env={**os.environ, **device.env, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, args=(messages,), daemon=True)
        self._listener.start()

    def _listen(self, messages: "queue.SimpleQueue[tuple[Worker, Any]]") -> None:
        assert self.process.stdout is not None
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                messages.put((self, pickle.load(self.process.stdout)))
        messages.put((self, None))

    def send(self, item: WorkItem, cores: int = 0) -> None:
        """Send a work item with its number of cores; with 0 cores the number stays as it is."""
        self.item, self.started, self.last_heartbeat = item, 0.0, time.time()
        assert self.process.stdin is not None
        with suppress(OSError):  # the worker died: the listener reports it
            pickle.dump((item, cores), self.process.stdin)
            self.process.stdin.flush()

    def join(self, log: Path | None) -> int:
        """Wait for the end of the process, append its output to `log`, and return its exit code."""
        code = self.process.wait()
        with self._output as output, suppress(OSError):  # such as a full disk
            output.seek(0)
            content = output.read()
            if content and log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)
                with log.open("ab") as lines:
                    lines.write(content)
        with suppress(OSError), self.process:  # closes the pipes, also where data was not sent
            self._listener.join()
        return code

    def kill(self, reason: str) -> None:
        """End the process and its child processes at once."""
        self.kill_reason = reason
        with suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL) if hasattr(os, "killpg") else self.process.kill()


class LocalBackend:
    """A `hemexp.sweep.backends.base.Backend` of worker processes on this machine.

    Args:
        devices: one worker for each.
        where: the time limits.
        log: takes the output of workers outside work items, after they have ended.
        function: see `hemexp.sweep.backends.base.RUN_ITEM`.
        num_cores: shared by the items that run at the same time; with 0 each worker keeps the cores of its environment.
    """

    def __init__(
        self, devices: Sequence[Device], where: WhereConfig, log: Path, function: str = RUN_ITEM, num_cores: int = 0
    ) -> None:
        self.capacity, self.where, self.function, self.num_cores = len(devices), where, function, num_cores
        self.log: Path | None = log
        self._free = list(devices)[::-1]
        self._workers: list[Worker] = []
        self._waiting: list[tuple[tuple[bool, int, float], int, WorkItem]] = []
        self._numbers, self.failed_starts, self._stopped = count(), 0, False
        self._returned: Counter[tuple[str, int]] = Counter()  # workers of an item that died before it began
        self._messages: queue.SimpleQueue[tuple[Worker, Any]] = queue.SimpleQueue()

    def warm_up(self, num_items: int) -> None:
        """Start workers before there are work items: the import of PyTorch takes seconds."""
        while self._free and len(self._workers) < num_items:
            self._start_worker()

    def submit(self, items: Sequence[WorkItem]) -> None:
        """Queue work items in their order."""
        for item in items:
            heapq.heappush(self._waiting, (item.order, next(self._numbers), item))
        self._dispatch()

    def wait(self, seconds: float) -> list[ItemResult | Heartbeat]:
        """Return the events since the last call, after `seconds` at most.

        Raises:
            RuntimeError: workers die before they are ready.
        """
        events: list[ItemResult | Heartbeat] = []
        deadline = time.monotonic() + seconds
        while not events and (self._workers or self._waiting):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            with suppress(queue.Empty):
                events += self._handle_message(*self._messages.get(timeout=min(left, 0.5)))
                while not self._messages.empty():
                    events += self._handle_message(*self._messages.get())
            self._enforce_timeouts()
            self._dispatch()
        return events

    def stop(self) -> None:
        """Drop queued items, and ask running items to save their state."""
        self._stopped = True
        self._waiting.clear()
        for worker in self._workers:
            worker.last_heartbeat = time.time()
            with suppress(OSError):
                worker.process.send_signal(signal.SIGTERM)

    @property
    def idle(self) -> bool:
        """Whether no item is running or queued."""
        return not self._waiting and all(worker.item is None for worker in self._workers)

    def close(self) -> None:
        """End every worker."""
        for worker in self._workers:
            worker.kill("the sweep has ended")
            worker.join(self.log)
        self._workers.clear()

    def abandon(self) -> None:
        """End every worker of a sweep that did not begin, and write nothing."""
        self.log = None
        self.close()

    def _handle_message(self, worker: Worker, message: Any) -> list[ItemResult | Heartbeat]:
        worker.last_heartbeat = time.time()
        item = worker.item
        if message is None:
            return self._handle_end(worker)
        if message[0] == "ready":
            worker.ready, self.failed_starts = True, 0
        elif message[0] == "started":
            worker.started = time.time()
        elif message[0] == "heartbeat" and item is not None:
            return [Heartbeat(item, message[1])]
        elif message[0] == "ended" and item is not None:
            worker.item = None
            return [ItemResult(item, message[1], message[2], worker.device.name, worker.started, time.time())]
        return []

    def _handle_end(self, worker: Worker) -> list[ItemResult | Heartbeat]:
        """Remove a worker that has ended; queue its item again if it had not begun."""
        code = worker.join(self.log)
        self._workers.remove(worker)
        self._free.append(worker.device)
        item = worker.item
        self.failed_starts += not worker.ready and not self._stopped
        if self.failed_starts >= _MAX_FAILED_STARTS and not any(other.ready for other in self._workers):
            raise RuntimeError(f"worker processes do not start (exit code {code}); see {self.log} for the reason")
        if item is None:
            return []
        if not worker.started and not self._stopped:
            key = (item.kind, item.jobs[0].number)
            self._returned[key] += 1
            if self._returned[key] < _MAX_FAILED_STARTS:
                self.submit([item])
                return []
        if self._stopped and (code == 0 or worker.kill_reason):
            outcome, message = "interrupted", worker.kill_reason
        elif worker.kill_reason:
            outcome, message = "timeout", worker.kill_reason
        else:
            outcome, message = "killed", f"its process ended {_describe_exit(code)}"
        return [ItemResult(item, outcome, message, worker.device.name, worker.started, time.time())]

    def _enforce_timeouts(self) -> None:
        """Kill workers that exceed a time limit."""
        now = time.time()
        for worker in self._workers:
            if self._stopped:
                if now - worker.last_heartbeat > SAVE_SECONDS and not worker.kill_reason:
                    worker.kill(f"did not stop within {SAVE_SECONDS:.0f} s")
                continue
            if worker.item is None or not worker.started or worker.kill_reason:
                continue
            running, silent = now - worker.started, now - worker.last_heartbeat
            if reason := describe_timeout(self.where, worker.item, running, silent):
                worker.kill(reason)

    def _dispatch(self) -> None:
        """Assign queued items to idle workers, and start new workers while items remain."""
        for worker in self._workers:
            if self._waiting and worker.item is None and not worker.kill_reason:
                self._assign(worker)
        while self._waiting and self._free and not self._stopped:
            self._assign(self._start_worker())

    def _start_worker(self) -> Worker:
        worker = Worker(self._free.pop(), self.function, self._messages)
        self._workers.append(worker)
        return worker

    def _assign(self, worker: Worker) -> None:
        """Send the next item with its share of the cores: fewer items get more cores each."""
        num_running = sum(other.item is not None for other in self._workers)
        at_once = max(1, min(self.capacity, num_running + len(self._waiting)))
        worker.send(heapq.heappop(self._waiting)[-1], self.num_cores // at_once)


def _describe_exit(code: int) -> str:
    """Return how a process ended, for a message."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"by {name}" + (": killed, perhaps because memory ran out" if name == "SIGKILL" else "")
