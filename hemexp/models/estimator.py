"""Base class of all models that are not this package's networks. They are not estimators of scikit-learn."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from hemexp.errors import UserError
from hemexp.types import Array


@dataclass(kw_only=True, eq=False)
class Estimator(ABC):
    """A model that `fit` trains in one call. Its fields are the settings in ``model``.

    Attributes:
        takes_raw_inputs: the inputs are in their own units, gaps filled, and are not scaled.
        allows_one_class: it can be fitted to patients who all have the same outcome.
        fitted_names: names of the attributes, plain values and arrays, that `fit` sets and prediction needs.
        seed: of all random draws; below 2**32.
        features: names of the inputs, in order; `FittedEstimator` sets them.
    """

    takes_raw_inputs: ClassVar[bool] = False
    allows_one_class: ClassVar[bool] = False
    fitted_names: ClassVar[tuple[str, ...]] = ()
    seed: int = 0
    features: tuple[str, ...] = field(init=False, default=())

    @abstractmethod
    def fit(self, X: Array, y: Array) -> Self:
        """Learn from inputs without gaps and outcomes 1 or 0.

        Shape:
            X: (N, F); y: (N,).
        """

    @abstractmethod
    def risk(self, X: Array) -> Array:
        """Return the probability of outcome 1 of each patient. It does not depend on the other patients.

        Shape:
            X: (N, F), N at least 1. Output: (N,).
        """

    def list_terms(self) -> dict[str, Any] | None:
        """Return the fields of `hemexp.files.formula.Formula` without the preprocessing; None without a formula."""
        return None

    def content(self) -> dict[str, Any]:
        """Return the fitted values as plain values and tensors, without any patient's values."""
        values = {name: getattr(self, name) for name in self.fitted_names}
        return {name: torch.tensor(value) if isinstance(value, np.ndarray) else value for name, value in values.items()}

    def restore(self, content: Mapping[str, Any]) -> Self:
        """Set the fitted values that `content` returned.

        Raises:
            UserError: a value is missing or not known.
        """
        if set(content) != set(self.fitted_names):
            raise UserError(f"estimator: holds {sorted(map(str, content))}; rule: {sorted(self.fitted_names)}")
        for name, value in content.items():
            setattr(self, name, value.numpy() if isinstance(value, Tensor) else value)
        return self

    def predict_proba(self, X: Array) -> Array:
        """Return the probabilities of outcomes 0 and 1.

        Shape:
            X: (N, F). Output: (N, 2).
        """
        risk = self.risk(X) if len(X) else np.zeros(0)
        return np.column_stack([1 - risk, risk])


def to_tensor(content: bytes) -> Tensor:
    """Return bytes as a tensor that `torch.load` reads with ``weights_only=True``."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def to_bytes(content: Tensor) -> bytes:
    """Return the bytes of a tensor from `to_tensor`."""
    return content.numpy().tobytes()


def require(model: str, package: str, extra: str) -> ModuleType:
    """Import a package that only this model needs.

    Args:
        model: its name, for the message.
        package: import name.
        extra: the optional dependency that installs it.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UserError(f'model={model} needs the package {package}: pip install "hemexp[{extra}]"') from error
