"""Many members in one process on one device: fits a second by group size, patients and inputs; memory.

python benchmarks/group.py [--epochs 100] [--rounds 5] [--members 1 2 4 8 16 32] [--accelerator cpu]
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import rivals
import torch

from hemexp.data.training_set import build_training_set
from hemexp.training.fit import fit
from hemexp.training.member import Member

FITTED_EPOCHS = 1000  # of a fit, in "fits a second"


def main() -> None:
    """Print four tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--accelerator", default="cpu")
    options = parser.parse_args()
    epochs, rounds = options.epochs, options.rounds
    trainer = rivals.trainer(epochs, accelerator=options.accelerator)
    one = rivals.member()
    memory(one, options.members, trainer)

    def group(like: Member, count: int) -> Callable[[], object]:
        members = [replace(like, seed=seed) for seed in range(count)]
        return lambda: fit(members, trainer, num_workers=1, group_size=count)

    runs = {f"{count} members": group(one, count) for count in options.members}
    if options.accelerator == "cpu":
        runs["plain PyTorch loop, one by one"] = lambda: rivals.raw_loop(one, epochs)
    seconds = rivals.interleave(runs, rounds)
    each = {name: value / int(name.split()[0]) if name[0].isdigit() else value for name, value in seconds.items()}
    base = each.get("plain PyTorch loop, one by one", each[f"{options.members[0]} members"])
    rows = [[name, 1000 * value / epochs, epochs / FITTED_EPOCHS / value, base / value] for name, value in each.items()]
    rivals.table(["group", "ms an epoch and member", "fits of 1000 epochs a second", "times the rival's speed"], rows)

    best = max(options.members) if options.accelerator != "cpu" else 8
    shapes = {
        f"{patients} patients, {inputs} inputs": simulated(one, patients, inputs)
        for patients, inputs in ((60, 72), (120, 72), (240, 72), (1000, 72), (60, 18), (60, 36), (60, 144))
    }
    runs = {f"{name}": group(like, best) for name, like in shapes.items()}
    runs |= {
        f"raw: {name}": lambda like=like: rivals.raw_loop(like, max(2, epochs // 10)) for name, like in shapes.items()
    }
    seconds = rivals.interleave(runs, max(1, rounds // 2))
    rows = []
    for name in shapes:
        ours, raw = seconds[name] / best / epochs, seconds[f"raw: {name}"] / max(2, epochs // 10)
        rows.append([name, 1000 * ours, 1000 * raw, raw / ours])
    rivals.table([f"size ({best} members)", "ms an epoch and member", "plain loop", "ratio"], rows)

    if options.accelerator == "cpu":
        limit(one, epochs)


def simulated(like: Member, patients: int, inputs: int) -> Member:
    """Return a member that learns from noise of another size."""
    rng = np.random.default_rng(0)
    raw, labels = rng.normal(size=(patients, inputs)), (np.arange(patients) % 4 == 0).astype(float)
    return replace(like, training_set=build_training_set(raw, labels, range(patients)))


def limit(one: Member, epochs: int) -> None:
    """Compare with what the arithmetic alone would take at this core's measured speed."""
    torch.set_num_threads(1)
    square = torch.randn(1024, 1024)
    work, done = torch.randn(200_000), torch.empty(200_000)
    runs = {"product": lambda: square @ square, "exponentials": lambda: torch.exp2(work, out=done)}
    members = [replace(one, seed=seed) for seed in range(8)]
    runs["8 members"] = lambda: rivals.same_step_loop(members, epochs)
    seconds = rivals.interleave(runs, 5)
    flops = 2 * 1024**3 / seconds["product"]
    patients, inputs, heads = len(one.training_set.labels), len(one.training_set.features), 4
    exponentials = patients * heads * inputs**2
    least = 50e6 * patients / 60 / flops + exponentials * seconds["exponentials"] / len(work)
    taken = seconds["8 members"] / 8 / epochs
    header = ["arithmetic limit", "GFLOP/s of this core", "exponentials a second", "least ms", "taken ms", "share"]
    rate = f"{len(work) / seconds['exponentials']:.2g}"
    rivals.table(header, [["8 members", flops / 1e9, rate, 1000 * least, 1000 * taken, f"{least / taken:.0%}"]])


def memory(one: Member, counts: list[int], trainer: object) -> None:
    """Print how much each group adds to the peak of the process's memory, or to a GPU's."""
    rows = []
    fit([one], replace(trainer, max_epochs=2), num_workers=1)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for count in counts:
        members = [replace(one, seed=seed) for seed in range(count)]
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        fit(members, replace(trainer, max_epochs=2), num_workers=1, group_size=count)
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024
        if torch.cuda.is_available():
            peak = torch.cuda.max_memory_allocated() / 2**20
        rows.append([count, peak, peak / count, time.perf_counter() - started])
    rivals.table(["members", "MiB more than one needs", "a member", "seconds to set up and take 2 epochs"], rows)


if __name__ == "__main__":
    main()
