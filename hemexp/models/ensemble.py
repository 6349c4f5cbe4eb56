"""Several fitted models of one kind as one predictor, and the recalibration of their mean probability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import expit, logit

from hemexp.models.fitted_estimator import FittedEstimator
from hemexp.models.network import FittedNetwork
from hemexp.types import Array

Recalibration = tuple[float, float]  # intercept and slope
_CLIP = 1e-6  # keeps the logit of a probability of 0 or 1 finite


class Predicts(Protocol):
    """A fitted model."""

    def predict(self, raw: Array, /) -> Array:
        """Return the probability of expansion of each patient."""


@dataclass(eq=False)
class FittedEnsemble:
    """The mean probability of several models, recalibrated. `FittedNetwork` has the same methods.

    Attributes:
        members: of the same model, trained with different seeds.
        recalibration: of the mean; None to leave it as it is.
    """

    members: list[FittedNetwork | FittedEstimator]
    recalibration: Recalibration | None = None

    @property
    def model(self) -> dict[str, Any]:
        """Name and settings of the model."""
        return self.members[0].model

    @property
    def features(self) -> list[str]:
        """Names of the inputs, in order."""
        return self.members[0].features

    @property
    def label(self) -> dict[str, Any]:
        """The definition of the training labels."""
        return self.members[0].label

    def predict(self, raw: Array) -> Array:
        """Return the probability of expansion of each patient. It does not depend on the other patients.

        Shape:
            raw: (N, F), NaN marks a gap. Output: (N,), float64.
        """
        risks = average(self.members, raw)
        return risks if self.recalibration is None else recalibrate(risks, self.recalibration)

    def content(self) -> dict[str, Any]:
        """Return the content of a checkpoint: plain values and tensors, without any patient's values."""
        members = [member.content() for member in self.members]
        return build_content(members, self.recalibration)


def add_recalibration(
    predictor: "FittedNetwork | FittedEstimator | FittedEnsemble", more: Recalibration
) -> FittedEnsemble:
    """Return a model with one more recalibration, after its own: ``a + b (a0 + b0 logit p)``."""
    members = predictor.members if isinstance(predictor, FittedEnsemble) else [predictor]
    before = predictor.recalibration if isinstance(predictor, FittedEnsemble) else None
    (own_intercept, own_slope), (intercept, slope) = before or (0.0, 1.0), more
    return FittedEnsemble(members, (intercept + slope * own_intercept, slope * own_slope))


def average(members: Sequence[Predicts], raw: Array) -> Array:
    """Return the mean probability of several models; shapes as in `FittedEnsemble.predict`."""
    return np.asarray(np.mean([member.predict(raw) for member in members], axis=0))


def build_content(members: list[dict[str, Any]], recalibration: Recalibration | None) -> dict[str, Any]:
    """Return the content of an ensemble's checkpoint from those of its members."""
    names = [name for name in ("model", "features", "label", "requires") if name in members[0]]
    shared: dict[str, Any] = {name: members[0][name] for name in names}
    return {**shared, "members": members, "recalibration": list(recalibration or ())}


def get_recalibration(content: Mapping[str, Any]) -> Recalibration | None:
    """Return the recalibration in a checkpoint's content."""
    values = content["recalibration"]
    return (float(values[0]), float(values[1])) if values else None


def recalibrate(risks: Array, recalibration: Recalibration) -> Array:
    """Return ``expit(a + b logit p)`` for the intercept a and the slope b."""
    intercept, slope = recalibration
    return np.asarray(expit(intercept + slope * logit(np.clip(risks, _CLIP, 1 - _CLIP))))


def fit_recalibration(risks: Array, labels: Array) -> Recalibration:
    """Fit the intercept and the slope of logistic recalibration (Cox 1958) to out-of-fold probabilities.

    The outcomes are replaced by Platt's targets (1999), so that a perfect separation has a finite slope. A negative
    slope would reverse the ranking of the patients: it becomes 0, and every patient gets the share of expansion.

    Shape:
        risks, labels: (N,); both outcomes occur.
    """
    from sklearn.linear_model import LogisticRegression

    events, others = int(labels.sum()), int(len(labels) - labels.sum())
    targets = np.where(labels == 1, (events + 1) / (events + 2), 1 / (others + 2))
    logits = logit(np.clip(risks, _CLIP, 1 - _CLIP))
    outcomes = np.repeat([1, 0], len(labels))
    weights = np.concatenate([targets, 1 - targets])
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(np.concatenate([logits, logits])[:, None], outcomes, weights)
    slope = float(model.coef_[0, 0])
    if slope <= 0:
        return float(logit(targets.mean())), 0.0
    return float(model.intercept_[0]), slope
