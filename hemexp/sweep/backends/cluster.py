"""Tasks on other machines that share this one's files: what Slurm and Ray have in common."""

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from hemexp.config import WhereConfig
from hemexp.sweep.backends.base import Beat, Ended, Task
from hemexp.sweep.backends.cluster_worker import End

_GRACE = 60.0  # seconds that a job has to save its state when the sweep is stopped


@dataclass(eq=False)
class Flight:
    """A task that has been handed over.

    Attributes:
        task: which.
        beats: the file of its signs of life.
        ticket: what the place knows it by.
        device: where it runs; empty until its first sign of life.
        epochs: that it has told of.
        started: when it began by the clock of where it runs, in seconds since 1970; 0 while that is not known.
        began: when its first sign of life was seen; 0 before.
        heard: when its last was.
    """

    task: Task
    beats: Path
    ticket: Any = None
    device: str = ""
    epochs: int = 0
    started: float = 0.0
    began: float = 0.0
    heard: float = 0.0
    _told: str = ""

    def hear(self, now: float) -> bool:
        """Look for a new sign of life."""
        try:
            told = self.beats.read_text(encoding="utf-8")
        except OSError:
            return False
        if told == self._told:
            return False
        life = json.loads(told)
        self._told, self.heard, self.began = told, now, self.began or now
        self.device, self.started = life["device"], life["began"]
        return True

    def trained(self) -> int:
        """Return how many epochs it has trained since this was last asked."""
        before, self.epochs = self.epochs, json.loads(self._told)["epochs"]
        return self.epochs - before


class Elsewhere(ABC):
    """A `hemexp.sweep.backends.base.Backend` without the place: what waits, gives up and forgets.

    Args:
        where: when a task is given up.
        folder: of the signs of life, on every machine the same.
    """

    capacity = 1
    pause = 1.0  # seconds between two looks

    def __init__(self, where: WhereConfig, folder: Path) -> None:
        self.limits, self.folder = where, folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.flights: list[Flight] = []
        self.stopped = 0.0
        self._kept: list[Ended | Beat] = []
        self._numbers = count()

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take tasks in, the costliest first; the place starts them when there is room."""
        ordered = sorted(tasks, key=lambda task: -task.cost)
        flights = [Flight(task, self.folder / f"{os.getpid()}-{next(self._numbers)}.beat") for task in ordered]
        if flights:
            self.launch(flights)

    def wait(self, seconds: float) -> list[Ended | Beat]:
        """Return what has happened, after `seconds` at most."""
        until = time.monotonic() + seconds
        events, self._kept = self._kept, []
        while not events and self.flights:
            events = self._look()
            left = until - time.monotonic()
            if events or left <= 0:
                break
            self.sleep(min(left, self.pause))
        return events

    def stop(self) -> None:
        """Forget what has not begun, and ask what runs to save its state."""
        self._kept += self._look()
        waiting = [flight for flight in self.flights if not flight.began]
        self.flights = [flight for flight in self.flights if flight.began]
        self.stopped = time.time()
        self.recall(waiting, self.flights)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self.flights and not self._kept

    def close(self) -> None:
        """End everything that is left."""
        for flight in self.flights:
            self.kill(flight)
        self.flights = []

    def _look(self) -> list[Ended | Beat]:
        self.refresh()
        now, events = time.time(), list[Ended | Beat]()
        for flight in list(self.flights):
            end = self.end_of(flight) or self._patience(flight, now)
            if flight.hear(now):  # its last words too
                events.append(Beat(flight.task, flight.trained()))
            if end is not None:
                self.flights.remove(flight)
                flight.beats.unlink(missing_ok=True)
                events.append(Ended(flight.task, *end, flight.device, min(flight.started or now, now), now))
        return events

    def _patience(self, flight: Flight, now: float) -> End | None:
        """End what takes too long or gives no sign of life."""
        limits, end = self.limits, None
        most = None if limits.job_timeout is None else limits.job_timeout * len(flight.task.jobs)
        if self.stopped:
            if now - self.stopped > _GRACE:
                end = "interrupted", f"did not stop within {_GRACE:.0f} s"
        elif not flight.began:
            return None
        elif most is not None and now - flight.began > most:
            each = f", for each of {len(flight.task.jobs)} jobs" if len(flight.task.jobs) > 1 else ""
            end = "timeout", f"took longer than where.job_timeout={limits.job_timeout:g} s{each}"
        elif limits.silence_timeout is not None and now - flight.heard > limits.silence_timeout:
            end = "timeout", f"gave no sign of life for where.silence_timeout={limits.silence_timeout:g} s"
        if end is not None:
            self.kill(flight)
        return end

    def sleep(self, seconds: float) -> None:
        """Pass the time between two looks."""
        time.sleep(seconds)

    def refresh(self) -> None:
        """Ask the place for news, once for all flights."""
        return

    @abstractmethod
    def launch(self, flights: Sequence[Flight]) -> None:
        """Hand tasks over, note each one's ticket, and keep them in `flights`."""

    @abstractmethod
    def end_of(self, flight: Flight) -> End | None:
        """Return how a task ended; None while it has not."""

    @abstractmethod
    def recall(self, waiting: Sequence[Flight], running: Sequence[Flight]) -> None:
        """Withdraw what waits, and interrupt what runs so that it can save its state."""

    @abstractmethod
    def kill(self, flight: Flight) -> None:
        """End a task, whatever it does."""
