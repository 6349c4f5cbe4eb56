"""Who is trained: a member is a network with its rates, its seed and the fold it learns from."""

from dataclasses import dataclass

from hemexp.config import ModelConfig, OptimizerConfig
from hemexp.data.training_set import TrainingSet


@dataclass(frozen=True, eq=False)
class Member:
    """One network to train, alone or with others.

    Attributes:
        model: its kind and sizes.
        optimizer: its rates.
        training_set: the patients that it learns from.
        seed: of its weights, the order of its mini-batches and its dropout.
    """

    model: ModelConfig
    optimizer: OptimizerConfig
    training_set: TrainingSet
    seed: int = 0
