"""Train on GPUs and finish jobs on CPU cores, so that no GPU waits for figures and files."""

import time
from collections.abc import Sequence

from hemexp.sweep.backends.base import Backend, Heartbeat, ItemResult, WorkItem

_INTERVAL = 0.1  # seconds between two looks at one of the backends


class DividedBackend:
    """A `hemexp.sweep.backends.base.Backend` of two backends.

    Args:
        training: for the items that train.
        finishing: for the others.
    """

    def __init__(self, training: Backend, finishing: Backend) -> None:
        self.capacity, self._training, self._finishing = training.capacity, training, finishing
        self._both = (training, finishing)

    def submit(self, items: Sequence[WorkItem]) -> None:
        """Queue work items."""
        self._training.submit([item for item in items if item.on_device])
        self._finishing.submit([item for item in items if not item.on_device])

    def wait(self, seconds: float) -> list[ItemResult | Heartbeat]:
        """Return the events since the last call, after `seconds` at most."""
        events, deadline = list[ItemResult | Heartbeat](), time.monotonic() + seconds
        while not events and not self.idle and time.monotonic() < deadline:
            for backend in self._both:
                events += backend.wait(0 if backend.idle else _INTERVAL)
        return events

    def stop(self) -> None:
        """Drop queued items, and ask running items to save their state."""
        for backend in self._both:
            backend.stop()

    @property
    def idle(self) -> bool:
        """Whether no item is running or queued."""
        return all(backend.idle for backend in self._both)

    def close(self) -> None:
        """End every remaining process."""
        for backend in self._both:
            backend.close()
