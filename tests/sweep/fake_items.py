"""Work items for a backend that need no training: the plan of each is in its directory, and `fake_run_item` runs it."""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from hemexp.config import WhereConfig
from hemexp.runner.local import Device, LocalRunner
from hemexp.sweep.backends.base import Heartbeat, ItemResult, WorkItem, describe_timeout
from hemexp.sweep.backends.devices import Backend
from hemexp.sweep.plan.job import SweepJob

FAKE_RUN_ITEM = "fake_run_item:run_item"


def build_items(directory: Path, plans: list[dict]) -> list[WorkItem]:
    items = []
    for number, plan in enumerate(plans):
        job_directory = directory / str(number)
        job_directory.mkdir(parents=True)
        (job_directory / "plan.json").write_text(json.dumps(plan))
        items.append(WorkItem("job", (SweepJob(number, job_directory, (), None, {}),)))
    return items


def build_runner(devices: Sequence[Device], where: WhereConfig, num_cores: int = 0) -> LocalRunner:
    return LocalRunner(devices, FAKE_RUN_ITEM, partial(describe_timeout, where), num_cores)


def wait_until(condition: Callable[[], bool], backend: Backend, seconds: float = 120) -> list[ItemResult | Heartbeat]:
    events: list[ItemResult | Heartbeat] = []
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        events += backend.wait(0.1)
    return events


def finish(backend: Backend) -> dict[int, ItemResult]:
    """Wait for all items; return the result of each by its job number."""
    events = wait_until(lambda: backend.idle, backend)
    backend.close()
    return {event.item.jobs[0].number: event for event in events if isinstance(event, ItemResult)}
