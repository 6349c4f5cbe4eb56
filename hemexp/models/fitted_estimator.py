"""A fitted estimator with its preprocessing: raw values in, probabilities out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hemexp.config import list_settings
from hemexp.data.imputation import Preprocessing
from hemexp.data.training_set import TrainingSet
from hemexp.errors import UserError
from hemexp.models.estimator import Estimator
from hemexp.models.registry import build_estimator, get_source
from hemexp.types import Array


@dataclass(eq=False)
class FittedEstimator:
    """An estimator and the preprocessing of its inputs. `FittedNetwork` has the same methods.

    Attributes:
        model: name and settings of the estimator, as in ``model``.
        features: names of the inputs, in order.
        label: the definition of the training labels.
        preprocessing: fitted to the training part.
        estimator: fitted to inputs that `inputs` prepared.
    """

    model: dict[str, Any]
    features: list[str]
    label: dict[str, Any]
    preprocessing: Preprocessing
    estimator: Estimator

    def __post_init__(self) -> None:
        self.estimator.features = tuple(self.features)

    def inputs(self, raw: Array) -> Array:
        """Return the estimator's inputs: gaps filled and, unless it takes raw inputs, values scaled and clipped.

        Shape:
            raw: (N, F), NaN marks a gap. Output: (N, F).
        """
        statistics = self.preprocessing
        filled = np.where(np.isnan(raw), statistics.fill, raw)
        if self.estimator.takes_raw_inputs:
            return filled
        return np.clip((filled - statistics.mean) / statistics.scale, -statistics.clip, statistics.clip)

    def predict(self, raw: Array) -> Array:
        """Return the probability of expansion of each patient. It does not depend on the other patients.

        Shape:
            raw: (N, F), NaN marks a gap. Output: (N,), float64.
        """
        return self.estimator.predict_proba(self.inputs(np.asarray(raw, dtype=np.float64)))[:, 1]

    def content(self) -> dict[str, Any]:
        """Return the content of a checkpoint: plain values and tensors, without any patient's values."""
        statistics = {name: torch.tensor(getattr(self.preprocessing, name)) for name in ("fill", "mean", "scale")}
        return {
            "model": self.model,
            "features": self.features,
            "label": self.label,
            "preprocessing": {**statistics, "clip": self.preprocessing.clip},
            "estimator": self.estimator.content(),
            **get_source(self.model),
        }

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> "FittedEstimator":
        """Return the fitted estimator of a checkpoint's content, ready to predict."""
        statistics = content["preprocessing"]
        fill, mean, scale = (statistics[name].numpy() for name in ("fill", "mean", "scale"))
        for name, values in (("fill", fill), ("mean", mean), ("scale", scale)):
            if values.shape != (len(content["features"]),):
                rule = f"rule: a value for each of the {len(content['features'])} inputs"
                raise UserError(f"preprocessing.{name}: has the shape {values.shape}; {rule}")
        preprocessing = Preprocessing(fill, mean, scale, statistics["clip"])
        estimator = build_estimator(0, **content["model"]).restore(content["estimator"])
        return cls(content["model"], content["features"], content["label"], preprocessing, estimator)


def fit_estimator(model: Any, training_set: TrainingSet, seed: int) -> FittedEstimator:
    """Fit an estimator to the training patients. Validation patients are not used.

    Args:
        model: a configuration with a `name` and settings.
        training_set: the patients to learn from.
        seed: of the estimator's random draws.

    Raises:
        UserError: all outcomes are the same, a package is missing, or the model cannot be fitted to these patients.
    """
    settings = list_settings(model)
    estimator = build_estimator(seed, **settings)
    events, patients = int(training_set.labels.sum()), len(training_set.labels)
    if not estimator.allows_one_class and events in {0, patients}:
        raise UserError(f"model={model.name}: events={events} of {patients}; rule: patients with and without expansion")
    features, label = list(training_set.features), dict(training_set.label)
    fitted = FittedEstimator(settings, features, label, training_set.preprocessing, estimator)
    estimator.fit(fitted.inputs(training_set.inputs), training_set.labels)
    return fitted
