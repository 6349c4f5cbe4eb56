"""Measure what a job of a sweep costs beside its training, and the memory that a sweep needs for it.

python benchmarks/jobs.py [--jobs 500] [--runs 10]

Composing and checking: `--jobs` configurations, as ``train.py -m`` composes them before the first job starts.
Finishing: `--runs` jobs of the smallest network with one epoch and without cross-validation, one after another in one
process, after two that are not counted.
"""

import argparse
import contextlib
import gc
import logging
import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import rivals
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from hemexp.commands.train import train
from hemexp.config.compose import CONFIG_DIR, register_schemas
from hemexp.sweep.run_grid import sweep_grid


def main() -> None:
    """Print the CPU seconds and the memory of a job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    logging.disable()  # the messages of runs
    with tempfile.TemporaryDirectory() as folder:
        plan(2, folder)
        seconds, _ = plan(options.jobs, folder)
        tracemalloc.start()
        _, kibibytes = plan(options.jobs, folder)
        tracemalloc.stop()
        finishing = [finish(number, folder) for number in range(2 + options.runs)][2:]
    rows: list[list[object]] = [
        ["composing and checking, CPU seconds a job", seconds],
        ["the same, KiB a job", kibibytes],
        ["a job of mlp with one epoch, CPU seconds", statistics.median(finishing)],
    ]
    rivals.table([f"{options.jobs} jobs composed, {options.runs} finished", "measured"], rows)


class _Measure:
    """A launcher that runs nothing. It measures while the sweep holds all its jobs."""

    time, memory = 0.0, 0

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Note the CPU time and the memory."""
        self.time = time.process_time()
        gc.collect()
        self.memory = tracemalloc.get_traced_memory()[0]
        return []


def plan(num_jobs: int, folder: str) -> tuple[float, float]:
    """Compose and check the jobs of a sweep; return the CPU seconds and the KiB of a job."""
    register_schemas()
    arguments = ["hydra.sweep.dir=" + folder, "model.kernel_size=3,5", f"seed=range({-(-num_jobs // 2)})"]
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
        loader, measure = GlobalHydra.instance().config_loader(), _Measure()
        config = loader.load_configuration("train", arguments, run_mode=RunMode.MULTIRUN)
        gc.collect()
        memory, started = tracemalloc.get_traced_memory()[0], time.process_time()
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
            sweep_grid(config, loader, arguments[1:], {}, measure)
    return (measure.time - started) / num_jobs, (measure.memory - memory) / 1024 / num_jobs


def finish(number: int, folder: str) -> float:
    """Run a job of a sweep, whose swept key is the seed; return the CPU seconds."""
    overrides = ["model=mlp", "trainer.max_epochs=1", "evaluation=off", "trainer.progress_bar=false"]
    cfg = replace(rivals.main_config(overrides), seed=number)
    started = time.process_time()
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        train(cfg, Path(folder, str(number)), swept={"seed": str(number)})
    return time.process_time() - started


if __name__ == "__main__":
    main()
