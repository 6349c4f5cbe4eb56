"""The formula of a model in model.json: it predicts one patient without PyTorch and without the checkpoint."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hemexp.errors import UserError
from hemexp.files.logits import expit, logit
from hemexp.files.result import entry

LOGISTIC, POINTS = "logistic", "points"


@dataclass(kw_only=True)
class Formula:
    """The formula of a model; each list has a value for each input, in order."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    kind: str = entry(
        "logistic: the logit is intercept + the sum of coefficient times scaled input; points: the logit is intercept "
        "+ slope times the sum of the points"
    )
    intercept: float = entry("of the logit")
    fill: list[float] = entry("value for a gap, in the input's own unit")
    coefficients: list[float] = entry("of the scaled inputs", default_factory=list)
    mean: list[float] = entry("is subtracted from the filled input", default_factory=list)
    scale: list[float | None] = entry("divides the difference; null: the scaled input is 0", default_factory=list)
    clip: float | None = entry("largest size of a scaled input; null: no limit", default=None)
    slope: float = entry("logit of one point", default=0.0)
    limits: list[list[float]] = entry("an input above the k-th limit has the points k + 1", default_factory=list)
    points: list[list[int]] = entry("of each input, one more than limits", default_factory=list)
    recalibration: list[float] = entry("intercept and slope of a recalibration; empty: none", default_factory=list)

    def __post_init__(self) -> None:
        used = (self.limits, self.points) if self.kind == POINTS else (self.coefficients, self.mean, self.scale)
        fits = self.kind in {LOGISTIC, POINTS} and all(len(each) == len(self.fill) for each in used)
        fits = fits and all(len(a) + 1 == len(b) for a, b in zip(self.limits, self.points, strict=False))
        if not fits or len(self.recalibration) not in {0, 2} or 0 in self.scale:
            raise UserError("formula: its lists do not fit together")

    def predict(self, raw: Sequence[float]) -> float:
        """Return the risk of a patient from the inputs in their own units; NaN marks a gap.

        Shape:
            raw: (F,).
        """
        risk = expit(self.intercept + sum(self._terms(raw)))
        if not self.recalibration:
            return risk
        intercept, slope = self.recalibration
        return expit(intercept + slope * logit(risk))

    def contributions(self, raw: Sequence[float]) -> list[float]:
        """Return the contribution of each input to the logit; 0 at the mean of the training part (kind logistic).

        Shape:
            raw: (F,). Output: (F,).
        """
        slope = self.recalibration[1] if self.recalibration else 1.0
        return [slope * term for term in self._terms(raw)]

    def _terms(self, raw: Sequence[float]) -> list[float]:
        filled = [fill if math.isnan(value) else value for value, fill in zip(raw, self.fill, strict=True)]
        if self.kind == POINTS:
            tables = zip(self.limits, self.points, filled, strict=True)
            return [self.slope * points[bisect_left(limits, value)] for limits, points, value in tables]
        clip = math.inf if self.clip is None else self.clip
        scaled = [
            0.0 if scale is None else min(max((value - mean) / scale, -clip), clip)
            for value, mean, scale in zip(filled, self.mean, self.scale, strict=True)
        ]
        return [coefficient * value for coefficient, value in zip(self.coefficients, scaled, strict=True)]
