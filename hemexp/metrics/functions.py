"""Standard scores for each row of weights: how often each patient counts in a bootstrap sample."""

from collections.abc import Callable

import numpy as np

from hemexp.types import Array

WeightedFunction = Callable[[Array, Array, Array], Array]
_TINY = 1e-15  # probabilities are clipped by this amount before the logarithm


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


def weighted_mean(by_patient: Callable[[Array, Array], Array]) -> WeightedFunction:
    """Return the function that averages a value of each patient; its shapes are those of `auroc`."""
    return lambda y, p, weights: np.asarray(weights @ by_patient(y, p) / weights.sum(1))


def hits(y: Array, p: Array) -> Array:
    """Return 1 for each patient whose outcome is predicted at the threshold 0.5, else 0: (N,)."""
    return np.asarray((p > 0.5) == (y == 1), dtype=float)


def squared_errors(y: Array, p: Array) -> Array:
    """Return the squared error of each patient's probability: (N,)."""
    return np.asarray((p - y) ** 2)


def log_losses(y: Array, p: Array) -> Array:
    """Return each patient's negative log likelihood: (N,)."""
    p = np.clip(p, _TINY, 1 - _TINY)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log1p(-p)))


brier = weighted_mean(squared_errors)
log_loss = weighted_mean(log_losses)
accuracy = weighted_mean(hits)


def _by_probability(y: Array, p: Array, weights: Array) -> tuple[Array, Array]:
    """Return the weights of events and of non-events at each distinct probability, in ascending order: (R, G) each."""
    order = np.argsort(p)
    starts = np.flatnonzero(np.diff(p[order], prepend=-np.inf))
    positive = np.add.reduceat((weights * y)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * (1 - y))[:, order], starts, axis=1)
    return positive, negative
