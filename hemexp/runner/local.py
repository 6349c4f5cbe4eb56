"""Run work items on this machine: a process for each, forked from a server that has imported the code already."""

import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from hemexp.hardware import CORES
from hemexp.runner.child import STOP, Order
from hemexp.runner.events import Heartbeat, ItemResult
from hemexp.runner.launch import Process

SAVE_SECONDS = 60.0  # that a work item has to save its state when the runner is stopped
_MAX_FAILED_STARTS = 3  # of the process of an item
_JOIN_SECONDS = 5.0


@dataclass(frozen=True)
class Device:
    """A device for one work item at a time.

    Attributes:
        name: for messages, such as ``gpu 3``.
        env: the environment that limits a process to this device.
        lock_name: its name for every sweep on this machine; empty where the device needs no lock.
        slots: work items that may use it at the same time.
        trains: whether it takes the items that train, or the others, as `on_device` of the item says; None: all items.
    """

    name: str
    env: dict[str, str] = field(default_factory=dict)
    lock_name: str = ""
    slots: int = 1
    trains: bool | None = None


class _Process:
    """The process of one item. A thread starts it and reads its messages, so that the launcher never waits for it."""

    def __init__(self, device: Device, item: Any, order: Order, messages: "queue.SimpleQueue[Any]") -> None:
        self.device, self.item = device, item
        self.started = 0.0
        self.last_heartbeat = time.time()
        self.kill_reason = ""  # set where the launcher kills the process
        self.has_begun = False
        self.result: tuple[str, str, Any] | None = None  # outcome, message and value
        self.exit_code: int | None = None
        self._process: Process | None = None
        self._connection, other = Pipe()
        self._thread = threading.Thread(target=self._run, args=(other, order, messages), daemon=True)
        self._thread.start()

    def _run(self, other: Any, order: Order, messages: "queue.SimpleQueue[Any]") -> None:
        error: BaseException | None = None
        try:
            with other:
                self._process = Process(other)
            if self.kill_reason:  # meanwhile
                self._process.kill()
            with suppress(EOFError, OSError):
                self._connection.send_bytes(pickle.dumps(order))
                while True:
                    messages.put((self, *pickle.loads(self._connection.recv_bytes())))
                    self.has_begun = True
        except Exception as raised:  # no process, or a result that cannot be read here
            error = raised
        if self._process is not None:
            self._process.kill()  # also what the item has started
            self.exit_code = self._process.wait()
        messages.put((self, "ended", error))

    def stop(self) -> None:
        """Ask the process, which has begun, to save its state and end."""
        self.last_heartbeat = time.time()
        with suppress(OSError):
            self._connection.send(STOP)

    def kill(self, reason: str) -> None:
        """End the process and its child processes at once."""
        self.kill_reason = reason
        if self._process is not None and self._thread.is_alive():
            self._process.kill()

    def join(self) -> None:
        """Wait for the end of the process."""
        if self._process is not None:
            self._thread.join(_JOIN_SECONDS)
        self._connection.close()


class LocalRunner:
    """Run work items on devices of this machine.

    Args:
        devices: one item at a time runs on each.
        function: ``module:name``; runs an item, with `Heartbeat` values as a second argument; see `run_item`.
        limit: returns the limit that an item exceeds, for a message; of the item, the seconds since its start and the
            seconds since its last sign of life.
        num_cores: shared by the items that run at the same time; with 0 each item has the cores of its environment.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        function: str,
        limit: Callable[[Any, float, float], str] = lambda item, running, silent: "",
        num_cores: int = 0,
    ) -> None:
        self.capacity = sum(device.trains is not False for device in devices)
        self.trains_and_finishes = all(device.trains is None for device in devices)  # in the same processes
        self.num_finishers = sum(device.trains is not True for device in devices)
        self.function, self.num_cores, self._limit, self._free = function, num_cores, limit, list(devices)
        self._processes: list[_Process] = []
        self._queue: list[tuple[Any, int, Any]] = []
        self._numbers, self._stopped = count(), False
        self._failed_starts: Counter[int] = Counter()  # by id of the item
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def submit(self, items: Sequence[Any]) -> None:
        """Queue work items; the one with the lowest `order` starts first."""
        self._queue += [(item.order, next(self._numbers), item) for item in items]
        self._queue.sort()
        self._dispatch()

    def wait(self, seconds: float) -> list[ItemResult | Heartbeat]:
        """Return the events since the last call; wait for the first one, at most `seconds`."""
        events: list[ItemResult | Heartbeat] = []
        deadline = time.monotonic() + seconds
        while not events and not self.idle:
            left = deadline - time.monotonic()
            with suppress(queue.Empty):
                events += self._handle(*self._messages.get(timeout=max(0.0, min(left, 0.5))))
                while True:
                    events += self._handle(*self._messages.get_nowait())
            self._enforce_limits()
            self._dispatch()
            if left <= 0:
                break
        return events

    def stop(self) -> None:
        """Drop items that have not begun, and ask running items to save their state and end."""
        self._stopped = True
        self._queue.clear()
        for process in list(self._processes):
            if process.has_begun:
                process.stop()
            else:  # the start of a server takes seconds
                process.kill("stopped before it began")
                self._processes.remove(process)

    @property
    def idle(self) -> bool:
        """Whether no item is running or queued."""
        return not self._queue and not self._processes

    def close(self) -> None:
        """End every process."""
        self._queue.clear()
        for process in self._processes:
            process.kill("closed")
        for process in self._processes:
            process.join()
        self._processes.clear()

    def _handle(self, process: _Process, kind: str, *values: Any) -> list[ItemResult | Heartbeat]:
        process.last_heartbeat = time.time()
        if kind == "started":
            process.started = time.time()
        elif kind == "progress":
            return [Heartbeat(process.item, *values)]
        elif kind == "result":
            process.result = values[0], values[1], values[2]
        elif kind == "ended":
            return self._handle_end(process, values[0])
        return []

    def _handle_end(self, process: _Process, error: BaseException | None) -> list[ItemResult | Heartbeat]:
        """Remove a process that has ended; queue its item again if it had not begun."""
        process.join()
        if process not in self._processes:  # dropped when it had not begun
            return []
        self._processes.remove(process)
        self._free.insert(0, process.device)
        reason = str(error or _describe_exit(process.exit_code))
        if process.result is not None:
            outcome, message, value = process.result
        elif not process.has_begun and not self._stopped:
            self._failed_starts[id(process.item)] += 1
            was_killed = process.exit_code is None or process.exit_code < 0  # else it would fail again
            if was_killed and self._failed_starts[id(process.item)] < _MAX_FAILED_STARTS:
                self.submit([process.item])
                return []
            outcome, message = "killed", f"its process did not start ({reason})"
            value = NotStartedError(message)
        elif process.kill_reason:
            outcome, message, value = "interrupted" if self._stopped else "timeout", process.kill_reason, None
        else:
            outcome, message, value = "killed", f"its process ended {reason}", None
        return [ItemResult(process.item, outcome, message, process.device.name, process.started, time.time(), value)]

    def _enforce_limits(self) -> None:
        """Kill processes that exceed a time limit."""
        now = time.time()
        for process in self._processes:
            if process.kill_reason or process.result is not None:
                continue
            running, silent = now - process.started, now - process.last_heartbeat
            if self._stopped:
                if silent > SAVE_SECONDS:
                    process.kill(f"did not stop within {SAVE_SECONDS:.0f} s")
            elif process.started and (reason := self._limit(process.item, running, silent)):
                process.kill(reason)

    def _dispatch(self) -> None:
        """Start processes while there are free devices and queued items; fewer items get more cores each."""
        for entry in [] if self._stopped else list(self._queue):
            item = entry[-1]
            device = next((each for each in self._free if each.trains is None or each.trains == item.on_device), None)
            if device is None:
                continue
            self._free.remove(device)
            self._queue.remove(entry)
            environment = {**os.environ, **device.env}
            if self.num_cores:
                at_once = min(self.capacity, len(self._processes) + 1 + len(self._queue))
                environment[CORES] = str(max(1, self.num_cores // at_once))
            order = Order(
                self.function,
                pickle.dumps(item),
                environment,
                (device.lock_name, device.slots),
                str(Path.cwd()),
                sys.path,
                sys.argv,
            )
            self._processes.append(_Process(device, item, order, self._messages))


class NotStartedError(RuntimeError):
    """A process could not be started."""


def _describe_exit(code: int | None) -> str:
    """Return how a process ended, for a message."""
    if code is None:
        return "in an unknown way"
    if code >= 0:
        return f"with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"by {name}" + (": killed, perhaps because memory ran out" if name == "SIGKILL" else "")
