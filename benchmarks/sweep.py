"""Many fits: a sweep and repeated cross-validation over worker processes, against a default-Lightning process a job.

python benchmarks/sweep.py [--jobs 16] [--fits 100] [--epochs 1000] [--rounds 1]

The rival's jobs are equal: `--rival-jobs` of them are run and timed, one after another and two at a time, and their
median stands for the rest.
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
    """Print the two targets' ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--fits", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rival-jobs", type=int, default=2)
    options = parser.parse_args()
    one, trainer = rivals.member(), rivals.trainer(options.epochs)
    rates = (1e-3, 3e-4)
    sweep = [
        replace(one, seed=seed, optimizer=OptimizerConfig(rates[seed % len(rates)])) for seed in range(options.jobs)
    ]
    folds = cross_validation(one, options.fits)
    times: dict[str, list[float]] = {name: [] for name in ("one", "two", "fit", "sweep", "cv")}
    for _ in range(options.rounds):
        for number in range(options.rival_jobs):
            times["one"].append(timed(lambda number=number: rivals.one_process(options.epochs, number).wait()))
        times["two"].append(
            timed(lambda: [p.wait() for p in [rivals.one_process(options.epochs, seed) for seed in (0, 1)]]) / 2
        )
        times["fit"].append(timed(lambda: rivals.default_lightning(one, options.epochs)))
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
    """Return the seconds a run takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def cross_validation(one: Member, fits: int) -> list[Member]:
    """Return the members of repeated stratified 5-fold over all labelled patients, a new seed each."""
    cohort = rivals.cohort()
    labels = cohort.labels["expansion"].to_numpy()
    known = np.flatnonzero(~np.isnan(labels))
    divisions = RepeatedStratifiedKFold(n_splits=5, n_repeats=-(-fits // 5), random_state=0)
    parts = list(divisions.split(known, labels[known]))[:fits]
    return [
        replace(one, seed=seed, training_set=cohort.build_training_set(known[train]))
        for seed, (train, _) in enumerate(parts)
    ]


if __name__ == "__main__":
    main()
