"""What a user sees of a training, and how a user stops it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import c_bool
from math import isnan
from multiprocessing import parent_process
from types import FrameType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_listeners: list[Callable[[int], object]] = []


@contextmanager
def heard_by(listener: Callable[[int], object]) -> Iterator[None]:
    """Tell `listener` of the epochs of every training within, instead of drawing bars."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class EpochBar:
    """One bar for all members: what is done, loss, time left. Drawn ten times a second at most."""

    def __init__(self, title: str, total: int, show: bool, unit: str = "epochs") -> None:
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{unit}  loss {{task.fields[loss]}}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, disable=not show or bool(_listeners))
        self._bar = self._progress.add_task(title, total=total, loss="-")

    def __enter__(self) -> "EpochBar":
        self._progress.start()
        return self

    def advance(self, epochs: int, skipped: int, loss: float) -> None:
        """Move on by `epochs` trained; `skipped` will not be needed, their members are done early.

        A loss that is no number is one that is not known, as in epochs that an earlier process trained.
        """
        for listener in _listeners:
            listener(epochs + skipped)
        task = self._progress.tasks[0]
        known = task.fields["loss"] if isnan(loss) else f"{loss:.4f}"
        self._progress.update(self._bar, advance=epochs, total=(task.total or 0) - skipped, loss=known)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


class StopOnSignal:
    """Ctrl-C and SIGTERM set `flag`, which ends training after the chunk; a second Ctrl-C ends it at once."""

    def __init__(self, flag: c_bool) -> None:
        self.flag = flag
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopOnSignal":
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def take(self) -> None:
        """Take the signals over, where this thread may; a worker leaves them to its parent."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.flag.value = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        if threading.current_thread() is threading.main_thread() and parent_process() is None:
            self._previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}

    def give_back(self) -> None:
        """Put the earlier handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
