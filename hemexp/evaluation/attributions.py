"""Which inputs a model's ranking rests on, measured on patients it was not fitted to, and how stable that is.

An input's importance is what the AUROC of held-out patients loses when the input is shuffled among them (Breiman,
Machine Learning 2001;45:5-32), in every fold of the cross-validation. Inputs that tell the same story share it: each
alone may look unimportant.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hemexp.evaluation.cross_validation import CrossValidated
from hemexp.evaluation.metrics import auroc
from hemexp.evaluation.pipeline import Pipeline
from hemexp.models.predictor import Predictor
from hemexp.types import Array

_TOP = 10


@dataclass(frozen=True)
class _Ready:
    """A fitted predictor, as scikit-learn wants an estimator."""

    predictor: Predictor

    def fit(self, X: Array, y: Array) -> "_Ready":
        return self

    def auroc(self, X: Array, y: Array) -> float:
        return float(auroc(y, self.predictor.predict(X), np.ones((1, len(y))))[0])


def attributions(
    pipeline: Pipeline, validated: CrossValidated, permutations: int
) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """Return the block ``attributions`` of result.json and the table of attributions.csv.

    Args:
        pipeline: that was cross-validated.
        validated: its result.
        permutations: of each input in each fold.

    Returns:
        ``clear`` are the inputs whose interval lies above zero; ``rank_correlation`` is the mean Spearman correlation
        between the importances of two repeats; intervals over folds are Nadeau-Bengio's. None without inputs.
    """
    if not pipeline.features:
        return None
    by_fold = np.stack(
        [
            _importances(predictor, pipeline.raw[part.test], pipeline.labels[part.test], permutations, part.seed)
            for part, predictor in zip(validated.parts, validated.predictors, strict=True)
        ]
    )  # (J, F)
    scores = [validated.corrected(column) for column in by_fold.T]
    ranks = (-by_fold).argsort(axis=1).argsort(axis=1)
    table = pd.DataFrame(
        {
            "feature": pipeline.features,
            "importance": [score["value"] for score in scores],
            "low": [score["low"] for score in scores],
            "high": [score["high"] for score in scores],
            "top10_share": ((ranks < _TOP) & (by_fold > 0)).mean(axis=0),
        }
    ).sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    repeats = np.array([part.repeat for part in validated.parts])
    by_repeat = pd.DataFrame({r: by_fold[repeats == r].mean(axis=0) for r in np.unique(repeats)})
    block = {
        "method": "loss of AUROC when the input is shuffled among the held-out patients of a fold",
        "rank_correlation": _mean_correlation(by_repeat),
        "num_fits": len(by_fold),
        "top": table["feature"].head(_TOP).tolist(),
        "clear": table.loc[table["low"] > 0, "feature"].tolist(),
    }
    return block, table


def _importances(predictor: Predictor, X: Array, y: Array, permutations: int, seed: int) -> Array:
    from sklearn.inspection import permutation_importance

    found = permutation_importance(
        _Ready(predictor), X, y, scoring=_Ready.auroc, n_repeats=permutations, random_state=seed % 2**32
    )
    return np.asarray(found.importances_mean)


def _mean_correlation(by_repeat: pd.DataFrame) -> float | None:
    """Return the mean rank correlation between two columns; None with fewer than two of either kind."""
    count = by_repeat.shape[1]
    if count < 2 or len(by_repeat) < 2:
        return None
    correlation = by_repeat.corr(method="spearman").fillna(0).to_numpy()
    return float((correlation.sum() - np.trace(correlation)) / (count * (count - 1)))
