"""Where training spends its time: Lightning's profilers, into a run's ``profile/``."""

from pathlib import Path

import torch
from lightning.pytorch.profilers import Profiler, PyTorchProfiler, SimpleProfiler


def profiler_of(name: str | None, directory: Path | None) -> Profiler | None:
    """Return the profiler that ``trainer.profiler`` names; None where there is no name, or no directory to write to."""
    if name is None or directory is None:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    if name == "simple":
        return SimpleProfiler(dirpath=directory, filename="simple")
    # a few of the early steps: a trace of all would fill the disk
    schedule = torch.profiler.schedule(wait=1, warmup=1, active=3, repeat=1)
    return PyTorchProfiler(dirpath=directory, filename="pytorch", schedule=schedule)
