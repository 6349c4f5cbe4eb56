"""Register a model of another package, with its settings, by one decorator."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from inspect import signature
from types import MappingProxyType, UnionType
from typing import Any, Optional, get_args, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

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
    return _get_decorator(name, "register_network", NetworkConfig)


def register_estimator(name: str) -> Callable[[Any], Any]:
    """Return a decorator that makes a classifier with scikit-learn's interface a choice of ``model``.

    It decorates a dataclass of settings with a method ``build(self, num_features)``, or a function of `num_features`.
    The classifier gets inputs without gaps, scaled to the training part, and needs ``fit`` and ``predict_proba``.

    Args:
        name: for ``model=NAME``.

    Raises:
        UserError: the name is used, or there is no method `build`.
    """
    return _get_decorator(name, "register_estimator", EstimatorConfig)


def _get_decorator(name: Any, function: str, base: type[ModelConfig]) -> Callable[[Any], Any]:
    """Return the decorator; refuse the form without parentheses, in which Python gives the class as the name."""
    if not isinstance(name, str):
        place = f"{name.__module__}.{name.__qualname__}"
        raise UserError(f'{place}: the decorator needs a name: @hemexp.{function}("my_model")')
    return lambda settings: _register(name, settings, base)


def _register(name: str, settings: Any, base: type[ModelConfig]) -> Any:
    """Make a settings class a section of the configuration, and register it."""
    place = f"{settings.__module__}.{settings.__qualname__}"
    if not re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII):
        raise UserError(f"{place}: the model name {name!r} must be letters, digits, _ and -")
    if not isinstance(settings, type):
        function = settings
        contents = {"build": lambda self, num_features: function(num_features), "__doc__": function.__doc__}
        _check_build(function, place, "num_features")
        settings = dataclass(type(function.__name__, (), contents))
        settings.__module__, settings.__qualname__ = function.__module__, function.__qualname__
    if not callable(getattr(settings, "build", None)):
        network = f"; a network needs no plugin: model=custom model.target={place}" * hasattr(settings, "forward")
        raise UserError(f"{place}: has no method build(self, num_features){network}")
    _check_build(settings.build, place, "self", "num_features")
    _check_names(settings, place, base)
    if not is_dataclass(settings):
        try:
            settings = dataclass(settings)
        except (TypeError, ValueError) as error:  # a list as a default
            raise UserError(f"{place}: {error}") from None
    _describe_fields(settings, place)
    contents = {name: getattr(settings, name) for name in ("__module__", "__qualname__", "__doc__")}
    if check := getattr(settings, "__post_init__", None):

        def check_both(self: Any) -> None:
            base.__post_init__(self)
            try:
                check(self)
            except UserError:
                raise
            except Exception as error:  # of a rule of the user
                raise UserError(f"model={name}: {place} refuses its settings: {error}") from error

        contents["__post_init__"] = check_both
    schema: Any = dataclass(type(settings.__name__, (settings, base), contents))
    text = (settings.__doc__ or "").partition("\n")[0]
    help = text if text and not text.startswith(f"{settings.__name__}(") else f"Model of {settings.__module__}."
    add_entry(name, ModelEntry(schema, help, plugin=settings.__module__))
    return schema


def _check_build(function: Callable[..., Any], place: str, *arguments: str) -> None:
    """Refuse a function that does not take the number of inputs."""
    try:
        signature(function).bind(*arguments)
    except TypeError as error:
        written = f"{function.__name__}({', '.join(arguments)})"
        raise UserError(f"{place}: {function.__name__} must be written as {written}: {error}") from None


def _check_names(settings: type[Any], place: str, base: type[ModelConfig]) -> None:
    """Refuse a setting or an attribute that a section of hemexp has."""
    used = {*dir(base), *(item.name for item in fields(base))}
    own = {name for part in settings.__mro__[:-1] for name in (*vars(part), *vars(part).get("__annotations__", ()))}
    for name in sorted(name for name in own & used if not name.startswith("__")):
        raise UserError(f"{place}.{name}: hemexp uses this name; choose another one")


def _describe_fields(settings: type[Any], place: str) -> None:
    """Give every field a type that OmegaConf can hold, and a help text.

    The text comes from the section ``Attributes:`` of the docstring.
    """
    try:
        hints = get_type_hints(settings)
    except (NameError, TypeError) as error:
        raise UserError(f"{place}: the type of a setting cannot be read: {error}") from None
    texts = dict(re.findall(r"^[ \t]+(\w+)(?: \(.*?\))?: (.+)$", settings.__doc__ or "", re.MULTILINE))
    for item in fields(settings):
        hint = hints[item.name]
        try:
            given = {name: getattr(item, name) for name in ("default", "default_factory")}
            node: Any = make_dataclass("Settings", [("value", _as_optional(hint), field(**given))])
            config = OmegaConf.structured(node)
            json.dumps(None if OmegaConf.is_missing(config, "value") else vars(OmegaConf.to_object(config)))
        except (OmegaConfBaseException, TypeError, ValueError) as error:
            kind, reason = getattr(hint, "__name__", hint), str(error).partition("\n")[0]
            rule = "a setting is an int, float, bool or str, an Optional or a list of one, or a dictionary"
            raise UserError(f"{place}.{item.name}: {kind} cannot be a setting: {reason}; rule: {rule}") from None
        if "key" not in item.metadata:
            help = texts.get(item.name, f"setting of {settings.__name__}; {getattr(hint, '__name__', hint)}")
            item.metadata = MappingProxyType({"key": Key(help)})
            item.type = _as_optional(hint)


def _as_optional(hint: Any) -> Any:
    """Return ``X | None`` as ``Optional[X]``, which OmegaConf can read."""
    parts = get_args(hint)
    if isinstance(hint, UnionType) and len(parts) == 2 and type(None) in parts:
        return Optional[next(part for part in parts if part is not type(None))]
    return hint
