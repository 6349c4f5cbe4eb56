"""Register a model of another package, with its settings, by one decorator."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from types import MappingProxyType, UnionType
from typing import Any, Optional, get_args, get_type_hints

from hemexp.config.models import EstimatorConfig, ModelConfig, NetworkConfig
from hemexp.config.registry import ModelEntry, add_entry
from hemexp.config.section import Key
from hemexp.errors import UserError


def register_network(name: str) -> Callable[[Any], Any]:
    """Return a decorator that makes a network of another package a choice of ``model``.

    It decorates a dataclass of settings with a method ``build(self, num_features)``, or a function of `num_features`.
    The network is a `torch.nn.Module`. It maps scaled inputs (B, F) to two logits (B, 2), or to one: (B,) or (B, 1).

    Args:
        name: for ``model=NAME``.

    Raises:
        UserError: the name is used, or there is no method `build`.

    Example:
        >>> from dataclasses import dataclass
        >>> from torch import nn
        >>> @register_network("example_perceptron")
        ... @dataclass
        ... class Perceptron:
        ...     hidden: int = 32
        ...
        ...     def build(self, num_features):
        ...         return nn.Sequential(nn.Linear(num_features, self.hidden), nn.ReLU(), nn.Linear(self.hidden, 1))
        >>> Perceptron("example_perceptron", hidden=8).build(5)[0]
        Linear(in_features=5, out_features=8, bias=True)
    """
    return lambda settings: _register(name, settings, NetworkConfig)


def register_estimator(name: str) -> Callable[[Any], Any]:
    """Return a decorator that makes a classifier with scikit-learn's interface a choice of ``model``.

    It decorates a dataclass of settings with a method ``build(self, num_features)``, or a function of `num_features`.
    The classifier gets inputs without gaps, scaled to the training part, and needs ``fit`` and ``predict_proba``.

    Args:
        name: for ``model=NAME``.

    Raises:
        UserError: the name is used, or there is no method `build`.
    """
    return lambda settings: _register(name, settings, EstimatorConfig)


def _register(name: str, settings: Any, base: type[ModelConfig]) -> Any:
    """Make a settings class a section of the configuration, and register it."""
    if not isinstance(settings, type):
        function = settings
        contents = {"build": lambda self, num_features: function(num_features), "__doc__": function.__doc__}
        settings = dataclass(type(function.__name__, (), contents))
        settings.__module__, settings.__qualname__ = function.__module__, function.__qualname__
    if not callable(getattr(settings, "build", None)):
        raise UserError(f"{settings.__module__}.{settings.__qualname__}: has no method build(self, num_features)")
    if not is_dataclass(settings):
        settings = dataclass(settings)
    hints = get_type_hints(settings)
    for item in fields(settings):
        if "key" not in item.metadata:
            item.metadata = MappingProxyType({"key": Key(f"setting of {settings.__name__}")})
            item.type = _as_optional(hints[item.name])
    contents = {name: getattr(settings, name) for name in ("__module__", "__qualname__", "__doc__")}
    if check := getattr(settings, "__post_init__", None):
        contents["__post_init__"] = lambda self: (base.__post_init__(self), check(self))
    schema: Any = dataclass(type(settings.__name__, (settings, base), contents))
    text = (settings.__doc__ or "").partition("\n")[0]
    help = text if text and not text.startswith(f"{settings.__name__}(") else f"Model of {settings.__module__}."
    add_entry(name, ModelEntry(schema, help, plugin=settings.__module__))
    return schema


def _as_optional(hint: Any) -> Any:
    """Return ``X | None`` as ``Optional[X]``, which OmegaConf can read."""
    parts = get_args(hint)
    if isinstance(hint, UnionType) and len(parts) == 2 and type(None) in parts:
        return Optional[next(part for part in parts if part is not type(None))]
    return hint
