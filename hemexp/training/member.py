"""One of the models that are trained together, and its result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from hemexp.config import LossConfig, ModelConfig, OptimizerConfig, SchedulerConfig
from hemexp.data.training_set import TrainingSet
from hemexp.models.predictor import Predictor, build_predictor


@dataclass(frozen=True, eq=False)
class Member:
    """A model to fit, alone or together with others.

    Attributes:
        model: its kind and sizes.
        optimizer: its kind, learning rate and weight decay.
        training_set: the patients that it learns from.
        seed: of its weights, the order of its mini-batches and its dropout.
        engine: ``lightning`` trains a network of this package by an ordinary Trainer, too.
        ensemble: networks to train with different seeds; the result predicts their mean probability.
        calibrate: ``logistic`` recalibrates by cross-validation within the training set; or ``none``.
        val_fraction: share of the patients that each network of an ensemble draws for validation.
        callbacks: of the ordinary Trainer, by name; each is built by Hydra from its ``_target_``.
        keep_last: whether the result of a network also holds the weights after the last epoch.
        scheduler: of the learning rate.
        loss: that a network lowers.

    Example:
        >>> import numpy as np
        >>> from hemexp.config import OptimizerConfig, SACNNConfig
        >>> from hemexp.data.training_set import build_training_set
        >>> inputs, labels = np.random.default_rng(0).normal(size=(40, 6)), np.arange(40) % 2
        >>> training_set = build_training_set(inputs, labels, train=range(30))
        >>> members = [Member(SACNNConfig("sacnn"), OptimizerConfig(), training_set, seed) for seed in range(3)]
    """

    model: ModelConfig
    optimizer: OptimizerConfig
    training_set: TrainingSet
    seed: int = 0
    keep_last: bool = False
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    engine: str = "auto"
    callbacks: Mapping[str, Any] = field(default_factory=dict)
    ensemble: int = 1
    calibrate: str = "none"
    val_fraction: float = 0.0

    @property
    def is_composite(self) -> bool:
        """Whether the member consists of several fits."""
        return self.ensemble > 1 or self.calibrate != "none"

    @property
    def is_batched(self) -> bool:
        """Whether the model is a network that can be trained together with others."""
        return self.model.is_batched(self.engine, self.optimizer, self.scheduler, self.loss)

    @property
    def rates(self) -> tuple[float, float]:
        """Learning rate and weight decay."""
        return self.optimizer.lr, self.optimizer.weight_decay


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted member: its best weights and the course of its training.

    Attributes:
        content: content of a checkpoint with the best weights; see `predictor`.
        epochs: number of epochs trained.
        best_epoch: the epoch of the best weights; -1 if no epoch had a finite loss.
        best_loss: the loss of the best weights; infinite if no epoch had a finite loss.
        stopped_by: ``stop_loss``, ``patience``, ``max_epochs``, ``diverged`` (the loss became NaN or infinite), or
            ``fitted`` for an estimator.
        history: one row an epoch: ``epoch``, ``train/loss``, ``train/accuracy`` and, with validation patients,
            ``val/loss``, ``val/accuracy``, ``val/auroc``. With a schedule, ``lr`` is the learning rate.
        last: content of a checkpoint with the weights after the last epoch; None without `Member.keep_last`.
        is_own: whether this command has fitted the member; else it was read from a file.
    """

    content: dict[str, Any]
    epochs: int
    best_epoch: int
    best_loss: float
    stopped_by: str
    history: pd.DataFrame
    last: dict[str, Any] | None = None
    is_own: bool = True

    def predictor(self) -> Predictor:
        """Return the predictor with the best weights."""
        return build_predictor(self.content, self.is_own)
