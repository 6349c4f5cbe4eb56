"""What a place to run jobs must offer; `hemexp.sweep.backends.local`, `slurm` and `ray` are such places."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hemexp.sweep.plan.job import SweepJob


@dataclass(frozen=True)
class Task:
    """What one worker does at a stretch.

    Attributes:
        kind: ``job`` (run a job to its end), ``batch`` (train the networks of several jobs together, so that each finds
            itself trained) or ``fresh`` (evaluate a finished job's settings again on fresh folds).
        jobs: one, or for a batch several.
        cost: a guess in any unit; the costliest begin first.
    """

    kind: str
    jobs: tuple[SweepJob, ...]
    cost: float = 0.0


@dataclass(frozen=True)
class Ended:
    """How a task went.

    Attributes:
        task: which.
        outcome: ``done``; ``failed`` (it raised); ``killed`` (its process ended); ``timeout``; ``pruned``;
            ``interrupted`` (the sweep was stopped: it goes on another time).
        message: one line, empty where there is nothing to say.
        device: where it ran, such as ``cpu 0``, ``gpu 3``, a node's name.
        started: seconds since 1970.
        ended: likewise.
    """

    task: Task
    outcome: str
    message: str = ""
    device: str = ""
    started: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True)
class Beat:
    """A sign of life: how many epochs (of all networks that it trains) a task has trained since its last."""

    task: Task
    epochs: int


class Backend(Protocol):
    """Runs tasks somewhere, each in a process of its own kind, so that what befalls one befalls no other."""

    capacity: int  # tasks that run at once

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take tasks in; they begin when there is room."""

    def wait(self, seconds: float) -> list[Ended | Beat]:
        """Return what has happened; after so many seconds nothing, and sooner as soon as something has."""

    def stop(self) -> None:
        """Tell all that runs to save its state and end, and forget what has not begun; `wait` goes on telling."""

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""

    def close(self) -> None:
        """End every process that is left."""
