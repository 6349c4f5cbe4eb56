"""The networks as scikit-learn classifiers. Each key of the configuration is a parameter, with the key's default."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state, check_scalar
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from hemexp.config import (
    AttentionConfig,
    CNNConfig,
    FeaturesConfig,
    FractionSplitConfig,
    MLPConfig,
    NetConfig,
    OptimizerConfig,
    SACNNConfig,
    TrainConfig,
    TrainerConfig,
)
from hemexp.config.section import Section, get_key, join_or
from hemexp.data.split import draw_validation
from hemexp.data.training_set import build_training_set
from hemexp.errors import Interrupted, UserError
from hemexp.training.fit import fit
from hemexp.training.member import FitResult, Member
from hemexp.types import Array

_SHARED: tuple[type[Section], ...] = (OptimizerConfig, TrainerConfig, FractionSplitConfig, FeaturesConfig)
_CHOSEN = {FractionSplitConfig: {"val_fraction"}, FeaturesConfig: {"clip"}}  # all keys of the other sections
_CALIBRATE = next(item for item in fields(TrainConfig) if item.name == "calibrate")
_LARGEST = np.finfo(np.float32).max
_LOCK = threading.Lock()  # PyTorch's random generator and number of threads are shared by all threads of a process
S = TypeVar("S", bound=Section)
C = TypeVar("C", bound="NetworkClassifier")


class NetworkClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A network as a scikit-learn classifier of two classes. Use one of its subclasses.

    `fit` does the same as a run of ``train.py`` with the same settings. Gaps (NaN) are allowed and filled as in a run:
    in training, with the mean of the three values before it in its column, so the order of the rows matters.

    Attributes:
        classes_: the two classes; `predict_proba` gives the probability of the second one in its second column.
        n_features_in_: number of inputs.
        feature_names_in_: names of the inputs, if `fit` got a table with names.
        result_: the result, with its curves (``history``) and why it stopped (``stopped_by``).
    """

    model: ClassVar[type[NetConfig]]
    n_ensemble: int
    calibrate: str
    random_state: Any
    num_threads: int
    val_fraction: float
    result_: FitResult

    if TYPE_CHECKING:  # the decorator of each subclass makes its constructor

        def __init__(self, **parameters: Any) -> None: ...

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Train the networks of the ensemble, eight at a time on a CPU. Weights of samples are not supported.

        Shape:
            X: (N, F), NaN marks a gap; y: (N,), two different values.

        Raises:
            ValueError: a parameter breaks its rule, X holds infinity, y does not hold two classes, or a loss diverges.
        """
        X, y = self._check_inputs(X, y=y)
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(f"y holds 1 class: {self.classes_[0]}; rule: samples of two classes")
        with _LOCK, _translate_errors():
            model, optimizer = self._build(self.model), self._build(OptimizerConfig)
            trainer = replace(self._build(TrainerConfig), progress_bar=False)
            split, clip = self._build(FractionSplitConfig), self._build(FeaturesConfig).clip
            seed = self._draw_seed()
            train, val = draw_validation(labels, range(len(X)), split.val_fraction, seed)
            names = getattr(self, "feature_names_in_", None)
            features = None if names is None else tuple(map(str, names))
            training_set = build_training_set(X, labels, train, val, clip=clip, features=features)
            options: dict[str, Any] = {"ensemble": self.n_ensemble, "calibrate": self.calibrate}
            member = Member(model, optimizer, training_set, seed, val_fraction=split.val_fraction, **options)
            (self.result_,) = fit([member], trainer, num_workers=1)
        if self.result_.stopped_by == "diverged":
            raise ValueError(f"lr={optimizer.lr}: the training loss is NaN or infinite; choose a lower rate")
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class: the mean over the networks, recalibrated if `calibrate` says so.

        Shape:
            X: (N, F), NaN marks a gap. Output: (N, 2).

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: X holds infinity, or other inputs than in `fit`.
        """
        check_is_fitted(self)
        X = self._check_inputs(X, reset=False)
        with _LOCK:
            num_threads = torch.get_num_threads()
            torch.set_num_threads(int(self.num_threads))
            try:
                risk = self.result_.predictor().predict(X)
            finally:
                torch.set_num_threads(num_threads)
        return np.column_stack([1 - risk, risk])

    def predict(self, X: Any) -> Array:
        """Return the class with the higher probability.

        Shape:
            X: (N, F), NaN marks a gap. Output: (N,).
        """
        columns = self.predict_proba(X).argmax(axis=1)
        predicted: Array = self.classes_[columns]
        return predicted

    def _check_inputs(self, X: Any, **options: Any) -> Any:
        """Return X, and y if it is given, as arrays."""
        checked = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", **options)
        if (np.abs(checked[0] if "y" in options else checked) > _LARGEST).any():
            raise ValueError("Input X contains a value too large for dtype('float32').")
        return checked

    def _draw_seed(self) -> int:
        """Return the seed of the fit: `random_state`, as in a run with this seed."""
        check_scalar(self.n_ensemble, "n_ensemble", Integral, min_val=1)
        if self.calibrate not in get_key(_CALIBRATE).choices:
            raise UserError(f"calibrate={self.calibrate}: must be {join_or(get_key(_CALIBRATE).choices)}")
        generator = check_random_state(self.random_state)
        return int(self.random_state if isinstance(self.random_state, Integral) else generator.randint(2**31))

    def _build(self, section: type[S]) -> S:
        """Return a section with the values of the parameters, checked as on the command line."""
        values = {item.name: np.asarray(getattr(self, item.name)).tolist() for item in _list_keys(section)}
        values |= {"name": section.NAMES[0]} if section.NAMES else {}
        built: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(section), values))
        assert isinstance(built, section)
        return built


def _list_keys(section: type[Section]) -> list[Field[Any]]:
    """Return the keys of a section that are parameters: those that change the numbers of a fit."""
    chosen = _CHOSEN.get(section)
    keys = [item for item in fields(section) if item.name not in {"name", "lightning"} and get_key(item).hashed]
    return [item for item in keys if chosen is None or item.name in chosen]


def _reword(text: str) -> str:
    """Return a text about keys as a text about parameters: without the names of sections, and with Python's None."""
    prefixes = "|".join([NetConfig.PREFIX, *(section.PREFIX for section in _SHARED)])
    return re.sub(rf"\b(?:{prefixes})\.(?=\w)", "", text).replace("null", "None")


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raise ValueError for a mistake of the user. Ctrl-C must end a search, which goes on after other errors."""
    try:
        yield
    except UserError as error:
        raise ValueError(_reword(str(error))) from None
    except OmegaConfBaseException as error:
        raise ValueError(f"{error.full_key}: {str(error).splitlines()[0]}") from None
    except Interrupted as stop:
        raise KeyboardInterrupt(str(stop)) from None


def _add_parameters(cls: type[C]) -> type[C]:
    """Give a classifier a constructor and the documentation of its parameters, both made from the configuration."""
    lines = ["", "", "    Args:"]

    def add(name: str, kind: Any, default: Any, text: str) -> None:
        cls.__annotations__[name] = kind
        setattr(cls, name, default)
        lines.append(f"        {name}: {text}.")

    for item in [item for section in (cls.model, *_SHARED) for item in _list_keys(section)]:
        default = item.default if item.default_factory is MISSING else tuple(item.default_factory())
        rules = get_key(item)
        add(item.name, item.type, default, _reword(rules.help + f" ({rules.range})" * bool(rules.range)))
    add("n_ensemble", int, 1, "networks with different seeds, trained together; their probabilities are averaged")
    add("calibrate", str, _CALIBRATE.default, get_key(_CALIBRATE).help)
    add("random_state", Any, TrainConfig.seed, "seed of weights, mini-batches, dropout, validation; None: a random one")
    cls.__doc__ = (cls.__doc__ or "") + "\n".join(lines)
    return dataclass(kw_only=True, eq=False, repr=False)(cls)


@_add_parameters
class SACNNClassifier(NetworkClassifier):
    """The network of the paper: convolutions and self-attention in parallel."""

    model = SACNNConfig


@_add_parameters
class CNNClassifier(NetworkClassifier):
    """The convolution branch of the paper's network alone."""

    model = CNNConfig


@_add_parameters
class AttentionClassifier(NetworkClassifier):
    """The attention branch of the paper's network alone."""

    model = AttentionConfig


@_add_parameters
class MLPClassifier(NetworkClassifier):
    """Two fully connected layers."""

    model = MLPConfig
