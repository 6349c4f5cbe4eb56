"""Run a work item in a process on another machine, with heartbeats through a file that both machines see."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType

from hemexp.files.writing import write_text
from hemexp.hardware import CORES
from hemexp.sweep.backends.base import RUN_ITEM, Outcome, WorkItem

_HEARTBEAT_INTERVAL = 2.0  # seconds


def run_remote_item(
    item: WorkItem, heartbeat_file: Path, directory: Path, cores: int, function: str = RUN_ITEM
) -> Outcome:
    """Run a work item in this process.

    Args:
        item: of any kind.
        heartbeat_file: takes the heartbeats.
        directory: the directory that the sweep was started in; relative paths begin there.
        cores: CPU cores for the item.
        function: see `hemexp.sweep.backends.base.RUN_ITEM`.
    """
    if not directory.is_dir():
        return "failed", f"{socket.gethostname()} cannot see {directory}, the directory that the sweep was started in"
    os.chdir(directory)
    os.environ[CORES] = os.environ["OMP_NUM_THREADS"] = str(cores)  # before torch is imported
    writer = _HeartbeatWriter(heartbeat_file)
    with _interrupt_on_signals():
        try:
            module, _, name = function.partition(":")
            outcome: Outcome = getattr(import_module(module), name)(item, writer.add_epochs)
            return outcome
        except KeyboardInterrupt:  # during the import
            return "interrupted", ""
        finally:
            writer.write()


class _HeartbeatWriter:
    """Write the device and the number of trained epochs of a work item, at most every two seconds."""

    def __init__(self, path: Path) -> None:
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        self._path, self._epochs, self._began = path, 0, time.time()
        self._device = socket.gethostname() + (f" gpu {gpus}" if gpus else "")
        self.write()

    def add_epochs(self, epochs: int) -> None:
        self._epochs += epochs
        if time.monotonic() - self._written > _HEARTBEAT_INTERVAL:
            self.write()

    def write(self) -> None:
        self._written = time.monotonic()
        content = {
            "device": self._device,
            "pid": os.getpid(),
            "epochs": self._epochs,
            "began": self._began,
            "time": time.time(),
        }
        write_text(self._path, json.dumps(content))


@contextmanager
def _interrupt_on_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt on signals, so that the item saves its state.

    SIGUSR2 is included because submitit would requeue the job on it.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = [signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR2] if hasattr(signal, "SIGUSR2") else [])]
    previous = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
