"""Whether the evaluation says the truth, on simulated cohorts where the truth is known.

python benchmarks/simulation.py [--cohorts 400] [--patients 100] [--fresh 100000] [--jobs 2]

Five tables: how often the intervals of repeated cross-validation hold what the fold models score on fresh patients,
with signal and without, and how often they would after Nadeau and Bengio alone; what calibration is found for a model
that is calibrated; and how often a model is called better or worse than the baselines where there is nothing to find.

An AUPRC depends on how many patients are ranked at once: its truth is that of fresh groups as small as the folds.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import binomtest

from hemexp.cohort.population import best_possible_auroc, draw_patients
from hemexp.config import BASELINES, ModelConfig, SyntheticDataConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.features import input_table
from hemexp.evaluation.calibration import calibration
from hemexp.evaluation.comparison import claim, compare
from hemexp.evaluation.cross_validation import CrossValidated, cross_validate
from hemexp.evaluation.folds import repeated_folds
from hemexp.evaluation.metrics import auroc, brier, log_loss
from hemexp.evaluation.pipeline import Pipeline
from hemexp.formatting import bounds

Array = np.ndarray[Any, Any]
POPULATION = SyntheticDataConfig("synthetic", prevalence=0.23)
NO_SIGNAL = SyntheticDataConfig("synthetic", prevalence=0.23, signal=0.0)
INPUTS = ("log_volume", "log_hours", "systolic", "stroke_history", "age")
_FRESH_SEED, _LARGE = 10**6, 1000
_CORRECTED = ("auroc", "brier", "log_loss")
_GROUPS = 1000  # of fresh patients, each as large as a fold
Covered = dict[str, tuple[float, float, float, float]]  # value, low, high and truth by score


def cohort(data: SyntheticDataConfig, num_patients: int, seed: int) -> tuple[Any, Array, Array]:
    """Return patients, their true risks and outcomes drawn from these."""
    patients, risk = draw_patients(data, num_patients, seed)
    return patients, risk, (np.random.default_rng([seed, 1]).random(num_patients) < risk).astype(float)


def config(*overrides: str) -> TrainConfig:
    """Return a run's configuration."""
    return load_config(TrainConfig, ["trainer.progress_bar=false", *overrides])


def pipeline(patients: Any, labels: Array, cfg: TrainConfig, model: ModelConfig | None = None) -> Pipeline:
    """Return a model's pipeline on simulated patients."""
    model = model or cfg.model
    names = model.inputs if model.inputs is not None else INPUTS
    return Pipeline(cfg, model, names, input_table(patients, list(names)).to_numpy(), labels, {})


def covered(
    cfg: TrainConfig, num_patients: int, num_fresh: int, seed: int, data: SyntheticDataConfig = POPULATION
) -> tuple[Covered, Covered]:
    """Return the scores of a model cross-validated on one cohort: as a run gives them; after the correction alone."""
    patients, _, labels = cohort(data, num_patients, seed)
    own = pipeline(patients, labels, cfg)
    parts = repeated_folds(labels, range(num_patients), 5, 20, seed)
    (found,) = cross_validate([own], parts, cfg.trainer)
    fresh, _, outcomes = cohort(data, num_fresh, _FRESH_SEED)
    raw = input_table(fresh, list(own.features)).to_numpy()
    truth = true_scores(found, outcomes, [predictor.predict(raw) for predictor in found.predictors])
    given = {name: _row(found.score(name), value) for name, value in truth.items()}
    corrected = {name: _row(found.corrected(found.scores[name].to_numpy()), truth[name]) for name in _CORRECTED}
    return given, corrected


def true_scores(found: CrossValidated, outcomes: Array, risks: list[Array]) -> dict[str, float]:
    """Return what the fold models score on fresh patients, on average.

    Shape:
        outcomes: (N,); risks: one (N,) a fold model.
    """
    weights = np.ones((1, len(outcomes)))
    whole = {"auroc": auroc, "brier": brier, "log_loss": log_loss}
    scores = {name: np.mean([measure(outcomes, each, weights)[0] for each in risks]) for name, measure in whole.items()}
    scores["accuracy"] = np.mean([((each > 0.5) == (outcomes == 1)).mean() for each in risks])
    held_out = [found.labels[part.test] for part in found.parts]
    in_groups = [group_auprc(outcomes, each, int(y.sum()), len(y)) for each, y in zip(risks, held_out, strict=True)]
    return {name: float(value) for name, value in scores.items()} | {"auprc": float(np.mean(in_groups))}


def group_auprc(outcomes: Array, risks: Array, num_events: int, num_patients: int) -> float:
    """Return the mean average precision in groups of so many patients, so many of them with the outcome."""
    sides = [(risks[outcomes == 1], num_events), (risks[outcomes == 0], num_patients - num_events)]
    count = min(_GROUPS, *(len(there) // size for there, size in sides))
    groups = np.hstack([there[: count * size].reshape(count, size) for there, size in sides])
    events = np.argsort(-groups, axis=1) < num_events  # the first columns are those with the outcome
    precision = events.cumsum(axis=1) / np.arange(1, num_patients + 1)
    return float((events * precision).sum(axis=1).mean() / num_events)


def _row(score: Mapping[str, float | None], truth: float) -> tuple[float, float, float, float]:
    return (*bounds(score), truth)


def calibrated(seed: int) -> Covered:
    """Return value, low, high and truth of the calibration of the true risk itself, in one large cohort."""
    _, risk, labels = cohort(POPULATION, _LARGE, seed)
    found = calibration(labels, risk[None])
    assert found is not None
    ideal = {"intercept": 0.0, "slope": 1.0}
    return {name: (*(found[name][key] for key in ("value", "low", "high")), ideal[name]) for name in ideal}


def claimed(cfg: TrainConfig, num_patients: int, seed: int) -> dict[str, str]:
    """Return what is said of a model beside the baselines, by score, on a cohort without signal."""
    patients, _, labels = cohort(NO_SIGNAL, num_patients, seed)
    rivals = [each for each in BASELINES if each != cfg.model]
    own, *others = (pipeline(patients, labels, cfg, each) for each in (cfg.model, *rivals))
    parts = repeated_folds(labels, range(num_patients), 5, 20, seed)
    every = cross_validate([own, *others], parts, cfg.trainer)
    names = [each.name for each in (own, *others)]
    rows = compare(dict(zip(names, every, strict=True)), labels, dict.fromkeys(names, np.full(num_patients, 0.5)))
    said = claim(rows)
    assert said is not None
    return {score: str(said[score]).partition(" ")[0] for score in ("auroc", "brier")}


def over_cohorts(task: Callable[[int], Any], num_cohorts: int, num_jobs: int) -> list[Any]:
    """Run a task for each cohort's seed, side by side."""
    return list(Parallel(n_jobs=num_jobs)(delayed(task)(seed) for seed in range(num_cohorts)))


def share(hits: int, count: int) -> str:
    """Return a share with its exact interval."""
    interval = binomtest(hits, count).proportion_ci(method="exact")
    return f"{100 * hits / count:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def print_coverage(title: str, found: list[Covered]) -> None:
    """Print a table: how often intervals hold the truth, and on which side they miss."""
    print(f"\n| {title} | intervals that hold the truth | too low | too high | mean value | mean truth | mean width |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in found[0]:
        value, low, high, truth = np.array([each[name] for each in found]).T
        below, above = int((high < truth).sum()), int((low > truth).sum())
        numbers = f"{value.mean():.3f} | {truth.mean():.3f} | {(high - low).mean():.3f}"
        print(f"| {name} | {share(len(found) - below - above, len(found))} | {below} | {above} | {numbers} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--fresh", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    size, count, jobs = options.patients, options.cohorts, options.jobs
    _, risk = draw_patients(POPULATION, options.fresh, _FRESH_SEED)
    print(f"{count} cohorts of {size} patients, prevalence 0.23; best possible AUROC {best_possible_auroc(risk):.3f}")
    ridge, weak = config("model=ridge2"), config("model=logistic", "model.C=0.01")
    found = over_cohorts(lambda seed: covered(ridge, size, options.fresh, seed), count, jobs)
    print_coverage("ridge2, 5-fold x 20", [given for given, _ in found])
    print_coverage("the same after Nadeau and Bengio alone", [corrected for _, corrected in found])
    silent = over_cohorts(lambda seed: covered(weak, size, options.fresh, seed, NO_SIGNAL), count, jobs)
    print_coverage("no signal: logistic, C=0.01", [given for given, _ in silent])
    print_coverage(f"the true risk in {_LARGE} patients", over_cohorts(calibrated, count, jobs))
    print("\n| no signal | better by AUROC | by Brier score | worse by AUROC | by Brier score |")
    print("| --- | --- | --- | --- | --- |")
    for model in ("model=logistic model.C=1", "model=logistic model.C=0.01", "model=ridge2"):
        cfg = config(*model.split())
        said = over_cohorts(lambda seed, cfg=cfg: claimed(cfg, size, seed), count, jobs)
        cells = [
            share(sum(each[score] == word for each in said), count)
            for word in ("better", "worse")
            for score in ("auroc", "brier")
        ]
        print(f"| {model} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
