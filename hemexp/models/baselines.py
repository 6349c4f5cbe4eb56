"""Two baselines: the training prevalence, and the published BRAIN score, which is not fitted to these patients."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import expit, logit

from hemexp.config import BaselineConfig
from hemexp.files.formula import LOGISTIC, POINTS
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

    def list_terms(self) -> dict[str, Any] | None:
        """Return the logit of the share; a share of 0 or 1 has none."""
        if not 0 < self.share < 1:
            return None
        return {"kind": LOGISTIC, "intercept": float(logit(self.share)), "coefficients": [0.0] * len(self.features)}

    def risk(self, X: Array) -> Array:
        """Return the share for each patient."""
        return np.full(len(X), self.share)


# Wang et al., Stroke 2015;46:376-381, doi 10.1161/STROKEAHA.114.006910: points from 0 to 24.
VOLUME_POINTS = ((10_000.0, 20_000.0), (0, 5, 7))  # 10^-3 mL: up to 10 mL, up to 20 mL, more
HOURS_POINTS = ((1.0, 2.0, 3.0, 4.0, 5.0), (5, 4, 3, 2, 1, 0))  # onset to scan: up to 1, ..., up to 5, more
RISKS = (0.034, 0.858)  # published at 0 and at 24 points
MAX_POINTS = 24
_HALF = float(np.nextafter(0.5, 0))  # a filled gap of 0.5 counts as 1
ITEM_POINTS = {  # the most points of each item, by the columns that may hold it
    ("HM_volume",): 7,
    ("stroke_history",): 4,  # an earlier hemorrhage; the tables record an earlier stroke of any kind, used instead
    ("warfarin", "anticoagulation"): 6,  # warfarin; where the tables record any anticoagulation, it is used instead
    ("ventricular_blood",): 2,
    ("onset_to_first_scan",): 5,
}


def list_missing_items(features: Sequence[str]) -> dict[str, int]:
    """Return the items of the BRAIN score that are not among the inputs, with the points that each can add.

    They count 0, so that the risk of a patient who has one of them is too low.
    """
    return {columns[0]: points for columns, points in ITEM_POINTS.items() if not set(columns) & set(features)}


@dataclass(kw_only=True, eq=False)
class Brain(Estimator):
    """The BRAIN score with its published points and risks; an item that is not among the inputs counts 0.

    The inputs, by name, are the first volume (10^-3 mL), the hours from onset to the first scan, and 1 or 0 for the
    other items. A filled gap may lie between 0 and 1 and counts as 1 from 0.5.
    """

    takes_raw_inputs: ClassVar[bool] = True
    allows_one_class: ClassVar[bool] = True

    def fit(self, X: Array, y: Array) -> Self:
        """Do nothing: the score is published."""
        return self

    def points(self, X: Array) -> Array:
        """Return the points of the items that are among the inputs.

        Shape:
            X: (N, F). Output: (N,).
        """
        total = np.zeros(len(X), dtype=int)
        for values, (limits, points) in zip(X.T, self.list_points(), strict=True):
            total += np.asarray(points)[np.searchsorted(limits, values)]  # a value on a limit gets the points below it
        return total

    def list_points(self) -> list[tuple[tuple[float, ...], tuple[int, ...]]]:
        """Return the limits and the points of each input, in order: one more points than limits."""
        known = {"HM_volume": VOLUME_POINTS, "onset_to_first_scan": HOURS_POINTS}
        return [
            known.get(name) or ((_HALF,), (0, next(most for names, most in ITEM_POINTS.items() if name in names)))
            for name in self.features or BaselineConfig.INPUTS["brain"]
        ]

    def list_terms(self) -> dict[str, Any]:
        """Return the points and the published risks on the logit scale."""
        (low, high), table = logit(RISKS).tolist(), self.list_points()
        limits, points = [list(limits) for limits, _ in table], [list(points) for _, points in table]
        return {
            "kind": POINTS,
            "intercept": low,
            "slope": (high - low) / MAX_POINTS,
            "limits": limits,
            "points": points,
        }

    def risk(self, X: Array) -> Array:
        """Return the published risk, interpolated linearly on the logit scale."""
        low, high = logit(RISKS)
        return np.asarray(expit(low + (high - low) * self.points(X) / MAX_POINTS))
