"""Check of the evaluation on simulated cohorts with a known truth.

python benchmarks/simulation.py [--cohorts 400] [--patients 100] [--fresh 100000] [--jobs 2]

Five tables: how often the intervals of repeated cross-validation contain the score of the fold models in new patients,
with signal, with signal by the correction of Nadeau and Bengio alone, and without signal; the measured calibration of
the true risks; and how often a model is called better or worse than the baselines in cohorts without signal.

The AUPRC depends on the number of ranked patients. Its true value is therefore computed in groups of new patients of
the same size as the folds.
"""

import argparse
from collections.abc import Callable
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
from hemexp.evaluation.pipeline import Pipeline
from hemexp.files.result import Score
from hemexp.formatting import bounds
from hemexp.metrics.functions import auroc, brier, log_loss

Array = np.ndarray[Any, Any]
POPULATION = SyntheticDataConfig("synthetic", prevalence=0.23)
NO_SIGNAL = SyntheticDataConfig("synthetic", prevalence=0.23, signal=0.0)
INPUTS = ("log_volume", "log_hours", "systolic", "stroke_history", "age")
_NEW_SEED, _LARGE = 10**6, 1000
_CORRECTED = ("auroc", "brier", "log_loss")
_GROUPS = 1000  # groups of new patients, each as large as a fold
ScoreWithTruth = tuple[float, float, float, float]  # value, low, high and truth


def cohort(data: SyntheticDataConfig, num_patients: int, seed: int) -> tuple[Any, Array, Array]:
    """Return patients, their true risks and outcomes drawn from these risks."""
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


def cross_validated(
    cfg: TrainConfig, num_patients: int, num_new: int, seed: int, data: SyntheticDataConfig = POPULATION
) -> tuple[dict[str, ScoreWithTruth], dict[str, ScoreWithTruth]]:
    """Return the cross-validated scores of a model in one cohort: as in a run, and by the correction alone."""
    patients, _, labels = cohort(data, num_patients, seed)
    model = pipeline(patients, labels, cfg)
    folds = repeated_folds(labels, range(num_patients), 5, 20, seed)
    (validated,) = cross_validate([model], folds, cfg.trainer)
    new_patients, _, outcomes = cohort(data, num_new, _NEW_SEED)
    raw = input_table(new_patients, list(model.features)).to_numpy()
    truth = true_scores(validated, outcomes, [predictor.predict(raw) for predictor in validated.predictors])
    scores = {name: _add_truth(validated.score(name), value) for name, value in truth.items()}
    corrected = {
        name: _add_truth(validated.corrected(validated.scores[name].to_numpy()), truth[name]) for name in _CORRECTED
    }
    return scores, corrected


def true_scores(validated: CrossValidated, outcomes: Array, risks: list[Array]) -> dict[str, float]:
    """Return the mean scores of the fold models in new patients.

    Shape:
        outcomes: (N,); risks: one array (N,) for each fold model.
    """
    weights = np.ones((1, len(outcomes)))
    whole = {"auroc": auroc, "brier": brier, "log_loss": log_loss}
    scores = {name: np.mean([measure(outcomes, p, weights)[0] for p in risks]) for name, measure in whole.items()}
    scores["accuracy"] = np.mean([((p > 0.5) == (outcomes == 1)).mean() for p in risks])
    held_out = [validated.labels[fold.test] for fold in validated.folds]
    in_groups = [group_auprc(outcomes, p, int(y.sum()), len(y)) for p, y in zip(risks, held_out, strict=True)]
    return {name: float(value) for name, value in scores.items()} | {"auprc": float(np.mean(in_groups))}


def group_auprc(outcomes: Array, risks: Array, num_events: int, num_patients: int) -> float:
    """Return the mean average precision in groups of `num_patients` patients with `num_events` events."""
    sides = [(risks[outcomes == 1], num_events), (risks[outcomes == 0], num_patients - num_events)]
    count = min(_GROUPS, *(len(side) // size for side, size in sides))
    groups = np.hstack([side[: count * size].reshape(count, size) for side, size in sides])
    events = np.argsort(-groups, axis=1) < num_events  # the events are in the first columns
    precision = events.cumsum(axis=1) / np.arange(1, num_patients + 1)
    return float((events * precision).sum(axis=1).mean() / num_events)


def _add_truth(score: Score, truth: float) -> ScoreWithTruth:
    return (*bounds(score), truth)


def calibrated(seed: int) -> dict[str, ScoreWithTruth]:
    """Return the calibration of the true risks in one large cohort."""
    _, risk, labels = cohort(POPULATION, _LARGE, seed)
    result = calibration(labels, risk[None])
    assert result is not None
    return {"intercept": _add_truth(result.intercept, 0.0), "slope": _add_truth(result.slope, 1.0)}


def claims(cfg: TrainConfig, num_patients: int, seed: int) -> dict[str, str]:
    """Return the claim (better, not or worse) by AUROC and Brier score in one cohort without signal."""
    patients, _, labels = cohort(NO_SIGNAL, num_patients, seed)
    models = [cfg.model, *(model for model in BASELINES if model != cfg.model)]
    pipelines = [pipeline(patients, labels, cfg, model) for model in models]
    folds = repeated_folds(labels, range(num_patients), 5, 20, seed)
    validated = cross_validate(pipelines, folds, cfg.trainer)
    names = [each.name for each in pipelines]
    rows = compare(dict(zip(names, validated, strict=True)), labels, dict.fromkeys(names, np.full(num_patients, 0.5)))
    result = claim(rows)
    assert result is not None
    return {"auroc": result.auroc.partition(" ")[0], "brier": result.brier.partition(" ")[0]}


def over_cohorts(task: Callable[[int], Any], num_cohorts: int, num_jobs: int) -> list[Any]:
    """Run a task for the seed of each cohort, in parallel."""
    return list(Parallel(n_jobs=num_jobs)(delayed(task)(seed) for seed in range(num_cohorts)))


def share(hits: int, count: int) -> str:
    """Return a share with its exact interval."""
    interval = binomtest(hits, count).proportion_ci(method="exact")
    return f"{100 * hits / count:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def print_coverage(title: str, cohorts: list[dict[str, ScoreWithTruth]]) -> None:
    """Print a table: how often the intervals contain the truth, and on which side they miss it."""
    print(
        f"\n| {title} | intervals that contain the truth | too low | too high | mean value | mean truth | mean width |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in cohorts[0]:
        value, low, high, truth = np.array([scores[name] for scores in cohorts]).T
        below, above = int((high < truth).sum()), int((low > truth).sum())
        numbers = f"{value.mean():.3f} | {truth.mean():.3f} | {(high - low).mean():.3f}"
        print(f"| {name} | {share(len(cohorts) - below - above, len(cohorts))} | {below} | {above} | {numbers} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--fresh", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    size, count, jobs = options.patients, options.cohorts, options.jobs
    _, risk = draw_patients(POPULATION, options.fresh, _NEW_SEED)
    print(f"{count} cohorts of {size} patients, prevalence 0.23; best possible AUROC {best_possible_auroc(risk):.3f}")
    ridge, weak = config("model=ridge2"), config("model=logistic", "model.C=0.01")
    both = over_cohorts(lambda seed: cross_validated(ridge, size, options.fresh, seed), count, jobs)
    print_coverage("ridge2, 5-fold x 20", [scores for scores, _ in both])
    print_coverage("the same, Nadeau and Bengio alone", [corrected for _, corrected in both])
    no_signal = over_cohorts(lambda seed: cross_validated(weak, size, options.fresh, seed, NO_SIGNAL), count, jobs)
    print_coverage("no signal: logistic, C=0.01", [scores for scores, _ in no_signal])
    print_coverage(f"the true risks in {_LARGE} patients", over_cohorts(calibrated, count, jobs))
    print("\n| no signal | better by AUROC | by Brier score | worse by AUROC | by Brier score |")
    print("| --- | --- | --- | --- | --- |")
    for model in ("model=logistic model.C=1", "model=logistic model.C=0.01", "model=ridge2"):
        cfg = config(*model.split())
        results = over_cohorts(lambda seed, cfg=cfg: claims(cfg, size, seed), count, jobs)
        cells = [
            share(sum(result[score] == word for result in results), count)
            for word in ("better", "worse")
            for score in ("auroc", "brier")
        ]
        print(f"| {model} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
