from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest

from hemexp.config import TrainConfig
from hemexp.config.compose import load_config
from hemexp.evaluation.pipeline import Pipeline


@pytest.fixture
def make_pipeline() -> Callable[..., Pipeline]:
    """Return a function that builds a pipeline on simulated patients; of the inputs x0 to x4 only x0 predicts."""

    def make(*overrides: str, num_patients: int = 80, signal: float = 2.0, seed: int = 0) -> Pipeline:
        rng = np.random.default_rng(seed)
        raw = rng.normal(size=(num_patients, 5))
        risk = 1 / (1 + np.exp(0.8 - signal * raw[:, 0]))
        labels = (rng.random(num_patients) < risk).astype(float)
        cfg = load_config(TrainConfig, ["trainer.progress_bar=false", *(overrides or ["model=logistic", "model.C=1"])])
        names = tuple(f"x{number}" for number in range(5))
        return Pipeline(cfg, cfg.model, names, raw, labels, asdict(cfg.label))

    return make
