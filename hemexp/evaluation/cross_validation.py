"""Repeated stratified cross-validation, and what its scores allow to say.

The scores of one repeat's folds, and of all repeats, come from overlapping patients: their variance is corrected after
Nadeau and Bengio (Machine Learning 2003;52:239-281), as Bouckaert and Frank (PAKDD 2004) do for repeated folds, and is
never taken for less than the patients' own (`hemexp.evaluation.intervals`). AUROC is the mean over folds, never that of
pooled folds, which is biased downwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student

from hemexp.config import TrainerConfig
from hemexp.evaluation.folds import Fold
from hemexp.evaluation.intervals import patient_shares, standard_error
from hemexp.evaluation.metrics import CONFIDENCE, MEASURES, RANKING, Score, auprc_by_chance, exact_interval
from hemexp.evaluation.pipeline import Pipeline
from hemexp.models.predictor import Predictor
from hemexp.training.fit import fit
from hemexp.training.member import FitResult
from hemexp.types import Array

NOT_DEFINED: Score = {"value": None, "low": None, "high": None}
ScoreCallback = Callable[[int, float], None]  # repeats done, the mean score over their folds; may raise Pruned
MEASURED = ("accuracy", "majority_accuracy", *MEASURES)


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """A model on every fold.

    Attributes:
        parts: the folds.
        labels: (N,) of all patients.
        probabilities: (R, N) out-of-fold risks; NaN for who takes no part.
        scores: a row a fold, in order; columns as in cv_scores.csv, but the model.
        predictors: that of each fold.
        num_diverged: folds whose training loss was no number in the end; they predict with their best weights.
    """

    parts: list[Fold]
    labels: Array
    probabilities: Array
    scores: pd.DataFrame
    predictors: list[Predictor]
    num_diverged: int = 0

    @cached_property
    def indices(self) -> Array:
        """Table positions of those who take part."""
        return np.flatnonzero(np.isfinite(self.probabilities[0]))

    @cached_property
    def folds(self) -> Array:
        """The fold that each of `indices` is held out in, (R, P)."""
        folds = np.full(self.probabilities.shape, -1)
        for part in self.parts:
            folds[part.repeat, part.test] = part.fold
        return folds[:, self.indices]

    @property
    def auprc_by_chance(self) -> float:
        """The mean AUPRC of the folds, were each ranked at random."""
        outcomes = [self.labels[part.test] for part in self.parts]
        return float(np.mean([auprc_by_chance(int(y.sum()), len(y)) for y in outcomes]))

    def first(self, num_repeats: int) -> "CrossValidated":
        """Return the first repeats alone."""
        parts = [part for part in self.parts if part.repeat < num_repeats]
        count = len(parts)
        risks, scores = self.probabilities[:num_repeats], self.scores.iloc[:count]
        return CrossValidated(parts, self.labels, risks, scores, self.predictors[:count])

    def score(self, measure: str) -> Score:
        """Return the mean over folds with its interval, within what is possible."""
        values = self.scores[measure].to_numpy()
        tested = corrected_t_test(values, self._ratio, self._error(measure, self._shares(measure)))
        if tested["value"] is None or tested["low"] is None or tested["high"] is None:
            return NOT_DEFINED
        low, high = max(0.0, tested["low"]), tested["high"] if measure == "log_loss" else min(1.0, tested["high"])
        if measure.endswith("accuracy"):
            exact = exact_interval(tested["value"], len(self.indices))
            low, high = min(low, exact["low"] or 0.0), max(high, exact["high"] or 1.0)
        return {"value": tested["value"], "low": low, "high": high}

    def difference(self, other: "CrossValidated", measure: str) -> dict[str, float | None]:
        """Return this model's mean score minus another's on the same folds, with the corrected test's interval, p."""
        values = self.scores[measure].to_numpy() - other.scores[measure].to_numpy()
        own, theirs = self._shares(measure), other._shares(measure)
        error = None if own is None or theirs is None else self._error(measure, own - theirs)
        return corrected_t_test(values, self._ratio, error)

    def corrected(self, values: Array) -> Score:
        """Return the mean of any value of each fold with its Nadeau-Bengio interval."""
        tested = corrected_t_test(values, self._ratio)
        return {name: tested[name] for name in ("value", "low", "high")}

    @property
    def _ratio(self) -> float:
        return float((self.scores["num_test"] / self.scores["num_train"]).mean())

    def _shares(self, measure: str) -> Array | None:
        return patient_shares(measure, self.labels[self.indices], self.probabilities[:, self.indices], self.folds)

    def _error(self, measure: str, shares: Array | None) -> float | None:
        return None if shares is None else standard_error(measure, shares, self.labels[self.indices])


def corrected_t_test(
    values: Array, test_over_train: float, least_error: float | None = None
) -> dict[str, float | None]:
    """Test the mean of a value for each resample against zero, after Nadeau and Bengio.

    The variance of the mean of J values with sample variance s² is taken as ``(1/J + n_test/n_train) s²``.

    Args:
        values: of each resample.
        test_over_train: patients held out for each patient trained on.
        least_error: the standard error is this at least; see `hemexp.evaluation.intervals`.

    Shape:
        values: (J,), J at least 2 and all numbers; else nothing is defined.

    Returns:
        ``value, low, high, p``; p is 1 where all values are zero.
    """
    if len(values) < 2 or np.isnan(values).any():
        return {**NOT_DEFINED, "p": None}
    mean = float(values.mean())
    error = float(np.sqrt((1 / len(values) + test_over_train) * values.var(ddof=1)))
    if least_error is not None and least_error > error:  # false for NaN
        error = least_error
    freedom = len(values) - 1
    reach = float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    never = 1.0 if abs(mean) < 1e-12 else 0.0  # all values equal
    p = float(2 * student.sf(abs(mean) / error, freedom)) if error > 1e-12 else never
    return {"value": mean, "low": mean - reach, "high": mean + reach, "p": p}


def cross_validate(
    pipelines: Sequence[Pipeline],
    parts: Sequence[Fold],
    trainer: TrainerConfig,
    directory: Path | None = None,
    callback: ScoreCallback | None = None,
    callback_score: str = "auroc",
) -> list[CrossValidated]:
    """Fit every pipeline to every part, all in one go, and score each on who was held out.

    Args:
        pipelines: on the same patients.
        parts: at least one; see `repeated_folds`.
        trainer: see `hemexp.training.fit`.
        directory: likewise.
        callback: is told of the first pipeline, which is then fitted repeat by repeat, to the same numbers.
        callback_score: the score that `callback` is told.

    Raises:
        Pruned: `callback` ended it.
    """
    first = [] if callback is None else _fit_watched(pipelines[0], parts, trainer, directory, callback, callback_score)
    members = [pipeline.member(part.train.tolist(), part.seed) for pipeline in pipelines for part in parts][
        len(first) :
    ]
    results = [*first, *fit(members, trainer, directory=directory)]
    batches = (results[start : start + len(parts)] for start in range(0, len(results), len(parts)))
    return [score_parts(pipeline, list(parts), batch) for pipeline, batch in zip(pipelines, batches, strict=True)]


def _fit_watched(
    pipeline: Pipeline,
    parts: Sequence[Fold],
    trainer: TrainerConfig,
    directory: Path | None,
    callback: ScoreCallback,
    callback_score: str,
) -> list[FitResult]:
    """Fit a pipeline repeat by repeat, telling the mean score so far after each."""
    results: list[FitResult] = []
    values: list[float] = []
    for repeat in sorted({part.repeat for part in parts}):
        own = [part for part in parts if part.repeat == repeat]
        place = None if directory is None else directory / f"repeat-{repeat}"
        fitted = fit([pipeline.member(part.train.tolist(), part.seed) for part in own], trainer, directory=place)
        values += score_parts(pipeline, own, fitted).scores[callback_score].tolist()
        results += fitted
        callback(repeat + 1, float(np.mean(values)))
    return results


def score_parts(pipeline: Pipeline, parts: list[Fold], results: Sequence[FitResult]) -> CrossValidated:
    """Score the fit of each part on the patients held out."""
    predictors = [result.predictor() for result in results]
    num_diverged = sum(result.stopped_by == "diverged" for result in results)
    probabilities = np.full((parts[-1].repeat + 1, len(pipeline.labels)), np.nan)
    rows = []
    for part, predictor in zip(parts, predictors, strict=True):
        risks = predictor.predict(pipeline.raw[part.test])
        probabilities[part.repeat, part.test] = risks
        y, trained = pipeline.labels[part.test], pipeline.labels[part.train]
        row = {
            "repeat": part.repeat,
            "fold": part.fold,
            "seed": part.seed,
            "num_train": len(part.train),
            "num_test": len(part.test),
            "events_test": int(y.sum()),
        }
        rows.append({**row, **score_once(y, risks, majority=int(trained.mean() > 0.5))})
    return CrossValidated(parts, pipeline.labels, probabilities, pd.DataFrame(rows), predictors, num_diverged)


def score_once(y: Array, risks: Array, majority: int) -> dict[str, float]:
    """Return each score of one set of predictions, without interval; NaN where it is not defined."""
    weights = np.ones((1, len(y)))
    scores = {"accuracy": float(((risks > 0.5) == (y == 1)).mean()), "majority_accuracy": float((y == majority).mean())}
    for name, measure in MEASURES.items():
        defined = name not in RANKING or 0 < y.sum() < len(y)
        scores[name] = float(measure(y, risks, weights)[0]) if defined else float("nan")
    return scores
