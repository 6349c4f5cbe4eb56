"""Scores of the predictions for one test part, with 95 % intervals; the metrics are in `hemexp.metrics.table`.

Accuracy has the exact (Clopper-Pearson) interval and is reported with the majority rate. AUROC has Newcombe's interval:
it is valid at 1.0 and in small samples, where a bootstrap interval shrinks to a point. The other scores have a
bootstrap interval over patients. The share of events varies between the bootstrap samples, as it varies between groups
of patients. The percentiles are widened by Student's t (Hesterberg, The American Statistician 2015;69:371-386).
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, norm
from scipy.stats import t as student

from hemexp.files.result import PrevalenceBaseline, Score
from hemexp.metrics.table import NUM_RESAMPLES, STANDARD, Metric, score_points
from hemexp.types import Array

CONFIDENCE = 0.95
_CELLS = 10_000_000  # weights in memory at a time
_EQUAL = 1e-15  # scores of bootstrap samples that differ by less are the same


def score_predictions(
    labels: Array, probabilities: Array, majority: int, prefix: str = "test/", metrics: Sequence[Metric] = STANDARD
) -> dict[str, Score]:
    """Return the scores of the predictions, each with a 95 % interval.

    Args:
        labels: 1 or 0.
        probabilities: of 1.
        majority: the more frequent label of the training part; ``majority_accuracy`` is the accuracy of
            predicting it for every patient.
        prefix: of the keys.
        metrics: to compute.

    Shape:
        labels, probabilities: (N,).

    Returns:
        The scores by key; value, low and high are None where a score is not defined.

    Raises:
        UserError: a user's metric raises an error, or returns something else than a number.
    """
    y = labels.astype(float)
    points = score_points(y, probabilities, majority, metrics)
    defined = [metric for metric in metrics if not np.isnan(points[metric.name])]
    resampled = _bootstrap(y, probabilities, [metric for metric in defined if metric.interval == "bootstrap"])
    scores = {metric.name: Score() for metric in metrics}
    for metric in defined:
        value = points[metric.name]
        if metric.interval == "exact":
            scores[metric.name] = exact_interval(value, len(y))
        elif metric.interval == "newcombe":
            low, high = auroc_interval(value, int(y.sum()), int(len(y) - y.sum()))
            scores[metric.name] = Score(value=value, low=low, high=high)
        else:
            lower, upper = _percentiles(resampled[metric.name], len(y))
            scores[metric.name] = Score(value=value, low=lower, high=upper)
    return {f"{prefix}{name}": score for name, score in scores.items()}


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
    scores = score_points(labels.astype(float), np.full(len(labels), share), majority=0)
    return PrevalenceBaseline(brier=scores["brier"], log_loss=scores["log_loss"])


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


def _bootstrap(y: Array, p: Array, metrics: Sequence[Metric]) -> dict[str, Array]:
    """Return metrics in bootstrap samples; samples in which one is not defined are left out."""
    if not metrics:
        return {}
    rng = np.random.default_rng(0)
    drawn: dict[str, list[Array]] = {metric.name: [] for metric in metrics}
    done = 0
    while done < NUM_RESAMPLES:
        rows = max(1, min(NUM_RESAMPLES - done, _CELLS // len(y)))
        weights = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=rows).astype(float)
        has_both = (weights @ y > 0) & (weights @ (1 - y) > 0)
        for metric in metrics:
            count = max(0, metric.num_resamples - done)
            samples = weights[:count][has_both[:count]] if metric.needs_both_outcomes else weights[:count]
            drawn[metric.name].append(metric.function(y, p, samples))
        done += rows
    joined = {name: np.concatenate(values) for name, values in drawn.items()}
    return {name: values[np.isfinite(values)] for name, values in joined.items()}


def _percentiles(resampled: Array, num_patients: int) -> tuple[float | None, float | None]:
    """Return the ends of the interval; None where all samples have the same score (one patient, perfect ranking)."""
    if len(resampled) == 0 or np.ptp(resampled) < _EQUAL:
        return None, None
    reach = student.ppf((1 - CONFIDENCE) / 2, num_patients - 1) * np.sqrt(num_patients / (num_patients - 1))
    tail = float(norm.cdf(reach))
    low, high = (float(q) for q in np.quantile(resampled, [tail, 1 - tail]))
    return low, high
