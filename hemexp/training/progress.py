"""Progress bar of a training, and its interruption by Ctrl-C or SIGTERM."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import c_bool
from math import isnan
from types import FrameType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hemexp.process import get_ending_signals

_listeners: list[Callable[[int], object]] = []


@contextmanager
def report_epochs_to(listener: Callable[[int], object]) -> Iterator[None]:
    """Call `listener` with the epochs of every training in this context, instead of drawing bars."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class EpochBar:
    """One progress bar for all members: epochs done, loss, time left. It is drawn at most ten times a second."""

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
        """Advance the bar.

        Args:
            epochs: trained since the last call.
            skipped: epochs that are not needed because members stopped early.
            loss: mean over the members; NaN if unknown, as for epochs of an earlier process.
        """
        for listener in _listeners:
            listener(epochs + skipped)
        task = self._progress.tasks[0]
        known = task.fields["loss"] if isnan(loss) else f"{loss:.4f}"
        self._progress.update(self._bar, advance=epochs, total=(task.total or 0) - skipped, loss=known)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


class InterruptHandler:
    """Set `flag` on Ctrl-C, SIGTERM or SIGHUP: training stops after the chunk. A second Ctrl-C stops it at once."""

    def __init__(self, flag: c_bool) -> None:
        self.flag = flag
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Install the signal handlers in the main thread."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.flag.value = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT, *get_ending_signals()]
            self._previous = {number: signal.signal(number, stop) for number in numbers}

    def restore(self, *_: object) -> None:
        """Restore the earlier handlers."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    __enter__, __exit__ = install, restore
