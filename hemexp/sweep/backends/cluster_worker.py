"""What a process on another machine does with a task; its signs of life go through a file that both machines see."""

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
from hemexp.sweep.backends.base import Task

End = tuple[str, str]  # an outcome, see `hemexp.sweep.backends.base.Ended`, and a line about it

WORK = "hemexp.sweep.backends.run_item:run_task"

_BEAT = 2.0  # seconds between two signs of life


def run_elsewhere(task: Task, beats: Path, folder: Path, cores: int, function: str = WORK) -> End:
    """Run a task in this process, wherever that is.

    Args:
        task: of any kind.
        beats: the file that is told of life.
        folder: where the sweep was started: relative paths begin there.
        cores: CPU cores that the task may keep busy.
        function: what does the task, as ``module:name``; see `hemexp.sweep.backends.run_item.run_task`.
    """
    if not folder.is_dir():
        return "failed", f"{folder}, where the sweep was started, is not on {socket.gethostname()}"
    os.chdir(folder)
    os.environ[CORES] = os.environ["OMP_NUM_THREADS"] = str(cores)  # before torch counts them
    pulse = _Pulse(beats)
    with _interruptible():
        try:
            module, _, name = function.partition(":")
            ended: End = getattr(import_module(module), name)(task, pulse)
            return ended
        except KeyboardInterrupt:  # while all that was imported
            return "interrupted", ""
        finally:
            pulse.tell()


class _Pulse:
    """Writes down now and then that a task lives, where, and how many epochs it has trained."""

    def __init__(self, path: Path) -> None:
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        self.path, self.epochs, self.began = path, 0, time.time()
        self.device = socket.gethostname() + (f" gpu {gpus}" if gpus else "")
        self.tell()

    def __call__(self, epochs: int) -> None:
        self.epochs += epochs
        if time.monotonic() - self._told > _BEAT:
            self.tell()

    def tell(self) -> None:
        self._told = time.monotonic()
        life = {
            "device": self.device,
            "pid": os.getpid(),
            "epochs": self.epochs,
            "began": self.began,
            "time": time.time(),
        }
        write_text(self.path, json.dumps(life))


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let signals end what is within as Ctrl-C does: it saves its state. To SIGUSR2 submitit would requeue the job."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = [signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR2] if hasattr(signal, "SIGUSR2") else [])]
    earlier = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
