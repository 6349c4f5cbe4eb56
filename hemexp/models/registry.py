"""Build a model from its name and its settings in ``conf/model``."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hemexp.errors import UserError
from hemexp.models.baselines import Brain, Prevalence
from hemexp.models.boosting import CatBoost, LightGBM, XGBoost
from hemexp.models.estimator import Estimator
from hemexp.models.linear import Firth, Logistic, Ridge
from hemexp.models.sacnn import CNN, MLP, SACNN, Attention, FeatureEmbedding, ParallelNetwork
from hemexp.models.tabular import FTTransformer, TabM
from hemexp.models.trees import GradientBoosting, RandomForest

NETWORKS: dict[str, Callable[..., ParallelNetwork]] = {"sacnn": SACNN, "cnn": CNN, "attention": Attention, "mlp": MLP}

ESTIMATORS: dict[str, type[Estimator]] = {
    "prevalence": Prevalence,
    "volume": Ridge,
    "hours": Ridge,
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


def build_network(num_features: int, *, name: str, init: str = "default", **sizes: Any) -> ParallelNetwork:
    """Return a new network; its weights come from torch's global generator.

    Args:
        num_features: inputs a patient.
        name: a key of `NETWORKS`.
        init: ``default``; ``zeros``, convolution weights and biases zero as the paper's section 3.2 says; or
            ``all_zeros``. A network cannot learn from either: a zeroed convolution gets a zero gradient through ReLU
            and stays zero, and a network of zeros predicts one constant.
        sizes: the other arguments of the network's constructor.

    Raises:
        UserError: there is no network of this name.
    """
    if name not in NETWORKS:
        raise UserError(f"model.name={name}: must be one of {', '.join(NETWORKS)}")
    net = NETWORKS[name](num_features, **sizes)
    _set_zeros(net, init)
    return net


def reset_network(net: ParallelNetwork, seed: int, init: str = "default") -> None:
    """Give a network the weights that a new one would have after ``torch.manual_seed(seed)``, in less time."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed also seeds GPUs, which takes longer than the draws
    for module in net.modules():  # in the order in which they were built
        if isinstance(module, nn.Conv1d | nn.Linear | FeatureEmbedding):
            module.reset_parameters()
    _set_zeros(net, init)


def _set_zeros(net: ParallelNetwork, init: str) -> None:
    zeroed = {"default": (), "zeros": (nn.Conv1d,), "all_zeros": (nn.Conv1d, nn.Linear)}[init]
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, zeroed):
                for parameter in module.parameters():
                    parameter.zero_()


def build_estimator(seed: int, *, name: str, **settings: Any) -> Estimator:
    """Return an unfitted estimator.

    Args:
        seed: of the estimator's random draws.
        name: a key of `ESTIMATORS`.
        settings: the other arguments of the estimator's constructor.

    Raises:
        UserError: there is no estimator of this name.
    """
    if name not in ESTIMATORS:
        raise UserError(f"model.name={name}: must be one of {', '.join(ESTIMATORS)}")
    return ESTIMATORS[name](seed=seed, **settings)
