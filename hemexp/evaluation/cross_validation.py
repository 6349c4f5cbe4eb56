"""Repeated stratified cross-validation with corrected intervals and tests.

The scores of folds and repeats are not independent, because their patients overlap. Their variance is therefore
corrected after Nadeau and Bengio (Machine Learning 2003;52:239-281), as Bouckaert and Frank (PAKDD 2004) do for
repeated folds. It is at least the variance that the sampling of patients causes (`hemexp.evaluation.intervals`). The
AUROC is the mean over folds; the AUROC of pooled folds is biased downwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student

from hemexp.config import TrainerConfig
from hemexp.evaluation.folds import Fold
from hemexp.evaluation.intervals import patient_shares, standard_error
from hemexp.evaluation.metrics import CONFIDENCE, auprc_by_chance, exact_interval
from hemexp.evaluation.pipeline import Pipeline
from hemexp.files.result import Difference, Score
from hemexp.metrics.own import get_metrics
from hemexp.metrics.table import STANDARD, Metric, score_points
from hemexp.models.predictor import Predictor
from hemexp.training.fit import fit
from hemexp.training.member import FitResult
from hemexp.types import Array

ScoreCallback = Callable[[int, float], None]  # finished repeats, mean score over their folds; may raise Pruned


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """The predictions and scores of a model in all folds.

    Attributes:
        folds: index arrays and seed of each fold.
        labels: (N,) of all patients.
        probabilities: (R, N) out-of-fold risks; NaN for patients outside the cross-validation.
        scores: a row for each fold in the order of `folds`; the columns of cv_scores.csv without ``model``.
        predictors: the fitted model of each fold; empty where only risks are known.
        num_diverged: folds whose training loss ended as NaN or infinite; they predict with their best weights.
        metrics: in the columns of `scores`.
    """

    folds: list[Fold]
    labels: Array
    probabilities: Array
    scores: pd.DataFrame
    predictors: list[Predictor] = field(default_factory=list)
    num_diverged: int = 0
    metrics: Sequence[Metric] = STANDARD

    @cached_property
    def indices(self) -> Array:
        """Table positions of the cross-validated patients: (P,)."""
        return np.flatnonzero(np.isfinite(self.probabilities[0]))

    @cached_property
    def fold_numbers(self) -> Array:
        """The number of the fold in which each patient of `indices` is held out: (R, P)."""
        numbers = np.full(self.probabilities.shape, -1)
        for fold in self.folds:
            numbers[fold.repeat, fold.test] = fold.number
        return numbers[:, self.indices]

    @property
    def auprc_by_chance(self) -> float:
        """The mean AUPRC of the folds under random ranking."""
        outcomes = [self.labels[fold.test] for fold in self.folds]
        return float(np.mean([auprc_by_chance(int(y.sum()), len(y)) for y in outcomes]))

    def first(self, num_repeats: int) -> "CrossValidated":
        """Return the first repeats."""
        folds = [fold for fold in self.folds if fold.repeat < num_repeats]
        count = len(folds)
        risks, scores = self.probabilities[:num_repeats], self.scores.iloc[:count]
        return CrossValidated(folds, self.labels, risks, scores, self.predictors[:count], metrics=self.metrics)

    def score_all(self) -> dict[str, Score]:
        """Return the score of every metric by its key, such as ``cv/auroc``."""
        return {f"cv/{metric.name}": self.score(metric.name) for metric in self.metrics}

    def score(self, measure: str) -> Score:
        """Return the mean over folds with its interval, cut to the range of the score."""
        values, metric = self.scores[measure].to_numpy(), self._get_metric(measure)
        error = standard_error(metric, self._shares(metric), self.labels[self.indices])
        mean = corrected_t_test(values, self._test_over_train, error)
        if mean.value is None or mean.low is None or mean.high is None:
            return Score()
        low, high = max(metric.limits[0], mean.low), min(metric.limits[1], mean.high)
        if metric.interval == "exact":
            exact = exact_interval(mean.value, len(self.indices))
            low, high = min(low, exact.low or 0.0), max(high, exact.high or 1.0)
        return Score(value=mean.value, low=low, high=high)

    def difference(self, other: "CrossValidated", measure: str) -> Difference:
        """Return the mean score of this model minus the other's on the same folds, with interval and p value."""
        values = self.scores[measure].to_numpy() - other.scores[measure].to_numpy()
        metric = self._get_metric(measure)
        shares = self._shares(metric) - other._shares(metric)
        error = standard_error(metric, shares, self.labels[self.indices])
        return corrected_t_test(values, self._test_over_train, error)

    def corrected(self, values: Array) -> Score:
        """Return the mean of one value for each fold with its Nadeau-Bengio interval."""
        mean = corrected_t_test(values, self._test_over_train)
        return Score(value=mean.value, low=mean.low, high=mean.high)

    @property
    def _test_over_train(self) -> float:
        return float((self.scores["num_test"] / self.scores["num_train"]).mean())

    def _get_metric(self, name: str) -> Metric:
        return next(metric for metric in self.metrics if metric.name == name)

    def _shares(self, metric: Metric) -> Array:
        risks = self.probabilities[:, self.indices]
        return patient_shares(metric, self.labels[self.indices], risks, self.fold_numbers)


def corrected_t_test(values: Array, test_over_train: float, min_error: float | None = None) -> Difference:
    """Test the mean of the values of all folds against zero, after Nadeau and Bengio.

    The variance of the mean of J values with sample variance s² is estimated as ``(1/J + n_test/n_train) s²``.

    Args:
        values: one for each fold.
        test_over_train: number of held-out patients divided by the number of training patients.
        min_error: lower bound of the standard error; not used where it is NaN; see `hemexp.evaluation.intervals`.

    Shape:
        values: (J,); with fewer than two values, or with a NaN, the result is undefined.

    Returns:
        The mean with interval and p value; p is 1 where all values are zero.
    """
    if len(values) < 2 or np.isnan(values).any():
        return Difference()
    mean = float(values.mean())
    error = float(np.sqrt((1 / len(values) + test_over_train) * values.var(ddof=1)))
    if min_error is not None and min_error > error:  # false for NaN
        error = min_error
    freedom = len(values) - 1
    reach = float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    p_if_equal = 1.0 if abs(mean) < 1e-12 else 0.0  # p where all values are equal
    p = float(2 * student.sf(abs(mean) / error, freedom)) if error > 1e-12 else p_if_equal
    return Difference(value=mean, low=mean - reach, high=mean + reach, p=p)


def cross_validate(
    pipelines: Sequence[Pipeline], folds: Sequence[Fold], trainer: TrainerConfig, directory: Path | None = None
) -> list[CrossValidated]:
    """Fit every pipeline in every fold, in one call of `fit`, and score it on the held-out patients.

    Args:
        pipelines: on the same patients.
        folds: at least one; see `repeated_folds`.
        trainer: see `hemexp.training.fit`.
        directory: see `hemexp.training.fit`.
    """
    members = [pipeline.member(fold.train.tolist(), fold.seed) for pipeline in pipelines for fold in folds]
    results = fit(members, trainer, directory=directory)
    batches = (results[start : start + len(folds)] for start in range(0, len(results), len(folds)))
    return [score_folds(pipeline, list(folds), batch) for pipeline, batch in zip(pipelines, batches, strict=True)]


def fit_by_repeat(
    pipeline: Pipeline,
    folds: Sequence[Fold],
    trainer: TrainerConfig,
    callback: ScoreCallback,
    score: str,
    directory: Path | None = None,
) -> list[FitResult]:
    """Fit a pipeline in every fold, repeat by repeat, with the same results as in one call of `fit`.

    Args:
        pipeline: to fit.
        folds: in the order of their repeats.
        trainer: see `hemexp.training.fit`.
        callback: gets the mean score after every repeat.
        score: name of the score.
        directory: see `hemexp.training.fit`; each repeat has its folder in it.

    Raises:
        Pruned: raised by `callback`.
    """
    results: list[FitResult] = []
    scores: list[float] = []
    for repeat, group in groupby(folds, lambda fold: fold.repeat):
        in_repeat = list(group)
        members = [pipeline.member(fold.train.tolist(), fold.seed) for fold in in_repeat]
        fitted = fit(members, trainer, directory=directory and directory / f"repeat-{repeat}")
        scores += score_folds(pipeline, in_repeat, fitted).scores[score].tolist()
        results += fitted
        callback(repeat + 1, float(np.mean(scores)))
    return results


def score_folds(pipeline: Pipeline, folds: list[Fold], results: Sequence[FitResult]) -> CrossValidated:
    """Score the fit of each fold on its held-out patients."""
    predictors, metrics = [result.predictor() for result in results], get_metrics(pipeline.cfg.metrics)
    risks = [predictor.predict(pipeline.raw[fold.test]) for fold, predictor in zip(folds, predictors, strict=True)]
    num_diverged = sum(result.stopped_by == "diverged" for result in results)
    return replace(
        score_risks(pipeline.labels, folds, risks, metrics), predictors=predictors, num_diverged=num_diverged
    )


def score_risks(
    labels: Array, folds: list[Fold], risks: Sequence[Array], metrics: Sequence[Metric] = STANDARD
) -> CrossValidated:
    """Score the risks of the held-out patients of each fold.

    Args:
        labels: of all patients; 1 or 0 in the folds.
        folds: at least one.
        risks: of the held-out patients of each fold.
        metrics: to compute.
    """
    probabilities = np.full((folds[-1].repeat + 1, len(labels)), np.nan)
    rows = []
    for fold, held_out in zip(folds, risks, strict=True):
        probabilities[fold.repeat, fold.test] = held_out
        y, training_labels = labels[fold.test], labels[fold.train]
        row = {
            "repeat": fold.repeat,
            "fold": fold.number,
            "seed": fold.seed,
            "num_train": len(fold.train),
            "num_test": len(fold.test),
            "events_test": int(y.sum()),
        }
        rows.append({**row, **score_points(y, held_out, int(training_labels.mean() > 0.5), metrics)})
    return CrossValidated(folds, labels, probabilities, pd.DataFrame(rows), metrics=metrics)
