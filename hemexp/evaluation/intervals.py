"""Standard error of a cross-validated score that the sampling of patients causes.

Folds that are stratified by outcome all have the same share of events. The spread of their scores therefore does not
show how much the score would change in another cohort with other patients and another share of events. The spread of
the patients' contributions to the score does. The contribution of a patient is the loss (Bayle et al., NeurIPS
2020;33:16339-16350), or for the AUROC the placement among the patients of the other outcome in the same fold (LeDell et
al., Electronic Journal of Statistics 2015;9:1583-1607).
"""

import numpy as np

from hemexp.metrics.table import METRICS, Metric
from hemexp.types import Array

_AUROC = METRICS["auroc"]


def placements(y: Array, p: Array, fold_numbers: Array) -> tuple[Array, Array]:
    """Return the placement of each patient: the share of correctly ordered pairs with patients of the other outcome.

    Only pairs in the same fold are counted; ties count half.

    Args:
        y: 1 or 0.
        p: risks.
        fold_numbers: the fold in which each patient was held out.

    Shape:
        y, p, fold_numbers: (N,); both outputs: (N,).

    Returns:
        The placements, NaN for a patient without a pair, and the number of pairs of each patient.
    """
    share, count = np.full(len(y), np.nan), np.zeros(len(y))
    for number in np.unique(fold_numbers):
        for outcome in (0, 1):
            in_fold = fold_numbers == number
            placed = np.flatnonzero(in_fold & (y == outcome))
            others = np.sort(p[in_fold & (y != outcome)])
            if len(others) and len(placed):
                below = (np.searchsorted(others, p[placed], "left") + np.searchsorted(others, p[placed], "right")) / 2
                correct = below if outcome == 1 else len(others) - below
                share[placed], count[placed] = correct / len(others), len(others)
    return share, count


def patient_shares(metric: Metric, y: Array, probabilities: Array, fold_numbers: Array) -> Array:
    """Return the contribution of each patient to a score, averaged over repeats; NaN if the score cannot be divided.

    Shape:
        y: (N,); probabilities, fold_numbers: (R, N); output: (N,).
    """
    if metric.by_patient is not None:
        return np.asarray(np.mean([metric.by_patient(y, p) for p in probabilities], axis=0))
    if metric is _AUROC:
        by_repeat = np.array([placements(y, p, fold)[0] for p, fold in zip(probabilities, fold_numbers, strict=True)])
        known = np.isfinite(by_repeat)
        total = np.where(known, by_repeat, 0.0).sum(0)
        return np.asarray(np.divide(total, known.sum(0), out=np.full(len(y), np.nan), where=known.any(0)))
    return np.full(len(y), np.nan)


def standard_error(metric: Metric, shares: Array, y: Array) -> float:
    """Return the standard error of a score, or of a difference of scores, from the contributions of the patients.

    It is NaN where fewer than two contributions are known.

    Shape:
        shares, y: (N,).
    """
    groups = [shares[y == outcome] for outcome in (0, 1)] if metric is _AUROC else [shares]
    known = [group[np.isfinite(group)] for group in groups]
    if min(len(group) for group in known) < 2:
        return float("nan")
    return float(np.sqrt(sum(group.var(ddof=1) / len(group) for group in known)))
