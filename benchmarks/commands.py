"""The 18-job sweep as a user types it, against the same jobs one after another, all imports and files counted.

python benchmarks/commands.py [--epochs 1000] [--rounds 1] [--evaluation off] [--processes 2] [--kernels 3,5,7]

Rivals: Hydra's own launcher (``hydra/launcher=basic``: the same jobs in turn in one process), ``train.py`` in a process
a job, and the same network in default Lightning in a process a job (no evaluation, figures or checkpoints of ours). Of
the last two `--processes` jobs are run, spread over the grid, and their median stands for each of the 18.
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
    """Print one table of ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--evaluation", default="off")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kernels", default="3,5,7")
    options = parser.parse_args()
    keys = {"model.kernel_size": options.kernels.split(","), "model.num_heads": HEADS, "optimizer.lr": RATES}
    jobs = [[f"{key}={value}" for key, value in zip(keys, values, strict=True)] for values in product(*keys.values())]
    common = [f"trainer.max_epochs={options.epochs}", "trainer.stop_loss=null", "trainer.progress_bar=false"]
    common += [f"evaluation={options.evaluation}", *rivals.data_override()]
    grid = [f"{key}={','.join(values)}" for key, values in keys.items()]
    few = [jobs[len(jobs) * (2 * i + 1) // (2 * options.processes)] for i in range(options.processes)]
    seconds: dict[str, list[float]] = {name: [] for name in ("sweep", "basic", "train", "lightning")}
    for _ in range(options.rounds):
        seconds["sweep"].append(train(["-m", *grid, *common], "hydra.sweep.dir"))
        seconds["train"] += [train([*job, *common], "output_dir") for job in few]
        seconds["lightning"] += [lightning(options.epochs, job) for job in few]
        seconds["basic"].append(train(["-m", *grid, *common, "hydra/launcher=basic"], "hydra.sweep.dir"))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    rows = [
        ("hemexp: train.py -m", medians["sweep"]),
        ("hydra/launcher=basic", medians["basic"]),
        ("a process of train.py a job, in turn", len(jobs) * medians["train"]),
        ("a process of default Lightning a job, in turn", len(jobs) * medians["lightning"]),
    ]
    title = f"{len(jobs)} jobs, {options.epochs} epochs, evaluation={options.evaluation}"
    rivals.table([title, "seconds", "times hemexp's"], [[name, took, took / medians["sweep"]] for name, took in rows])


def train(arguments: list[str], place: str) -> float:
    """Return the seconds of a command, from its start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        command = [sys.executable, str(ROOT / "train.py"), *arguments, f"{place}={folder}/out"]
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started


def lightning(epochs: int, job: list[str]) -> float:
    """Return the seconds of one job in default Lightning."""
    started = time.perf_counter()
    if rivals.one_process(epochs, 0, job).wait():
        raise RuntimeError(f"the rival's job {job} failed")
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
