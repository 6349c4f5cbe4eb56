"""How far a cross-validated score can be off because these patients are a sample.

Folds that are stratified by outcome all hold the same share of events: how much their scores differ says nothing of how
much that share, and the patients, would differ in another cohort. What does is the spread of the patients' own shares
in the score: their loss (Bayle et al., NeurIPS 2020;33:16339-16350), or for the AUROC their placement among the
patients of the other outcome in their fold (LeDell et al., Electronic Journal of Statistics 2015;9:1583-1607).
"""

import numpy as np

from hemexp.evaluation.metrics import log_losses
from hemexp.types import Array

LOSSES = {
    "accuracy": lambda y, p: ((p > 0.5) == (y == 1)).astype(float),
    "brier": lambda y, p: (p - y) ** 2,
    "log_loss": log_losses,
}


def placements(y: Array, p: Array, folds: Array) -> tuple[Array, Array]:
    """Return the share of the other outcome's patients in the same fold that a patient is ranked rightly against.

    Ties count half.

    Shape:
        y: (N,) 1 or 0; p, folds: (N,); both outputs (N,): the share, NaN where there is nobody to be ranked against,
        and how many there are.
    """
    share, count = np.full(len(y), np.nan), np.zeros(len(y))
    for fold in np.unique(folds):
        for outcome in (0, 1):
            own, other = np.flatnonzero((folds == fold) & (y == outcome)), (folds == fold) & (y != outcome)
            ranked = np.sort(p[other])
            if len(ranked) and len(own):
                below = (np.searchsorted(ranked, p[own], "left") + np.searchsorted(ranked, p[own], "right")) / 2
                right = below if outcome == 1 else len(ranked) - below
                share[own], count[own] = right / len(ranked), len(ranked)
    return share, count


def patient_shares(measure: str, y: Array, probabilities: Array, folds: Array) -> Array | None:
    """Return each patient's share in a score, averaged over repeats; None for a score that has no such shares.

    Shape:
        y: (N,); probabilities, folds: (R, N). Output: (N,).
    """
    if measure in LOSSES:
        return np.asarray(np.mean([LOSSES[measure](y, p) for p in probabilities], axis=0))
    if measure == "auroc":
        each = np.array([placements(y, p, fold)[0] for p, fold in zip(probabilities, folds, strict=True)])
        known = np.isfinite(each)
        total = np.where(known, each, 0.0).sum(0)
        return np.asarray(np.divide(total, known.sum(0), out=np.full(len(y), np.nan), where=known.any(0)))
    return None


def standard_error(measure: str, shares: Array, y: Array) -> float:
    """Return the standard error of a score, or of a difference of scores, from the patients' shares in it.

    Shape:
        shares, y: (N,).
    """
    groups = [shares[y == outcome] for outcome in (0, 1)] if measure == "auroc" else [shares]
    parts = [group[np.isfinite(group)] for group in groups]
    if min(len(part) for part in parts) < 2:
        return float("nan")
    return float(np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)))
