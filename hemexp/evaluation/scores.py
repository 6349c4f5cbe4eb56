"""How good predictions are, with intervals: the scores of one test part.

Accuracy stands beside the majority rate and has the exact (Clopper-Pearson) interval. AUROC has Newcombe's interval,
which holds at 1.0 and in small samples where the bootstrap's shrinks to a point. The others have the percentile
interval of a bootstrap within each outcome.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, norm

Array = np.ndarray[Any, Any]
Score = dict[str, float | None]

CONFIDENCE = 0.95
_RESAMPLES = 2000
_CELLS = 10_000_000  # weights held at once
_TINY = 1e-15  # probabilities are drawn in by this much before the logarithm


def score_predictions(labels: Array, probabilities: Array, majority: int, prefix: str = "test/") -> dict[str, Score]:
    """Return accuracy, majority_accuracy, auroc, auprc, brier and log_loss, each with a 95 % interval.

    Args:
        labels: 1 or 0.
        probabilities: of 1.
        majority: the more frequent label of the training part; its accuracy is what answering it always scores.
        prefix: of the keys.

    Shape:
        labels, probabilities: (N,).

    Returns:
        Key to ``value, low, high``; all three None where a score is not defined.
    """
    y = labels.astype(float)
    correct = {"accuracy": (probabilities > 0.5) == (y == 1), "majority_accuracy": y == majority}
    scores = {f"{prefix}{name}": proportion(hits) for name, hits in correct.items()}
    resampled = _bootstrap(y, probabilities) if len(y) else {}
    for name, measure in MEASURES.items():
        defined = len(y) > 0 and (name not in RANKING or 0 < y.sum() < len(y))
        value = float(measure(y, probabilities, np.ones((1, len(y))))[0]) if defined else None
        low, high = None, None
        if value is not None:
            tail = (1 - CONFIDENCE) / 2
            low, high = (float(q) for q in np.quantile(resampled[name], [tail, 1 - tail]))
            if name == "auroc":
                low, high = auroc_interval(value, int(y.sum()), int(len(y) - y.sum()))
        scores[f"{prefix}{name}"] = {"value": value, "low": low, "high": high}
    return scores


def prevalence_scores(labels: Array, share: float) -> dict[str, float | None]:
    """Return what giving everybody the training part's share of expansion scores: ``brier`` and ``log_loss``.

    Shape:
        labels: (N,).
    """
    y, weights = labels.astype(float), np.ones((1, len(labels)))
    constant = np.full(len(y), share)
    measures = {"brier": brier, "log_loss": log_loss}
    return {name: float(each(y, constant, weights)[0]) if len(y) else None for name, each in measures.items()}


def auroc(y: Array, p: Array, weights: Array) -> Array:
    """Return the area under the ROC curve for each row of weights, ties counted half.

    Shape:
        y, p: (N,); weights: (R, N), how often each patient counts; output (R,).
    """
    positive, negative = _by_probability(y, p, weights)
    below = np.cumsum(negative, axis=1) - negative
    return np.asarray((positive * (below + negative / 2)).sum(1) / (positive.sum(1) * negative.sum(1)))


def average_precision(y: Array, p: Array, weights: Array) -> Array:
    """Return the area under the precision-recall curve as average precision; shapes as in `auroc`."""
    positive, negative = (side[:, ::-1] for side in _by_probability(y, p, weights))
    true, false = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
    precision = np.divide(true, true + false, out=np.zeros_like(true), where=true + false > 0)
    return np.asarray((positive * precision).sum(1) / true[:, -1])


def brier(y: Array, p: Array, weights: Array) -> Array:
    """Return the mean squared error of the probabilities; shapes as in `auroc`."""
    return np.asarray(weights @ (p - y) ** 2 / weights.sum(1))


def log_loss(y: Array, p: Array, weights: Array) -> Array:
    """Return the mean negative log likelihood; shapes as in `auroc`."""
    return np.asarray(weights @ log_losses(y, p) / weights.sum(1))


def log_losses(y: Array, p: Array) -> Array:
    """Return each patient's negative log likelihood: (N,)."""
    p = np.clip(p, _TINY, 1 - _TINY)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log1p(-p)))


MEASURES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "auroc": auroc, "auprc": average_precision, "brier": brier, "log_loss": log_loss,
}  # fmt: skip
RANKING = ("auroc", "auprc")  # not defined where one outcome is missing


def auroc_interval(value: float, num_positive: int, num_negative: int) -> tuple[float, float]:
    """Return Newcombe's interval for an AUROC (Statistics in Medicine 2006;25:559-573, method 5).

    The bounds are the areas whose own standard error, after Hanley and McNeil with both group sizes replaced by their
    mean, just reaches the value observed.
    """
    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    half = (num_positive + num_negative) / 2 - 1

    def gap(area: float) -> float:
        spread = 1 + half * ((1 - area) / (2 - area) + area / (1 + area))
        return float(abs(value - area) - z * np.sqrt(area * (1 - area) * spread / (num_positive * num_negative)))

    low = brentq(gap, 0, value) if value > 0 and gap(0) > 0 else 0.0
    high = brentq(gap, value, 1) if value < 1 and gap(1) > 0 else 1.0
    if value == 1.0:
        low = brentq(gap, 0, 1 - 1e-12)
    if value == 0.0:
        high = brentq(gap, 1e-12, 1)
    return float(low), float(high)


def proportion(hits: Array) -> Score:
    """Return the share of hits with its exact (Clopper-Pearson) interval; all None without any patient."""
    if len(hits) == 0:
        return {"value": None, "low": None, "high": None}
    return exact_interval(float(hits.mean()), len(hits))


def exact_interval(share: float, count: int) -> Score:
    """Return a share of so many patients with its Clopper-Pearson interval; the hits need not be a whole number."""
    tail, hits = (1 - CONFIDENCE) / 2, share * count
    low = float(beta.ppf(tail, hits, count - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, count - hits)) if hits < count else 1.0
    return {"value": share, "low": low, "high": high}


def _bootstrap(y: Array, p: Array) -> dict[str, Array]:
    """Return each measure over resamples that keep the number of patients of each outcome."""
    rng = np.random.default_rng(0)
    drawn: dict[str, list[Array]] = {name: [] for name in MEASURES}
    left = _RESAMPLES
    while left:
        rows = max(1, min(left, _CELLS // len(y)))
        weights = np.zeros((rows, len(y)))
        for outcome in (0, 1):
            members = np.flatnonzero(y == outcome)
            if len(members):
                weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=rows)
        for name, measure in MEASURES.items():
            if name not in RANKING or 0 < y.sum() < len(y):
                drawn[name].append(measure(y, p, weights))
        left -= rows
    return {name: np.concatenate(values) for name, values in drawn.items() if values}


def _by_probability(y: Array, p: Array, weights: Array) -> tuple[Array, Array]:
    """Return the weight of positives and of negatives at each distinct probability, ascending: (R, G) each."""
    order = np.argsort(p, kind="stable")
    starts = np.flatnonzero(np.diff(p[order], prepend=-np.inf))
    positive = np.add.reduceat((weights * y)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * (1 - y))[:, order], starts, axis=1)
    return positive, negative
