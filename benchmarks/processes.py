"""Measure the process of a work item: the time until it runs, and the memory that it does not share.

python benchmarks/processes.py [--items 20] [--seeds 200]

The server that forks the processes is started first; its time is shown, too. The rival is a new Python that imports the
same code.

The second table is of a sweep over seeds on 1, 4 and 8 simulated GPUs: how its fits are cut into work items, and how
long these take in the processes of the GPUs if a fit takes 20 ms (it only waits).
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rivals

from hemexp.config import TrainConfig
from hemexp.config.compose import load_config
from hemexp.hardware import VISIBLE
from hemexp.runner.events import ItemResult
from hemexp.runner.local import Device, LocalRunner
from hemexp.sweep.backends.base import WorkItem
from hemexp.sweep.batches import build_items
from hemexp.sweep.plan.job import SweepJob

FIT_SECONDS = 0.02  # of a simulated fit


@dataclass(frozen=True)
class Item:
    """A work item that was submitted at a time."""

    submitted: float
    order: int = 0


def measure(item: Item, report: Any) -> tuple[float, float]:
    """Return the seconds since the item was submitted, and the MiB of this process that it shares with no other."""
    seconds = time.time() - item.submitted
    lines = Path("/proc/self/smaps_rollup").read_text()
    return seconds, sum(map(int, re.findall(r"Private_\w+: +(\d+) kB", lines))) / 1024


def run(runner: LocalRunner) -> tuple[float, float]:
    """Run one item and return what it measured."""
    runner.submit([Item(time.time())])
    while True:
        for event in runner.wait(60):
            if isinstance(event, ItemResult):
                seconds, memory = event.value
                return seconds, memory


def count_fits(item: WorkItem) -> int:
    """Return the number of fits of an item."""
    return sum(each.stop - each.start for each in item.ranges)


def simulate(item: WorkItem, report: Any) -> None:
    """Wait as long as a simulated GPU trains the fits of an item."""
    time.sleep(FIT_SECONDS * count_fits(item))


def time_gpus(gpus: int, seeds: int) -> list[object]:
    """Return a row of the table: the work items of a sweep over seeds, and the time they take on simulated GPUs."""
    where = ["where=gpus", f"where.devices={list(range(gpus))}".replace(" ", "")]
    cfg = load_config(TrainConfig, ["evaluation=off", *where])
    jobs = [SweepJob(seed, Path("sweep", str(seed)), (), replace(cfg, seed=seed), {}) for seed in range(seeds)]
    items = build_items(jobs, gpus)
    runner = LocalRunner([Device(f"gpu {n}", {VISIBLE: str(n)}) for n in range(gpus)], "processes:simulate")
    started = time.perf_counter()
    runner.submit(items)
    while not runner.idle:
        runner.wait(10)
    seconds = time.perf_counter() - started
    runner.close()
    sizes = sorted(map(count_fits, items))
    ideal = FIT_SECONDS * seeds / gpus
    return [gpus, f"{len(items)} of {sizes[0]} to {sizes[-1]} fits", seconds, ideal, f"{ideal / seconds:.0%}"]


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=200)
    options = parser.parse_args()
    runner = LocalRunner([Device("cpu 0")], "processes:measure")
    first, _ = run(runner)
    measured, new = [], []
    code = "import hemexp.commands.train, hemexp.sweep.backends.run_item"
    for number in range(options.items):
        measured.append(run(runner))
        if number % 10 == 0:
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
            new.append(time.perf_counter() - started)
    runner.close()
    seconds, memory = (statistics.median(values) for values in zip(*measured, strict=True))
    rivals.table(
        ["a process", "seconds until it runs", "MiB of its own"],
        [
            ["the first, with the start of the server", first, ""],
            ["of a work item", seconds, memory],
            ["a new Python with the same imports", statistics.median(new), ""],
        ],
    )
    rows = [time_gpus(gpus, options.seeds) for gpus in (1, 4, 8)]
    header = ["simulated GPUs", "work items", "makespan, s", "of the fits alone, s", "share of the GPUs' time"]
    rivals.table(header, rows)


if __name__ == "__main__":
    import processes  # the processes can import this module, not the program that runs

    processes.main()
