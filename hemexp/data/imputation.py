"""Impute and scale the inputs with statistics of the training patients only.

The paper fills a gap with "the mean of the previous three values of the same kind". In a training patient, a gap gets
the mean of the three observed values before it in table order. In any other patient, it gets the mean of the last
three observed values of the training part. So a prediction does not depend on the other patients in the file.
"""

from dataclasses import dataclass

import numpy as np

from hemexp.types import Array


def fill_from_previous(values: Array, count: int = 3) -> Array:
    """Fill each gap with the mean of the `count` observed values before it in its column.

    If fewer values are observed before the gap, their mean is used. If none is, the gap remains. Filled values are not
    used to fill other gaps.

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
    """Return the mean of the last `count` observed values of each column; 0 for a column without observed values.

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
    """Statistics that turn raw inputs into model inputs: ``clamp((x - mean) / scale, -clip, clip)`` after filling.

    Attributes:
        fill: (F,) value for a gap, in the input's own unit.
        mean: (F,) mean of the filled training rows.
        scale: (F,) standard deviation of the filled training rows; infinite for an input that is constant in training,
            which sets the scaled input to 0.
        clip: in standard deviations. With at most 100 training rows, no training row can lie beyond 10.
    """

    fill: Array
    mean: Array
    scale: Array
    clip: float


def fit_preprocessing(training: Array, clip: float) -> tuple[Preprocessing, Array]:
    """Fit imputation and scaling to the training rows.

    Args:
        training: rows in table order, NaN marks a gap.
        clip: in standard deviations.

    Shape:
        training: (N, F).

    Returns:
        The statistics for other rows, and the filled training rows (N, F).
    """
    fill = mean_of_last(training)
    filled = fill_from_previous(training)
    filled = np.where(np.isnan(filled), fill, filled)
    mean, scale = filled.mean(axis=0), filled.std(axis=0)
    constant = scale <= 1e-6 * np.abs(filled).max(axis=0)
    return Preprocessing(fill, mean, np.where(constant, np.inf, scale), clip), filled
