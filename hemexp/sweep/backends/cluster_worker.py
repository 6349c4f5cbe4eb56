"""Run a work item in a process on another machine, with heartbeats through a file that both machines see."""

import json
import os
import signal
import socket
import time
from pathlib import Path
from pkgutil import resolve_name

from hemexp.files.writing import write_text
from hemexp.process import interrupt_on
from hemexp.sweep.backends.base import Outcome, WorkItem

_HEARTBEAT_INTERVAL = 2.0  # seconds
_SIGNALS = [  # submitit would requeue the job on SIGUSR2
    number for name in ("SIGINT", "SIGTERM", "SIGUSR2") if (number := getattr(signal, name, None))
]


def run_remote_item(
    item: WorkItem, heartbeat_file: Path, directory: Path, environment: dict[str, str], function: str
) -> Outcome:
    """Run a work item in this process.

    Args:
        item: of any kind.
        heartbeat_file: takes the heartbeats.
        directory: the directory that the sweep was started in; relative paths begin there.
        environment: the limits of the item: its cores and its part of a GPU.
        function: see `hemexp.sweep.backends.base.RUN_ITEM`.
    """
    if not directory.is_dir():
        return Outcome(
            "failed", f"{socket.gethostname()} cannot see {directory}, the directory that the sweep was started in"
        )
    os.chdir(directory)
    os.environ |= environment  # before torch is imported
    writer = _HeartbeatWriter(heartbeat_file)
    with interrupt_on(_SIGNALS):
        try:
            outcome: Outcome = resolve_name(function)(item, writer.add_epochs)
            return outcome
        except KeyboardInterrupt:  # during the import
            return Outcome("interrupted")
        finally:
            writer.write()


class _HeartbeatWriter:
    """Write the device and the number of trained epochs of a work item, at most every two seconds."""

    def __init__(self, path: Path) -> None:
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        device = socket.gethostname() + (f" gpu {gpus}" if gpus else "")
        self._path, self._epochs = path, 0
        self._facts = {"device": device, "pid": os.getpid(), "began": time.time()}
        self.write()

    def add_epochs(self, epochs: int) -> None:
        self._epochs += epochs
        if time.monotonic() - self._written > _HEARTBEAT_INTERVAL:
            self.write()

    def write(self) -> None:
        self._written = time.monotonic()
        # the time makes every heartbeat different
        write_text(self._path, json.dumps({**self._facts, "epochs": self._epochs, "time": time.time()}))
