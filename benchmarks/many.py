"""Time what a group of thousands of small networks costs besides its arithmetic, on one core.

python benchmarks/many.py [--members 1024 4096] [--epochs 20]
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rivals
from lightning.pytorch import Trainer

from hemexp.config import MLPConfig, OptimizerConfig
from hemexp.data.training_set import build_training_set
from hemexp.training.loop import fit_group
from hemexp.training.member import Member
from hemexp.training.recorder import Recorder
from hemexp.training.task import ExpansionTask

PARTS: dict[str, tuple[type, str]] = {
    "first weights": (ExpansionTask, "__init__"),
    "dropout factors, an epoch": (ExpansionTask, "_draw_dropout"),
    "record of a chunk": (Recorder, "on_train_batch_end"),
    "checkpoint, one": (Trainer, "save_checkpoint"),
    "histories and results": (Recorder, "results"),
}


def main() -> None:
    """Train groups of different sizes and print the seconds of each part for a thousand members."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    rows = []
    for count in options.members:
        members = build_members(count)
        with measured() as seconds, tempfile.TemporaryDirectory() as directory:
            started = time.perf_counter()
            cfg = rivals.trainer_config(options.epochs, checkpoint_every=options.epochs // 2)
            fit_group(members, cfg, checkpoint=Path(directory) / "last.ckpt")
            seconds["whole fit"].append(time.perf_counter() - started)
        rows += [[count, name, len(times), 1000 * np.median(times) / count] for name, times in seconds.items()]
    rivals.table(["members", "part", "times", "seconds a thousand members"], rows)


def build_members(count: int) -> list[Member]:
    """Return members of an mlp with 4 hidden units and dropout, 16 patients and 6 inputs."""
    rng = np.random.default_rng(0)
    training_set = build_training_set(rng.normal(size=(16, 6)), np.arange(16) % 2, range(16))
    return [
        Member(MLPConfig("mlp", hidden_dim=4, dropout=0.2), OptimizerConfig(), training_set, seed)
        for seed in range(count)
    ]


@contextmanager
def measured() -> Iterator[dict[str, list[float]]]:
    """Record the seconds of each call of the parts."""
    seconds: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        for name, (owner, method) in PARTS.items():
            original = getattr(owner, method)
            setattr(owner, method, time_calls(original, seconds[name]))
            stack.callback(setattr, owner, method, original)
        yield seconds


def time_calls(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Return the function, which then also appends its time to `seconds`."""

    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds.append(time.perf_counter() - started)

    return timed


if __name__ == "__main__":
    main()
