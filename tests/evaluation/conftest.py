from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hemexp.compose import load_config
from hemexp.config import TrainConfig
from hemexp.evaluation.recipe import Recipe


@pytest.fixture
def make_recipe() -> Callable[..., Recipe]:
    """Make a recipe on simulated patients: inputs x0 to x4, of which only x0 tells anything."""

    def make(*overrides: str, num_patients: int = 80, signal: float = 2.0, seed: int = 0) -> Recipe:
        rng = np.random.default_rng(seed)
        raw = rng.normal(size=(num_patients, 5))
        risk = 1 / (1 + np.exp(0.8 - signal * raw[:, 0]))
        labels = (rng.random(num_patients) < risk).astype(float)
        cfg = load_config(TrainConfig, ["trainer.progress_bar=false", *(overrides or ["model=logistic", "model.C=1"])])
        names = tuple(f"x{number}" for number in range(5))
        return Recipe(cfg, cfg.model, names, raw, labels, {"name": "simulated"})

    return make


@pytest.fixture
def relabel() -> Callable[[Recipe, np.ndarray], Recipe]:
    return lambda recipe, labels: replace(recipe, labels=labels)
