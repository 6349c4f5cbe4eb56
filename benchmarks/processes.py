"""Measure the process of a work item: the time until it runs, and the memory that it does not share.

python benchmarks/processes.py [--items 20]

The server that forks the processes is started first; its time is shown, too. The rival is a new Python that imports the
same code.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rivals

from hemexp.runner.events import ItemResult
from hemexp.runner.local import Device, LocalRunner


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


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=20)
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


if __name__ == "__main__":
    import processes  # the processes can import this module, not the program that runs

    processes.main()
