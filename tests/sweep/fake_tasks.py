"""Tasks for a backend that need no training: what each does stands in its folder, and `fake_work` does it."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from hemexp.sweep.backends.base import Backend, Beat, Ended, Task
from hemexp.sweep.plan.job import SweepJob

WORK = "fake_work:run_task"


def tasks(folder: Path, plans: list[dict]) -> list[Task]:
    made = []
    for number, plan in enumerate(plans):
        place = folder / str(number)
        place.mkdir(parents=True)
        (place / "plan.json").write_text(json.dumps(plan))
        made.append(Task("job", (SweepJob(number, place, (), None, {}),)))
    return made


def wait_until(done: Callable[[], bool], backend: Backend, seconds: float = 120) -> list[Ended | Beat]:
    events: list[Ended | Beat] = []
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "waited too long"
        events += backend.wait(0.1)
    return events


def finish(backend: Backend) -> dict[int, Ended]:
    """Wait for all tasks; return how each ended, by its job's number."""
    events = wait_until(lambda: backend.idle, backend)
    backend.close()
    return {event.task.jobs[0].number: event for event in events if isinstance(event, Ended)}
