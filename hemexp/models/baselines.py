"""Two baselines: the training prevalence, and the published BRAIN score, which is not fitted to these patients."""

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
from scipy.special import expit, logit

from hemexp.models.estimator import Estimator
from hemexp.types import Array


@dataclass(kw_only=True, eq=False)
class Prevalence(Estimator):
    """The share of training patients with expansion, as the risk of every patient."""

    allows_one_class: ClassVar[bool] = True
    fitted_names: ClassVar[tuple[str, ...]] = ("share",)
    share: float = field(init=False)

    def fit(self, X: Array, y: Array) -> Self:
        """Compute the share of outcome 1."""
        self.share = float(np.mean(y))
        return self

    def risk(self, X: Array) -> Array:
        """Return the share for each patient."""
        return np.full(len(X), self.share)


# Wang et al., Stroke 2015;46:376-381, doi 10.1161/STROKEAHA.114.006910: points from 0 to 24.
VOLUME_POINTS = ((10.0, 20.0), (0, 5, 7))  # mL: up to 10, up to 20, more
HOURS_POINTS = ((1.0, 2.0, 3.0, 4.0, 5.0), (5, 4, 3, 2, 1, 0))  # onset to scan: up to 1, ..., up to 5, more
RECURRENT_POINTS = 4  # an earlier hemorrhage; the tables record an earlier stroke of any kind, which is used instead
RISKS = (0.034, 0.858)  # published at 0 and at 24 points
MAX_POINTS = 24  # includes warfarin (6) and blood in the ventricles (2); the tables hold neither, so both count 0 here


@dataclass(kw_only=True, eq=False)
class Brain(Estimator):
    """The partial BRAIN score with its published points and risks.

    The inputs are the first volume (10^-3 mL), the hours from onset to the first scan, and previous stroke (1 or 0). A
    filled gap may lie between 0 and 1 and counts as a previous stroke from 0.5.
    """

    takes_raw_inputs: ClassVar[bool] = True
    allows_one_class: ClassVar[bool] = True

    def fit(self, X: Array, y: Array) -> Self:
        """Do nothing: the score is published."""
        return self

    def points(self, X: Array) -> Array:
        """Return the points of the three items.

        Shape:
            X: (N, 3). Output: (N,).
        """
        volume, hours, stroke = X.T
        points = _points(volume / 1000, VOLUME_POINTS) + _points(hours, HOURS_POINTS)
        return np.asarray(points + RECURRENT_POINTS * (stroke >= 0.5))

    def risk(self, X: Array) -> Array:
        """Return the published risk, interpolated linearly on the logit scale."""
        low, high = logit(RISKS)
        return np.asarray(expit(low + (high - low) * self.points(X) / MAX_POINTS))


def _points(values: Array, table: tuple[tuple[float, ...], tuple[int, ...]]) -> Array:
    limits, points = table
    return np.asarray(points)[np.searchsorted(limits, values)]  # a value on a limit gets the points below it
