"""Work items on other machines that share the files of this one: the common part of Slurm and Ray."""

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
from hemexp.runner.local import SAVE_SECONDS
from hemexp.sweep.backends.base import RUN_ITEM, Heartbeat, ItemResult, Outcome, WorkItem, describe_timeout


@dataclass(eq=False)
class RemoteItem:
    """A work item that was submitted.

    Attributes:
        item: the work item.
        heartbeat_file: written by the process of the item.
        handle: the name or object by which Slurm or Ray identifies it.
        device: the device it runs on; empty until its first heartbeat.
        epochs: trained so far.
        started: when it began by the clock of its machine, in seconds since 1970; 0 while unknown.
        first_heartbeat: when its first heartbeat was seen; 0 before.
        last_heartbeat: when its last heartbeat was seen.
    """

    item: WorkItem
    heartbeat_file: Path
    handle: Any = None
    device: str = ""
    epochs: int = 0
    started: float = 0.0
    first_heartbeat: float = 0.0
    last_heartbeat: float = 0.0
    _text: str = ""

    def read_heartbeat(self, now: float) -> Heartbeat | None:
        """Return a new heartbeat; None where there is none."""
        try:
            text = self.heartbeat_file.read_text(encoding="utf-8")
        except OSError:
            return None
        if text == self._text:
            return None
        content = json.loads(text)
        self._text, self.last_heartbeat, self.first_heartbeat = text, now, self.first_heartbeat or now
        self.device, self.started = content["device"], content["began"]
        new_epochs, self.epochs = content["epochs"] - self.epochs, content["epochs"]
        return Heartbeat(self.item, new_epochs)


class ClusterBackend(ABC):
    """A `hemexp.sweep.backends.devices.Backend` without the commands of the cluster: waiting, time limits, stopping.

    Args:
        where: the time limits.
        directory: for the heartbeat files; it has the same path on every machine.
    """

    capacity: int
    trains_and_finishes = False  # a cluster finds a place for both
    num_finishers = property(lambda self: self.capacity)
    function = RUN_ITEM
    poll_interval = 1.0  # seconds between two looks at the heartbeat files
    query_interval = 20.0  # seconds between two queries to the cluster

    def __init__(self, where: WhereConfig, directory: Path) -> None:
        self.limits, self.directory = where, directory.absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.items: list[RemoteItem] = []
        self.stopped_at, self.queried = 0.0, time.monotonic()
        self._pending_events: list[ItemResult | Heartbeat] = []
        self._numbers = count()

    def submit(self, items: Sequence[WorkItem]) -> None:
        """Submit work items in their order."""
        ordered = sorted(items, key=lambda item: item.order)
        remote = [RemoteItem(item, self.directory / f"{os.getpid()}-{next(self._numbers)}.beat") for item in ordered]
        if remote:
            self.launch(remote)

    def wait(self, seconds: float) -> list[ItemResult | Heartbeat]:
        """Return the events since the last call, after `seconds` at most."""
        deadline = time.monotonic() + seconds
        events, self._pending_events = self._pending_events, []
        while not events and self.items:
            events = self._collect_events()
            left = deadline - time.monotonic()
            if events or left <= 0:
                break
            self.sleep(min(left, self.poll_interval))
        return events

    def stop(self) -> None:
        """Drop the items that have not begun, and ask running items to save their state."""
        self._pending_events += self._collect_events()
        waiting = [remote for remote in self.items if not remote.first_heartbeat]
        self.items = [remote for remote in self.items if remote.first_heartbeat]
        self.stopped_at = time.time()
        self.interrupt(waiting, self.items)

    @property
    def idle(self) -> bool:
        """Whether no item is running or queued."""
        return not self.items and not self._pending_events

    def close(self) -> None:
        """Kill every remaining item."""
        for remote in self.items:
            self.kill(remote)
        self.items = []

    def _collect_events(self) -> list[ItemResult | Heartbeat]:
        self.refresh()
        now, events = time.time(), list[ItemResult | Heartbeat]()
        for remote in list(self.items):
            outcome = self.get_outcome(remote) or self._enforce_timeouts(remote, now)
            if heartbeat := remote.read_heartbeat(now):  # also after the end: it holds the last epochs
                events.append(heartbeat)
            if outcome is not None:
                self.items.remove(remote)
                remote.heartbeat_file.unlink(missing_ok=True)
                started = min(remote.started or now, now)
                events.append(ItemResult(remote.item, *outcome, remote.device, started, now))
        return events

    def _enforce_timeouts(self, remote: RemoteItem, now: float) -> Outcome | None:
        """Kill an item that exceeds a time limit."""
        reason = ""
        if self.stopped_at and now - self.stopped_at > SAVE_SECONDS:
            reason = f"did not stop within {SAVE_SECONDS:.0f} s"
        elif remote.first_heartbeat and not self.stopped_at:
            running, silent = now - remote.first_heartbeat, now - remote.last_heartbeat
            reason = describe_timeout(self.limits, remote.item, running, silent)
        if not reason:
            return None
        self.kill(remote)
        return Outcome("interrupted" if self.stopped_at else "timeout", reason)

    def sleep(self, seconds: float) -> None:
        """Wait between two looks at the heartbeat files."""
        time.sleep(seconds)

    def refresh(self) -> None:
        """Ask the cluster for the states of all items."""
        return

    @abstractmethod
    def launch(self, items: Sequence[RemoteItem]) -> None:
        """Submit items, set the handle of each, and add them to `items`."""

    @abstractmethod
    def get_outcome(self, remote: RemoteItem) -> Outcome | None:
        """Return the outcome of an item; None while it has not ended."""

    @abstractmethod
    def interrupt(self, waiting: Sequence[RemoteItem], running: Sequence[RemoteItem]) -> None:
        """Withdraw the waiting items, and interrupt the running ones so that they can save their state."""

    @abstractmethod
    def kill(self, remote: RemoteItem) -> None:
        """Kill an item at once."""
