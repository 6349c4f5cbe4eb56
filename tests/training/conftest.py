from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hemexp.config import OptimizerConfig, TrainConfig, TrainerConfig
from hemexp.config.compose import load_config
from hemexp.data.training_set import TrainingSet, build_training_set
from hemexp.training.member import Member

CONV, ATTENTION = ("model.channels=[4,6]",), ("model.embed_dim=8", "model.num_heads=2")
SMALL = {"sacnn": (*CONV, *ATTENTION), "cnn": CONV, "attention": ATTENTION, "mlp": ()}
RATES = (0.001, 0.003, 0.01)


@pytest.fixture(scope="session")
def folds() -> list[TrainingSet]:
    """Five folds of 50 patients with 11 inputs and gaps: 40 for training, 10 for validation."""
    rng = np.random.default_rng(0)
    scaled = rng.normal(size=(50, 11))
    labels = (scaled[:, 0] + scaled[:, 1] + rng.normal(size=50) > 0.5).astype(float)
    raw = scaled * 10.0 ** rng.integers(-2, 3, size=11) + 1
    raw[rng.random(raw.shape) < 0.05] = np.nan
    rows = np.arange(50)
    return [build_training_set(raw, labels, rows[rows % 5 != fold], rows[rows % 5 == fold]) for fold in range(5)]


@pytest.fixture
def members(folds: list[TrainingSet]) -> Callable[..., list[Member]]:
    """Make members that differ in seed, optimizer and fold; with `validation` False, without validation patients."""

    def make(
        numbers: range | list[int], *overrides: str, model: str = "sacnn", validation: bool = True
    ) -> list[Member]:
        cfg = load_config(TrainConfig, [f"model={model}", *SMALL[model], "model.hidden_dim=12", *overrides])
        without = [replace(fold, val_inputs=fold.val_inputs[:0], val_labels=fold.val_labels[:0]) for fold in folds]
        return [
            Member(
                cfg.model,
                OptimizerConfig(RATES[i % 3], 0.01 * (i % 2)),
                (folds if validation else without)[i % 5],
                seed=i,
            )
            for i in numbers
        ]

    return make


@pytest.fixture
def trainer() -> Callable[..., TrainerConfig]:
    """Make the configuration of a trainer with some keys changed."""

    def make(**changes: object) -> TrainerConfig:
        return replace(TrainerConfig(max_epochs=12, stop_loss=None, progress_bar=False), **changes)

    return make
