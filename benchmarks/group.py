"""Time groups of members in one process on one device, by group size, patients and inputs; measure their memory.

python benchmarks/group.py [--epochs 100] [--rounds 5] [--members 1 2 4 8 16 32] [--accelerator cpu]
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import rivals
import torch

from hemexp.data.training_set import build_training_set
from hemexp.training.fit import fit
from hemexp.training.member import Member
from hemexp.training.task import Curves, ExpansionTask

EPOCHS_OF_A_FIT = 1000  # for "fits a second"
OPERATIONS = {  # of PyTorch
    **dict.fromkeys(("bmm", "baddbmm", "addmm", "mm"), "matrix products"),
    "exp2": "exponentials",
    "addcmul": "their exponents",
    **dict.fromkeys(("threshold_backward", "maximum", "clamp_min", "sub"), "pooling and ReLU"),
    **dict.fromkeys(("cat", "copy", "repeat", "zero", "fill", "constant_pad_nd"), "copies"),
    "_fused_adam": "Adam",
}


def main() -> None:
    """Print tables of memory, group size, numbers of patients and inputs, and (on a CPU) the arithmetic limit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--accelerator", default="cpu")
    options = parser.parse_args()
    epochs, rounds = options.epochs, options.rounds
    trainer = rivals.trainer_config(epochs, accelerator=options.accelerator)
    member = rivals.main_member()
    if options.accelerator != "cpu":
        time_on_card(member, options.members, epochs, rounds, options.accelerator)
        return
    measure_memory(member, options.members, trainer)

    def group(member: Member, count: int) -> Callable[[], object]:
        members = [replace(member, seed=seed) for seed in range(count)]
        return lambda: fit(members, trainer, num_workers=1, group_size=count)

    runs = {f"{count} members": group(member, count) for count in options.members}
    runs["plain PyTorch loop, one by one"] = lambda: rivals.raw_loop(member, epochs)
    seconds = rivals.time_in_turn(runs, rounds)
    per_member = {name: value / int(name.split()[0]) if name[0].isdigit() else value for name, value in seconds.items()}
    base = per_member["plain PyTorch loop, one by one"]
    rows = [
        [name, 1000 * value / epochs, epochs / EPOCHS_OF_A_FIT / value, base / value]
        for name, value in per_member.items()
    ]
    rivals.table(["group", "ms an epoch and member", "fits of 1000 epochs a second", "times the rival's speed"], rows)

    group_size = 8
    shapes = {
        f"{patients} patients, {inputs} inputs": noise_member(member, patients, inputs)
        for patients, inputs in ((60, 72), (120, 72), (240, 72), (1000, 72), (60, 18), (60, 36), (60, 144))
    }
    runs = {name: group(shape, group_size) for name, shape in shapes.items()}
    runs |= {
        f"raw: {name}": lambda shape=shape: rivals.raw_loop(shape, max(2, epochs // 10))
        for name, shape in shapes.items()
    }
    seconds = rivals.time_in_turn(runs, max(1, rounds // 2))
    rows = []
    for name in shapes:
        batched, raw = seconds[name] / group_size / epochs, seconds[f"raw: {name}"] / max(2, epochs // 10)
        rows.append([name, 1000 * batched, 1000 * raw, raw / batched])
    rivals.table([f"size ({group_size} members)", "ms an epoch and member", "plain loop", "ratio"], rows)
    compare_with_limit(member, epochs)


def time_on_card(member: Member, counts: list[int], epochs: int, rounds: int, accelerator: str) -> None:
    """Time groups on a GPU, in turn: chunks of epochs, which end when the GPU has finished, and all other work."""
    chunks: list[float] = []
    original = ExpansionTask.training_step

    def timed(task: ExpansionTask, *args: Any) -> Curves:
        started, first = time.perf_counter(), task.epoch
        scores = original(task, *args)
        chunks.append(time.perf_counter() - started)
        if first:  # without the first epoch
            per_epoch.append(chunks[-1] / (task.epoch - first))
        return scores

    cfg = rivals.trainer_config(epochs, accelerator=accelerator)
    times: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    memory: dict[int, float] = {}
    with mock.patch.object(ExpansionTask, "training_step", timed):
        for count in [counts[0], *counts * rounds]:  # the first is a warm-up
            members = [replace(member, seed=seed) for seed in range(count)]
            per_epoch, started = list[float](), time.perf_counter()
            chunks.clear()
            torch.cuda.reset_peak_memory_stats()
            fit(members, cfg, num_workers=1, group_size=count)
            times[count].append((statistics.median(per_epoch), time.perf_counter() - started - sum(chunks)))
            memory[count] = torch.cuda.max_memory_allocated() / 2**20
    times[counts[0]].pop(0)
    medians = {count: [statistics.median(part) for part in zip(*pairs, strict=True)] for count, pairs in times.items()}
    seconds = {count: EPOCHS_OF_A_FIT * epoch + other for count, (epoch, other) in medians.items()}
    rows: list[list[object]] = []
    for count, (epoch, other) in medians.items():
        ratio = seconds[counts[0]] / counts[0] * count / seconds[count]
        rest = [1000 * other / count, f"{other / seconds[count]:.0%}"]
        rows.append([count, 1000 * epoch, 1e6 * epoch / count, *rest, count / seconds[count], ratio, memory[count]])
    header = ["members", "ms an epoch", "µs an epoch and member", "other work, ms a member", "its share of 1000 epochs"]
    rivals.table([*header, "fits of 1000 epochs a second", "times the first row's", "MiB"], rows)


def noise_member(member: Member, patients: int, inputs: int) -> Member:
    """Return the member with a training set of random numbers of the given size."""
    rng = np.random.default_rng(0)
    raw, labels = rng.normal(size=(patients, inputs)), (np.arange(patients) % 4 == 0).astype(float)
    return replace(member, training_set=build_training_set(raw, labels, range(patients)))


def compare_with_limit(member: Member, epochs: int) -> None:
    """Compare the time of 8 members with the time of their arithmetic alone at the measured speed of this core."""
    torch.set_num_threads(1)
    square = torch.randn(1024, 1024)
    exponents, powers = torch.randn(200_000), torch.empty(200_000)
    runs = {"product": lambda: square @ square, "exponentials": lambda: torch.exp2(exponents, out=powers)}
    members = [replace(member, seed=seed) for seed in range(8)]
    runs["8 members"] = lambda: rivals.same_step_loop(members, epochs)
    seconds = rivals.time_in_turn(runs, 5)
    flops = 2 * 1024**3 / seconds["product"]
    patients, inputs, heads = len(member.training_set.labels), len(member.training_set.features), 4
    exponentials = patients * heads * inputs**2
    limit = 50e6 * patients / 60 / flops + exponentials * seconds["exponentials"] / len(exponents)
    measured = seconds["8 members"] / 8 / epochs
    header = ["arithmetic limit", "GFLOP/s of this core", "exponentials a second", "limit, ms", "measured, ms", "share"]
    rate = f"{len(exponents) / seconds['exponentials']:.2g}"
    rivals.table(header, [["8 members", flops / 1e9, rate, 1000 * limit, 1000 * measured, f"{limit / measured:.0%}"]])
    show_parts(members, epochs, 1000 * measured)


def show_parts(members: list[Member], epochs: int, measured: float) -> None:
    """Print how the time of an epoch and member, in ms, is divided among PyTorch's operations."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        rivals.same_step_loop(members, epochs)
    milliseconds = dict.fromkeys([*OPERATIONS.values(), "other operations"], 0.0)
    for operation in profile.key_averages():
        if operation.key.startswith("aten::"):
            name = OPERATIONS.get(operation.key.removeprefix("aten::").removesuffix("_"), "other operations")
            milliseconds[name] += operation.self_cpu_time_total / 1000 / epochs / len(members)
    rows = [[name, value, f"{value / measured:.0%}"] for name, value in milliseconds.items()]
    rivals.table(["an epoch of 8 members: operations", "ms a member", "share of the epoch"], rows)


def measure_memory(member: Member, counts: list[int], trainer: object) -> None:
    """Print how much each group adds to the peak memory of the process."""
    rows = []
    fit([member], replace(trainer, max_epochs=2), num_workers=1)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for count in counts:
        members = [replace(member, seed=seed) for seed in range(count)]
        started = time.perf_counter()
        fit(members, replace(trainer, max_epochs=2), num_workers=1, group_size=count)
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024
        rows.append([count, peak, peak / count, time.perf_counter() - started])
    rivals.table(["members", "MiB more than one member", "MiB a member", "seconds for set-up and 2 epochs"], rows)


if __name__ == "__main__":
    main()
