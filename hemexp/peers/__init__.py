"""Peers and baselines behind one interface: scaled inputs in, two probabilities out."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from hemexp.errors import UserError
from hemexp.peers.baselines import Brain, Prevalence
from hemexp.peers.boosting import CatBoost, LightGBM, XGBoost
from hemexp.peers.estimator import Estimator
from hemexp.peers.linear import Firth, Logistic, Ridge, Unpenalized
from hemexp.peers.tabular import FTTransformer, TabM
from hemexp.peers.trees import GradientBoosting, RandomForest

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
