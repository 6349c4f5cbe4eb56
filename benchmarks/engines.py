"""Time the two engines: one run, and the fits of a cross-validation, of the paper's network and of the smallest one.

python benchmarks/engines.py [--epochs 200] [--fits 25] [--rounds 3]

The engines run in turn, in one process with one thread. The table has CPU seconds, which other programs on the machine
change less than the time on the clock.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import rivals
import sweep

from hemexp.config import TrainerConfig
from hemexp.training.fit import fit
from hemexp.training.member import Member


def main() -> None:
    """Print the CPU seconds of each engine, and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--fits", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    trainer, rows = rivals.trainer_config(options.epochs), []
    for model in ("sacnn", "mlp"):
        member = rivals.main_member(overrides=[f"model={model}"])
        folds = sweep.cross_validation(member, options.fits)
        for name, members in (("one run", [member]), (f"{options.fits} fits of a cross-validation", folds)):
            times: dict[str, list[float]] = {"batched": [], "lightning": []}
            for _ in range(options.rounds):
                for engine, seconds in times.items():
                    seconds.append(measure([replace(each, engine=engine) for each in members], trainer))
            batched, lightning = (statistics.median(seconds) for seconds in times.values())
            rows.append([f"{model}: {name}", batched, lightning, lightning / batched])
    rivals.table(["engine", "batched (CPU s)", "lightning (CPU s)", "ratio"], rows)


def measure(members: Sequence[Member], trainer: TrainerConfig) -> float:
    """Return the CPU seconds of a training in this process."""
    started = time.process_time()
    fit(members, trainer, num_workers=1)
    return time.process_time() - started


if __name__ == "__main__":
    main()
