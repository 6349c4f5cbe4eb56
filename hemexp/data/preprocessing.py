"""The paper's imputation, "the mean of the previous three values of the same kind", and scaling, fitted on training.

Within the training part a gap gets the mean of the three observed values before it in table order. Any other row gets
the mean of the training part's last three, so that nobody's prediction depends on who else is in the file.
"""

from dataclasses import dataclass

import numpy as np

from hemexp.types import Array


def fill_from_previous(values: Array, count: int = 3) -> Array:
    """Fill each gap with the mean of the `count` observed values before it in its column, or of as many as there are.

    Filled values are never averaged again. A gap that nothing precedes stays.

    Shape:
        values: (N, F), NaN marks a gap.
        Output: (N, F).
    """
    filled = values.copy()
    for column in np.flatnonzero(np.isnan(values).any(axis=0)):
        observed = np.flatnonzero(~np.isnan(values[:, column]))
        known = np.concatenate([[0.0], np.cumsum(values[observed, column])])
        for row in np.flatnonzero(np.isnan(values[:, column])):
            end = int(np.searchsorted(observed, row))
            start = max(0, end - count)
            if end > start:
                filled[row, column] = (known[end] - known[start]) / (end - start)
    return filled


def mean_of_last(values: Array, count: int = 3) -> Array:
    """Return the mean of each column's last `count` observed values; 0 for a column without any.

    Shape:
        values: (N, F). Output: (F,).
    """
    means = np.zeros(values.shape[1])
    for column in range(values.shape[1]):
        observed = values[~np.isnan(values[:, column]), column]
        if len(observed):
            means[column] = observed[-count:].mean()
    return means


@dataclass(frozen=True)
class Preprocessing:
    """What turns raw inputs into a network's: gaps become `fill`, then ``clamp((x - mean) / scale, -clip, clip)``.

    Attributes:
        fill: (F,) in each input's own unit.
        mean: (F,) of the completed training rows.
        scale: (F,) their standard deviation; infinite for an input that is constant in training, which silences it.
        clip: in standard deviations; with up to 100 training rows none of them can lie beyond 10.
    """

    fill: Array
    mean: Array
    scale: Array
    clip: float


def fit_preprocessing(training: Array, clip: float) -> tuple[Preprocessing, Array]:
    """Fit imputation and scaling on the training rows, in table order.

    Shape:
        training: (N, F), NaN marks a gap.

    Returns:
        What other rows need, and the completed training rows (N, F).
    """
    fill = mean_of_last(training)
    completed = fill_from_previous(training)
    completed = np.where(np.isnan(completed), fill, completed)
    mean, scale = completed.mean(axis=0), completed.std(axis=0)
    constant = scale <= 1e-6 * np.abs(completed).max(axis=0)
    return Preprocessing(fill, mean, np.where(constant, np.inf, scale), clip), completed
