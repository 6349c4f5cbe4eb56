"""Whether the evaluation says the truth, on simulated cohorts where the truth is known.

python benchmarks/simulation.py [--cohorts 400] [--patients 100] [--fresh 100000] [--jobs 2]

Four tables: how often the intervals of repeated cross-validation hold what the fold models score on fresh patients,
with signal and without; what calibration is found for a model that is calibrated; and how often a model is called
better than the baselines where there is nothing to find.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import binomtest

from hemexp.cohort.synthetic import best_possible_auroc, draw_patients
from hemexp.compose import load_config
from hemexp.config import BASELINES, ModelConfig, SyntheticDataConfig, TrainConfig
from hemexp.evaluation.calibration import calibration
from hemexp.evaluation.comparison import claim, compare
from hemexp.evaluation.cross_validation import cross_validate, repeated_folds
from hemexp.evaluation.recipe import Recipe
from hemexp.evaluation.scores import MEASURES
from hemexp.features import input_table

Array = np.ndarray[Any, Any]
POPULATION = SyntheticDataConfig("synthetic", prevalence=0.23)
NO_SIGNAL = SyntheticDataConfig("synthetic", prevalence=0.23, signal=0.0)
INPUTS = ("log_volume", "log_hours", "systolic", "stroke_history", "age")
_FRESH_SEED, _LARGE = 10**6, 1000


def cohort(data: SyntheticDataConfig, num_patients: int, seed: int) -> tuple[Any, Array, Array]:
    """Return patients, their true risks and outcomes drawn from these."""
    patients, risk = draw_patients(data, num_patients, seed)
    return patients, risk, (np.random.default_rng([seed, 1]).random(num_patients) < risk).astype(float)


def config(*overrides: str) -> TrainConfig:
    """Return a run's configuration."""
    return load_config(TrainConfig, ["trainer.progress_bar=false", *overrides])


def recipe(patients: Any, labels: Array, cfg: TrainConfig, model: ModelConfig | None = None) -> Recipe:
    """Return a model's recipe on simulated patients."""
    model = model or cfg.model
    names = model.inputs if model.inputs is not None else INPUTS
    return Recipe(cfg, model, names, input_table(patients, list(names)).to_numpy(), labels, {})


def covered(
    cfg: TrainConfig, num_patients: int, num_fresh: int, seed: int, data: SyntheticDataConfig = POPULATION
) -> dict[str, tuple[float, float, float, float]]:
    """Return value, low, high and truth of each score of a model, cross-validated on one cohort."""
    patients, _, labels = cohort(data, num_patients, seed)
    own = recipe(patients, labels, cfg)
    parts = repeated_folds(labels, range(num_patients), 5, 20, seed)
    (found,) = cross_validate([own], parts, cfg.trainer)
    fresh, _, outcomes = cohort(data, num_fresh, _FRESH_SEED)
    raw, weights = input_table(fresh, list(own.features)).to_numpy(), np.ones((1, num_fresh))
    risks = [predictor.predict(raw) for predictor in found.predictors]
    accuracy = np.mean([((each > 0.5) == (outcomes == 1)).mean() for each in risks])
    score = found.score("accuracy")
    result = {"accuracy": (float(score["value"]), float(score["low"]), float(score["high"]), float(accuracy))}
    for name, measure in MEASURES.items():
        score = found.score(name)
        truth = np.mean([measure(outcomes, each, weights)[0] for each in risks])
        result[name] = (float(score["value"]), float(score["low"]), float(score["high"]), float(truth))
    return result


def calibrated(seed: int) -> dict[str, tuple[float, float, float, float]]:
    """Return value, low, high and truth of the calibration of the true risk itself, in one large cohort."""
    _, risk, labels = cohort(POPULATION, _LARGE, seed)
    found = calibration(labels, risk[None])
    assert found is not None
    ideal = {"intercept": 0.0, "slope": 1.0}
    return {name: (*(found[name][key] for key in ("value", "low", "high")), ideal[name]) for name in ideal}


def claimed(cfg: TrainConfig, num_patients: int, seed: int) -> dict[str, bool]:
    """Return by which score a model is called better than the baselines on a cohort without signal."""
    patients, _, labels = cohort(NO_SIGNAL, num_patients, seed)
    own, *rivals = (recipe(patients, labels, cfg, each) for each in (cfg.model, *BASELINES))
    parts = repeated_folds(labels, range(num_patients), 5, 20, seed)
    every = cross_validate([own, *rivals], parts, cfg.trainer)
    names = [each.model.name for each in (own, *rivals)]
    rows = compare(dict(zip(names, every, strict=True)), labels, dict.fromkeys(names, np.full(num_patients, 0.5)))
    said = claim(rows)
    assert said is not None
    return {score: said[score].startswith("better") for score in ("auroc", "brier")}


def over_cohorts(task: Callable[[int], Any], num_cohorts: int, num_jobs: int) -> list[Any]:
    """Run a task for each cohort's seed, side by side."""
    return list(Parallel(n_jobs=num_jobs)(delayed(task)(seed) for seed in range(num_cohorts)))


def share(hits: int, count: int) -> str:
    """Return a share with its exact interval."""
    interval = binomtest(hits, count).proportion_ci(method="exact")
    return f"{100 * hits / count:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def print_coverage(title: str, found: list[dict[str, tuple[float, float, float, float]]]) -> None:
    """Print a table: how often intervals hold the truth, and on which side they miss."""
    print(f"\n| {title} | intervals that hold the truth | too low | too high | mean value | mean truth | mean width |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in found[0]:
        value, low, high, truth = np.array([each[name] for each in found]).T
        below, above = int((high < truth).sum()), int((low > truth).sum())
        numbers = f"{value.mean():.3f} | {truth.mean():.3f} | {(high - low).mean():.3f}"
        print(f"| {name} | {share(len(found) - below - above, len(found))} | {below} | {above} | {numbers} |")


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cohorts", type=int, default=400)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--fresh", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    size, count, jobs = options.patients, options.cohorts, options.jobs
    _, risk = draw_patients(POPULATION, options.fresh, _FRESH_SEED)
    print(f"{count} cohorts of {size} patients, prevalence 0.23; best possible AUROC {best_possible_auroc(risk):.3f}")
    title = "ridge2, 5-fold x 20"
    ridge = config("model=ridge2")
    print_coverage(title, over_cohorts(lambda seed: covered(ridge, size, options.fresh, seed), count, jobs))
    print_coverage(f"the true risk in {_LARGE} patients", over_cohorts(calibrated, count, jobs))
    weak = config("model=logistic", "model.C=0.01")
    silent = over_cohorts(lambda seed: covered(weak, size, options.fresh, seed, NO_SIGNAL), count, jobs)
    print_coverage("no signal: logistic, C=0.01", silent)
    print("\n| no signal | called better by AUROC | by Brier score |\n| --- | --- | --- |")
    for model in ("model=logistic model.C=1", "model=logistic model.C=0.01"):
        cfg = config(*model.split())
        said = over_cohorts(lambda seed, cfg=cfg: claimed(cfg, size, seed), count, jobs)
        shares = (share(sum(each[score] for each in said), count) for score in ("auroc", "brier"))
        print(f"| {model} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
