"""A fitted estimator behind its preprocessing: raw values in, probabilities out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hemexp.errors import UserError
from hemexp.imputation import Preprocessing
from hemexp.members import Fold
from hemexp.peers import build_estimator, estimator_content, estimator_from_content
from hemexp.peers.estimator import Array, Estimator


class FittedEstimator:
    """An estimator and what it needs to predict from raw inputs.

    Args:
        model: its name and settings, as in ``conf/model``.
        features: names of the inputs, in order.
        label: the definition that the training labels followed.
        preprocessing: fitted on the training part.
        estimator: fitted on inputs that `inputs` prepared.
    """

    def __init__(
        self,
        model: Mapping[str, Any],
        features: Sequence[str],
        label: Mapping[str, Any],
        preprocessing: Preprocessing,
        estimator: Estimator,
    ) -> None:
        self.model, self.features, self.label = dict(model), list(features), dict(label)
        self.preprocessing, self.estimator = preprocessing, estimator

    def inputs(self, raw: Array) -> Array:
        """Return what the estimator is given: gaps filled and, unless it wants them raw, values scaled and clipped.

        Shape:
            raw: (N, F), NaN marks a gap. Output: (N, F).
        """
        known = self.preprocessing
        filled = np.where(np.isnan(raw), known.fill, raw)
        if self.estimator.raw:
            return filled
        return np.clip((filled - known.mean) / known.scale, -known.clip, known.clip)

    def predict(self, raw: Array) -> Array:
        """Return the probability of expansion for each patient; nobody's depends on who else is asked about.

        Shape:
            raw: (N, F), NaN marks a gap. Output: (N,), float64.
        """
        return self.estimator.predict_proba(self.inputs(np.asarray(raw, dtype=np.float64)))[:, 1]

    def content(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it: plain values and tensors, nobody's data."""
        known = self.preprocessing
        statistics = {name: torch.tensor(getattr(known, name)) for name in ("fill", "mean", "scale")}
        return {
            "model": self.model,
            "features": self.features,
            "label": self.label,
            "preprocessing": {**statistics, "clip": known.clip},
            "estimator": estimator_content(self.estimator),
        }

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> "FittedEstimator":
        """Return the fitted estimator of a checkpoint's content, ready to predict."""
        known = content["preprocessing"]
        fill, mean, scale = (known[name].numpy() for name in ("fill", "mean", "scale"))
        preprocessing = Preprocessing(fill, mean, scale, known["clip"])
        estimator = estimator_from_content(content["model"], content["estimator"])
        return cls(content["model"], content["features"], content["label"], preprocessing, estimator)


def fit_estimator(model: Any, fold: Fold, seed: int) -> FittedEstimator:
    """Fit an estimator to a fold's training part; the patients held out take no part.

    Args:
        model: configuration, with a `name` and settings.
        fold: whom it learns from.
        seed: of whatever it draws.

    Raises:
        UserError: every outcome is the same, a package is missing, or the model cannot be fitted to these patients.
    """
    estimator = build_estimator(model, seed)
    events, patients = int(fold.labels.sum()), len(fold.labels)
    if not estimator.one_class and events in {0, patients}:
        raise UserError(f"model={model.name}: events={events} of {patients}; rule: patients with and without expansion")
    fitted = FittedEstimator(vars(model), fold.features, fold.label, fold.preprocessing, estimator)
    estimator.fit(fitted.inputs(fold.inputs), fold.labels)
    return fitted
