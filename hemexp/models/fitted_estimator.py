"""A fitted estimator behind its preprocessing: raw values in, probabilities out."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from hemexp.data.preprocessing import Preprocessing
from hemexp.data.training_set import TrainingSet
from hemexp.errors import UserError
from hemexp.models.baselines import Brain, Prevalence
from hemexp.models.boosting import CatBoost, LightGBM, XGBoost
from hemexp.models.estimator import Estimator
from hemexp.models.linear import Firth, Logistic, Ridge, Unpenalized
from hemexp.models.tabular import FTTransformer, TabM
from hemexp.models.trees import GradientBoosting, RandomForest
from hemexp.types import Array


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


def fit_estimator(model: Any, training_set: TrainingSet, seed: int) -> FittedEstimator:
    """Fit an estimator to a training_set's training part; the patients held out take no part.

    Args:
        model: configuration, with a `name` and settings.
        training_set: whom it learns from.
        seed: of whatever it draws.

    Raises:
        UserError: every outcome is the same, a package is missing, or the model cannot be fitted to these patients.
    """
    estimator = build_estimator(model, seed)
    events, patients = int(training_set.labels.sum()), len(training_set.labels)
    if not estimator.one_class and events in {0, patients}:
        raise UserError(f"model={model.name}: events={events} of {patients}; rule: patients with and without expansion")
    fitted = FittedEstimator(
        vars(model), training_set.features, training_set.label, training_set.preprocessing, estimator
    )
    estimator.fit(fitted.inputs(training_set.inputs), training_set.labels)
    return fitted


ESTIMATORS: dict[str, type[Estimator]] = {
    "prevalence": Prevalence,
    "volume": Unpenalized,
    "hours": Unpenalized,
    "brain": Brain,
    "ridge2": Ridge,
    "logistic": Logistic,
    "firth": Firth,
    "random_forest": RandomForest,
    "gradient_boosting": GradientBoosting,
    "xgboost": XGBoost,
    "lightgbm": LightGBM,
    "catboost": CatBoost,
    "tabm": TabM,
    "ft_transformer": FTTransformer,
}


def build_estimator(model: Any, seed: int) -> Estimator:
    """Return an unfitted estimator.

    Args:
        model: has a `name` of `ESTIMATORS` and, as attributes, that estimator's settings.
        seed: of whatever it draws.

    Raises:
        UserError: there is no such estimator.
    """
    settings = dict(vars(model))
    name = settings.pop("name")
    if name not in ESTIMATORS:
        raise UserError(f"model.name={name}: must be one of {', '.join(ESTIMATORS)}")
    return ESTIMATORS[name](seed=seed, **settings)


def estimator_content(estimator: Estimator) -> dict[str, Any]:
    """Return what a checkpoint holds of a fitted estimator: plain values and tensors, nobody's data."""
    return estimator.content()


def estimator_from_content(model: Mapping[str, Any], content: Mapping[str, Any]) -> Estimator:
    """Return the fitted estimator of a checkpoint's content.

    Args:
        model: its name and settings, as in ``conf/model``.
        content: what `estimator_content` returned.
    """
    return build_estimator(SimpleNamespace(**model), seed=0).restore(content)
