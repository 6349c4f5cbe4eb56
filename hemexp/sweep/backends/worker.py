"""A worker process: ``python -m hemexp.sweep.backends.worker DEVICE SLOTS MODULE:FUNCTION``.

Tasks arrive on standard input, news leave on standard output.
Its device was set in the environment before it started: CUDA reads that once. It ends when its parent does.
"""

import gc
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from importlib import import_module
from types import FrameType
from typing import Any

from hemexp.hardware import CORES
from hemexp.sweep.backends.device_lock import leased

_PULSE = 0.5  # seconds between two signs of life


class Parent:
    """The way back to the parent, one message at a time."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # what anybody prints must not get in between
        self._lock = threading.Lock()
        self._epochs, self._told = 0, 0.0

    def tell(self, *message: Any) -> None:
        """Send a message."""
        with self._lock:
            pickle.dump(message, self._stream)
            self._stream.flush()

    def pulse(self, epochs: int) -> None:
        """Say now and then that the task lives, and how many epochs it has trained since."""
        self._epochs += epochs
        if time.monotonic() - self._told > _PULSE:
            self._told = time.monotonic()
            self.tell("beat", self._epochs)
            self._epochs = 0


def _listen(requests: "queue.SimpleQueue[Any]") -> None:
    try:
        while True:
            requests.put(pickle.load(sys.stdin.buffer))
    except Exception:  # the parent is gone, or runs another version of this code
        os._exit(1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(device: str, slots: int, function: str) -> None:
    """Serve until told to end.

    Args:
        device: name of the lease to hold during a task; empty for none.
        slots: tasks at once on that device.
        function: what does a task, as ``module:name``; see `hemexp.sweep.backends.run_item.run_task`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's, which then sends SIGTERM
    signal.signal(signal.SIGTERM, _interrupt)
    parent = Parent()
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    try:
        module, _, name = function.partition(":")
        gc.disable()  # importing makes a fifth more haste without
        run_task = getattr(import_module(module), name)
        gc.enable()
        parent.tell("ready")
        while True:
            task, cores = requests.get()
            if task is None:
                break
            if cores:
                os.environ[CORES] = str(cores)
            try:
                with leased(device, slots):
                    parent.tell("began")
                    outcome = run_task(task, parent.pulse)
            except KeyboardInterrupt:  # while it waited for the device
                outcome = ("interrupted", "")
            except OSError as error:  # of the lease: a task keeps its own errors
                outcome = ("failed", f"{device} cannot be leased: {error}")
            parent.tell("ended", *outcome)
    except KeyboardInterrupt:
        pass
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # threads, of libraries and the one that listens, must not hold it


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
