"""Scores of the predictions for one test part, with 95 % intervals.

Accuracy has the exact (Clopper-Pearson) interval and is reported with the majority rate. AUROC has Newcombe's interval:
it is valid at 1.0 and in small samples, where a bootstrap interval shrinks to a point. The other scores have a
bootstrap interval over patients. The share of events varies between the bootstrap samples, as it varies between groups
of patients. The percentiles are widened by Student's t (Hesterberg, The American Statistician 2015;69:371-386).
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, norm
from scipy.stats import t as student

from hemexp.files.result import PrevalenceBaseline, Score
from hemexp.types import Array

CONFIDENCE = 0.95
_RESAMPLES = 2000
_CELLS = 10_000_000  # weights in memory at a time
_TINY = 1e-15  # probabilities are clipped by this amount before the logarithm


def score_predictions(labels: Array, probabilities: Array, majority: int, prefix: str = "test/") -> dict[str, Score]:
    """Return accuracy, majority_accuracy, auroc, auprc, brier and log_loss, each with a 95 % interval.

    Args:
        labels: 1 or 0.
        probabilities: of 1.
        majority: the more frequent label of the training part; ``majority_accuracy`` is the accuracy of
            predicting it for every patient.
        prefix: of the keys.

    Shape:
        labels, probabilities: (N,).

    Returns:
        The scores by key; value, low and high are None where a score is not defined.
    """
    y = labels.astype(float)
    correct = {"accuracy": (probabilities > 0.5) == (y == 1), "majority_accuracy": y == majority}
    scores = {f"{prefix}{name}": proportion(hits) for name, hits in correct.items()}
    resampled = _bootstrap(y, probabilities) if len(y) else {}
    for name, value in score_points(y, probabilities).items():
        score = scores[f"{prefix}{name}"] = Score()
        if np.isnan(value):
            continue
        score.value = value
        if name == "auroc":
            score.low, score.high = auroc_interval(value, int(y.sum()), int(len(y) - y.sum()))
        else:
            score.low, score.high = _percentiles(resampled[name], len(y))
    return scores


def score_points(y: Array, p: Array) -> dict[str, float]:
    """Return auroc, auprc, brier and log_loss without intervals; NaN where a score is not defined.

    Shape:
        y, p: (N,).
    """
    has_both, weights = 0 < y.sum() < len(y), np.ones((1, len(y)))
    return {
        name: float(measure(y, p, weights)[0]) if has_both or (len(y) and name not in RANKING) else float("nan")
        for name, measure in MEASURES.items()
    }


def auprc_by_chance(num_events: int, num_patients: int) -> float:
    """Return the mean average precision of random rankings; with few patients it is clearly above the share of events.

    With P events among n patients, rank k holds an event with probability P / n. If it does, the first k ranks hold
    1 + (k - 1) (P - 1) / (n - 1) events on average.
    """
    ranks = np.arange(1, num_patients + 1)
    share_of_others = (num_events - 1) / max(1, num_patients - 1)
    return float(((1 + (ranks - 1) * share_of_others) / ranks).mean()) if num_events else float("nan")


def prevalence_scores(labels: Array, share: float) -> PrevalenceBaseline:
    """Return the scores of the same risk for every patient: the share of expansion in the training part.

    Args:
        labels: 1 or 0.
        share: 0 to 1.

    Shape:
        labels: (N,).
    """
    if len(labels) == 0:
        return PrevalenceBaseline(brier=None, log_loss=None)
    scores = score_points(labels.astype(float), np.full(len(labels), share))
    return PrevalenceBaseline(brier=scores["brier"], log_loss=scores["log_loss"])


def auroc(y: Array, p: Array, weights: Array) -> Array:
    """Return the area under the ROC curve for each row of weights; ties count half.

    Shape:
        y, p: (N,); weights: (R, N), how often each patient is counted; output: (R,).
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

    A bound is the area at a distance of z standard errors from the observed value. The standard error is computed at
    the bound, by the formula of Hanley and McNeil with both group sizes replaced by their mean.
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
    """Return the share of hits with its exact (Clopper-Pearson) interval; all None without patients."""
    if len(hits) == 0:
        return Score()
    return exact_interval(float(hits.mean()), len(hits))


def exact_interval(share: float, count: int) -> Score:
    """Return a share with its Clopper-Pearson interval.

    Args:
        share: 0 to 1; share times count may be a fraction, as in a mean over repeats.
        count: number of patients.
    """
    tail, hits = (1 - CONFIDENCE) / 2, share * count
    low = float(beta.ppf(tail, hits, count - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, count - hits)) if hits < count else 1.0
    return Score(value=share, low=low, high=high)


def _bootstrap(y: Array, p: Array) -> dict[str, Array]:
    """Return every measure except AUROC in bootstrap samples; samples in which it is not defined are left out."""
    rng = np.random.default_rng(0)
    drawn: dict[str, list[Array]] = {name: [] for name in MEASURES if name != "auroc"}
    remaining = _RESAMPLES
    while remaining:
        rows = max(1, min(remaining, _CELLS // len(y)))
        weights = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=rows).astype(float)
        has_both = (weights @ y > 0) & (weights @ (1 - y) > 0)
        for name, values in drawn.items():
            values.append(MEASURES[name](y, p, weights[has_both] if name in RANKING else weights))
        remaining -= rows
    return {name: np.concatenate(values) for name, values in drawn.items()}


def _percentiles(resampled: Array, num_patients: int) -> tuple[float | None, float | None]:
    """Return the ends of the interval; None where all samples have the same score (one patient, perfect ranking)."""
    if len(resampled) == 0 or np.ptp(resampled) < _TINY:
        return None, None
    reach = student.ppf((1 - CONFIDENCE) / 2, num_patients - 1) * np.sqrt(num_patients / (num_patients - 1))
    tail = float(norm.cdf(reach))
    low, high = (float(q) for q in np.quantile(resampled, [tail, 1 - tail]))
    return low, high


def _by_probability(y: Array, p: Array, weights: Array) -> tuple[Array, Array]:
    """Return the weights of events and of non-events at each distinct probability, in ascending order: (R, G) each."""
    order = np.argsort(p)
    starts = np.flatnonzero(np.diff(p[order], prepend=-np.inf))
    positive = np.add.reduceat((weights * y)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * (1 - y))[:, order], starts, axis=1)
    return positive, negative
