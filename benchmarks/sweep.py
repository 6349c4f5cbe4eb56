"""Time a sweep and repeated cross-validation in worker processes against one default-Lightning process for each job.

python benchmarks/sweep.py [--jobs 16] [--fits 100] [--epochs 1000] [--rounds 1]

The jobs of the rival take equal time: `--rival-jobs` of them are timed one after another and two more at the same time.
The time of all jobs is computed from the medians.
"""

import argparse
import statistics
import time
from dataclasses import replace

import numpy as np
import rivals
from sklearn.model_selection import RepeatedStratifiedKFold

from hemexp.config import OptimizerConfig
from hemexp.training.fit import fit
from hemexp.training.member import Member


def main() -> None:
    """Print a table for the sweep and one for cross-validation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--fits", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rival-jobs", type=int, default=2)
    options = parser.parse_args()
    member, trainer = rivals.main_member(), rivals.trainer_config(options.epochs)
    rates = (1e-3, 3e-4)
    sweep = [
        replace(member, seed=seed, optimizer=OptimizerConfig(rates[seed % len(rates)])) for seed in range(options.jobs)
    ]
    folds = cross_validation(member, options.fits)
    times: dict[str, list[float]] = {name: [] for name in ("one", "two", "fit", "sweep", "cv")}
    for _ in range(options.rounds):
        for number in range(options.rival_jobs):
            times["one"].append(timed(lambda number=number: rivals.start_process(options.epochs, number).wait()))
        times["two"].append(
            timed(lambda: [p.wait() for p in [rivals.start_process(options.epochs, seed) for seed in (0, 1)]]) / 2
        )
        times["fit"].append(timed(lambda: rivals.default_lightning(member, options.epochs)))
        times["sweep"].append(timed(lambda: fit(sweep, trainer)))
        times["cv"].append(timed(lambda: fit(folds, trainer)))
    median = {name: statistics.median(values) for name, values in times.items()}
    in_turn, two_at_a_time = options.jobs * median["one"], options.jobs * median["two"]
    rows: list[list[object]] = [
        [f"{options.jobs} jobs, hemexp", median["sweep"], 1.0],
        ["one default-Lightning process a job, in turn", in_turn, in_turn / median["sweep"]],
        ["the same, two at a time", two_at_a_time, two_at_a_time / median["sweep"]],
    ]
    rivals.table(["a sweep", "seconds", "times hemexp's"], rows)
    rows = [
        ["one default-Lightning fit", median["fit"], 1.0],
        [f"{options.fits} fits of repeated 5-fold, hemexp", median["cv"], median["cv"] / median["fit"]],
    ]
    rivals.table(["cross-validation", "seconds", "times the one fit"], rows)


def timed(run: rivals.Run) -> float:
    """Return the seconds of a run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def cross_validation(member: Member, fits: int) -> list[Member]:
    """Return a member for each fold of repeated stratified 5-fold cross-validation, each with another seed."""
    data = rivals.load_data()
    labels = data.labels["expansion"].to_numpy()
    labeled = np.flatnonzero(~np.isnan(labels))
    splitter = RepeatedStratifiedKFold(n_splits=5, n_repeats=-(-fits // 5), random_state=0)
    folds = list(splitter.split(labeled, labels[labeled]))[:fits]
    return [
        replace(member, seed=seed, training_set=data.build_training_set(labeled[train]))
        for seed, (train, _) in enumerate(folds)
    ]


if __name__ == "__main__":
    main()
