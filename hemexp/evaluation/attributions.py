"""Importance of the inputs for the ranking of held-out patients, and its stability.

The importance of an input is the loss of AUROC when the input is shuffled among the held-out patients of a fold
(Breiman, Machine Learning 2001;45:5-32). Correlated inputs share their importance: each of them may look unimportant.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hemexp.evaluation.cross_validation import CrossValidated
from hemexp.evaluation.pipeline import Pipeline
from hemexp.files.result import Attributions
from hemexp.metrics.table import METRICS
from hemexp.models.predictor import Predictor
from hemexp.types import Array

_TOP = 10


@dataclass(frozen=True)
class _FittedEstimator:
    """A fitted predictor with the two methods that scikit-learn's `permutation_importance` needs."""

    predictor: Predictor

    def fit(self, X: Array, y: Array) -> "_FittedEstimator":
        return self

    def auroc(self, X: Array, y: Array) -> float:
        return METRICS["auroc"].compute(y, self.predictor.predict(X))


def attributions(
    pipeline: Pipeline, validated: CrossValidated, permutations: int
) -> tuple[Attributions, pd.DataFrame] | None:
    """Return the summary of the importances and the table of attributions.csv; None for a model without inputs.

    The intervals over folds are those of Nadeau and Bengio; correlations between repeats are Spearman's.

    Args:
        pipeline: the cross-validated pipeline.
        validated: its cross-validation.
        permutations: of each input in each fold.
    """
    if not pipeline.features:
        return None
    by_fold = np.stack(
        [
            _get_importances(predictor, pipeline.raw[fold.test], pipeline.labels[fold.test], permutations, fold.seed)
            for fold, predictor in zip(validated.folds, validated.predictors, strict=True)
        ]
    )  # (J, F): J folds, F inputs
    ranks = (-by_fold).argsort(axis=1).argsort(axis=1)
    scores = pd.DataFrame([vars(validated.corrected(column)) for column in by_fold.T], index=pipeline.features)
    scores["top10_share"] = ((ranks < _TOP) & (by_fold > 0)).mean(axis=0)
    table = scores.rename(columns={"value": "importance"}).rename_axis("feature").reset_index()
    table = table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    repeats = np.array([fold.repeat for fold in validated.folds])
    by_repeat = pd.DataFrame({repeat: by_fold[repeats == repeat].mean(axis=0) for repeat in np.unique(repeats)})
    summary = Attributions(
        method="loss of AUROC when the input is shuffled among the held-out patients of a fold",
        rank_correlation=_mean_correlation(by_repeat),
        num_fits=len(by_fold),
        top=table["feature"].head(_TOP).tolist(),
        clear=table.loc[table["low"] > 0, "feature"].tolist(),
    )
    return summary, table


def _get_importances(predictor: Predictor, X: Array, y: Array, permutations: int, seed: int) -> Array:
    from sklearn.inspection import permutation_importance

    estimator = _FittedEstimator(predictor)
    result = permutation_importance(
        estimator, X, y, scoring=_FittedEstimator.auroc, n_repeats=permutations, random_state=seed % 2**32
    )
    return np.asarray(result.importances_mean)


def _mean_correlation(by_repeat: pd.DataFrame) -> float | None:
    """Return the mean rank correlation between two repeats; None with fewer than two repeats or inputs."""
    count = by_repeat.shape[1]
    if count < 2 or len(by_repeat) < 2:
        return None
    correlation = by_repeat.corr(method="spearman").fillna(0).to_numpy()
    return float((correlation.sum() - np.trace(correlation)) / (count * (count - 1)))
