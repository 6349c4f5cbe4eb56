"""Build a model from its name and its settings in ``model``."""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

import torch
from torch import nn

from hemexp.config import (
    MODELS,
    CustomConfig,
    EstimatorConfig,
    ModelConfig,
    NetConfig,
    NetworkConfig,
    describe_setting,
    get_entry,
)
from hemexp.config.plugins import check_trust
from hemexp.errors import UserError
from hemexp.models.estimator import Estimator
from hemexp.models.external import ExternalEstimator, errors_of
from hemexp.models.sacnn import FeatureEmbedding, ParallelNetwork


def get_source(model: Mapping[str, Any]) -> dict[str, str]:
    """Return ``requires`` with the code that a checkpoint of this model needs; empty for a model of this package."""
    entry = get_entry(str(model["name"]))
    source = model["target"] if isinstance(model.get("target"), str) and not entry.plugin else entry.plugin
    return {} if entry.target or not source else {"requires": source}


def check_source(content: Mapping[str, Any]) -> None:
    """Refuse the content of a checkpoint that needs code which the user has not named or installed.

    Raises:
        UserError: names the code and the setting that allows it.
    """
    name = str(content["model"].get("name"))
    source = (get_source(content["model"]) if name in MODELS else content).get("requires")
    if source:
        # a network is built by a call of the target; a classifier is not
        check_trust(str(source), f"the model {name}", is_part="estimator" in content)


def build_network(num_features: int, *, name: str, **settings: Any) -> nn.Module:
    """Return a new network; its weights come from torch's global generator.

    Args:
        num_features: inputs a patient.
        name: of a network.
        settings: in ``model``. For the networks of this package, `init` is ``default``; ``zeros``, convolution weights
            and biases zero as the paper's section 3.2 says; or ``all_zeros``. A network cannot learn from either: a
            zeroed convolution gets a zero gradient through ReLU and stays zero, and a network of zeros predicts one
            constant.

    Raises:
        UserError: there is no network of this name, or it cannot be built.
    """
    entry = get_entry(name)
    settings.pop("init_from", None)  # a file of weights; see `hemexp.models.first_weights`
    if not entry.target:
        source = describe_setting("model", {"name": name, **settings})
        with errors_of(source):
            return _check_module(entry.schema(name, **settings).build(num_features), source)
    if not issubclass(entry.schema, NetConfig):
        raise UserError(f"model.name={name}: must be one of {', '.join(_list_names(NetConfig))}")
    init = settings.pop("init", "default")
    net: ParallelNetwork = resolve_name(f"hemexp.models.{entry.target}")(num_features, **settings)
    _set_zeros(net, init)
    return net


def reset_network(net: nn.Module, seed: int, init: str = "default") -> None:
    """Give a network the weights that a new one would have after ``torch.manual_seed(seed)``, in less time."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed also seeds GPUs, which takes longer than the draws
    for module in net.modules():  # in the order in which they were built
        if isinstance(module, nn.Conv1d | nn.Linear | FeatureEmbedding):
            module.reset_parameters()
    _set_zeros(net, init)


def _set_zeros(net: nn.Module, init: str) -> None:
    zeroed = {"default": (), "zeros": (nn.Conv1d,), "all_zeros": (nn.Conv1d, nn.Linear)}[init]
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, zeroed):
                for parameter in module.parameters():
                    parameter.zero_()


def _list_names(kind: type[ModelConfig]) -> list[str]:
    return [name for name, entry in MODELS.items() if issubclass(entry.schema, kind)]


def _check_module(net: Any, source: str) -> nn.Module:
    if not isinstance(net, nn.Module):
        raise UserError(f"{source}: build returned {type(net).__name__}; rule: a torch.nn.Module")
    step = getattr(type(net), "training_step", None)
    if step is not None and not step.__module__.endswith(".core.module"):  # Lightning's own does nothing
        rule = "hemexp trains the network itself and calls forward only; give the torch.nn.Module in it"
        raise UserError(f"{source}: {type(net).__name__} is a LightningModule with its own training_step; {rule}")
    return net


def build_estimator(seed: int, *, name: str, **settings: Any) -> Estimator:
    """Return an unfitted estimator.

    Args:
        seed: of the estimator's random draws.
        name: of an estimator.
        settings: in ``model``.

    Raises:
        UserError: there is no estimator of this name.
    """
    entry = MODELS.get(name)
    if entry is None or (issubclass(entry.schema, NetworkConfig) and entry.schema is not CustomConfig):
        raise UserError(f"model.name={name}: must be one of {', '.join(_list_names(EstimatorConfig))}")
    if not entry.target:
        return ExternalEstimator(seed=seed, settings=entry.schema(name, **settings))
    estimator: Estimator = resolve_name(f"hemexp.models.{entry.target}")(seed=seed, **settings)
    return estimator
