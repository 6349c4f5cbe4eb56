"""Time an 18-job sweep from the command line against the same jobs one after another, with imports and files.

python benchmarks/commands.py [--epochs 1000] [--rounds 1] [--evaluation off] [--processes 2] [--kernels 3,5,7]
    [KEY=VALUE ...]

Rivals: Hydra's basic launcher (``hydra/launcher=basic``: the same jobs in turn in one process); ``train.py`` in one
process for each job; the same network with the defaults of Lightning in one process for each job (without hemexp's
evaluation, figures and checkpoints). For the last two, only `--processes` jobs of the grid are run; 18 times their
median is reported. Overrides are for the sweep only, such as ``where=gpus where.devices=[0,1,2,3]``.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import rivals

ROOT = Path(__file__).resolve().parent.parent
HEADS, RATES = ("1", "2", "4"), ("1e-3", "3e-4")


def main() -> None:
    """Print the seconds of every program and its ratio to hemexp."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--evaluation", default="off")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kernels", default="3,5,7")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    keys = {"model.kernel_size": options.kernels.split(","), "model.num_heads": HEADS, "optimizer.lr": RATES}
    jobs = [[f"{key}={value}" for key, value in zip(keys, values, strict=True)] for values in product(*keys.values())]
    common = [f"trainer.max_epochs={options.epochs}", "trainer.stop_loss=null", "trainer.progress_bar=false"]
    common += [f"evaluation={options.evaluation}", *rivals.data_override()]
    grid = [f"{key}={','.join(values)}" for key, values in keys.items()]
    sample = [jobs[len(jobs) * (2 * i + 1) // (2 * options.processes)] for i in range(options.processes)]
    seconds: dict[str, list[float]] = {name: [] for name in ("sweep", "basic", "train", "lightning")}
    for _ in range(options.rounds):
        seconds["sweep"].append(train(["-m", *grid, *common, *options.overrides], "hydra.sweep.dir"))
        seconds["train"] += [train([*job, *common], "output_dir") for job in sample]
        seconds["lightning"] += [lightning(options.epochs, job) for job in sample]
        seconds["basic"].append(train(["-m", *grid, *common, "hydra/launcher=basic"], "hydra.sweep.dir"))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    rows = [
        ("hemexp: train.py -m", medians["sweep"]),
        ("hydra/launcher=basic", medians["basic"]),
        ("a process of train.py a job, in turn", len(jobs) * medians["train"]),
        ("a process of default Lightning a job, in turn", len(jobs) * medians["lightning"]),
    ]
    title = f"{len(jobs)} jobs, {options.epochs} epochs, evaluation={options.evaluation}"
    rivals.table(
        [title, "seconds", "times hemexp's"], [[name, elapsed, elapsed / medians["sweep"]] for name, elapsed in rows]
    )


def train(arguments: list[str], directory_key: str) -> float:
    """Run train.py and return its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        command = [sys.executable, str(ROOT / "train.py"), *arguments, f"{directory_key}={folder}/out"]
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started


def lightning(epochs: int, job: list[str]) -> float:
    """Run one job with the defaults of Lightning and return its seconds."""
    started = time.perf_counter()
    if rivals.start_process(epochs, 0, job).wait():
        raise RuntimeError(f"the Lightning job {job} failed")
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
