"""Run a worker process: ``python -m hemexp.sweep.backends.worker LOCK_NAME SLOTS MODULE:FUNCTION``.

Work items arrive on standard input; messages leave on standard output. The device is set in the environment before
the process starts, because CUDA reads it once. The process ends when its parent ends.
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
from pkgutil import resolve_name
from typing import Any

from hemexp.hardware import CORES
from hemexp.process import raise_interrupt
from hemexp.sweep.backends.device_lock import lock_device

_HEARTBEAT_INTERVAL = 0.5  # seconds


class Parent:
    """The connection to the parent process, for one message at a time."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # printed text must not mix with the messages
        self._lock = threading.Lock()
        self._epochs, self._last_heartbeat = 0, 0.0

    def send(self, *message: Any) -> None:
        """Send a message."""
        with self._lock:
            pickle.dump(message, self._stream)
            self._stream.flush()

    def add_epochs(self, epochs: int) -> None:
        """Send a heartbeat with the epochs trained since the last one, at most every half second."""
        self._epochs += epochs
        if time.monotonic() - self._last_heartbeat > _HEARTBEAT_INTERVAL:
            self._last_heartbeat = time.monotonic()
            self.send("heartbeat", self._epochs)
            self._epochs = 0


def _listen(requests: "queue.SimpleQueue[Any]") -> None:
    try:
        while True:
            requests.put(pickle.load(sys.stdin.buffer))
    except Exception:  # the parent has ended, or runs another version of this code
        os._exit(1)


def main(lock_name: str, slots: int, function: str) -> None:
    """Run work items until the parent ends this process.

    Args:
        lock_name: name of the device to lock during an item; empty for none.
        slots: items that may use the device at the same time.
        function: see `hemexp.sweep.backends.base.RUN_ITEM`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C, and then sends SIGTERM
    signal.signal(signal.SIGTERM, raise_interrupt)
    parent = Parent()
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    try:
        gc.disable()  # the import takes a fifth less time without garbage collection
        run_item = resolve_name(function)
        gc.enable()
        parent.send("ready")
        while True:
            item, cores = requests.get()
            if cores:
                os.environ[CORES] = str(cores)
            try:
                with lock_device(lock_name, slots):
                    parent.send("started")
                    outcome = run_item(item, parent.add_epochs)
            except KeyboardInterrupt:  # while it waited for the device
                outcome = ("interrupted", "")
            except OSError as error:  # of the lock: `run_item` handles the errors of an item
                outcome = ("failed", f"{lock_name} cannot be locked: {error}")
            parent.send("ended", *outcome)
    except KeyboardInterrupt:
        pass
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # does not wait for the threads of libraries and the listening thread


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
