"""Small estimators for tests, and simulated patients with a known risk."""

from types import SimpleNamespace

import numpy as np
import pytest

from hemexp.models.registry import build_estimator

PACKAGES = {
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "tabm": "tabm",
    "ft_transformer": "rtdl_revisiting_models",
}
BOOSTING = {"num_trees": 60, "learning_rate": 0.1, "max_depth": 2}
NETWORK = {"lr": 0.01, "weight_decay": 0.0003, "max_epochs": 12, "patience": 6, "val_fraction": 0.2}
SETTINGS = {
    "ridge2": {"C": 1.0},
    "logistic": {"C": None, "l1_ratio": 0.0},
    "firth": {},
    "random_forest": {"num_trees": 100, "min_samples_leaf": 1, "max_features": None},
    "gradient_boosting": BOOSTING,
    "xgboost": BOOSTING,
    "lightgbm": BOOSTING,
    "catboost": BOOSTING,
    "tabm": NETWORK,
    "ft_transformer": NETWORK,
}


def model(name, **settings):
    """Return a model's configuration; skip the test if its package is missing."""
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    return SimpleNamespace(name=name, **SETTINGS.get(name, {}) | settings)


def build(name, seed=0, **settings):
    """Return an unfitted estimator; skip the test if its package is missing."""
    return build_estimator(seed, **vars(model(name, **settings)))


def patients(num, seed, num_inputs=4):
    """Return raw inputs with gaps, and outcomes that depend on the first two inputs."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(num, num_inputs))
    labels = (rng.random(num) < 1 / (1 + np.exp(1 - 3 * (z[:, 0] - z[:, 1])))).astype(int)
    labels[:4] = [0, 1, 0, 1]
    raw = 50 + 7 * z
    raw[rng.random(raw.shape) < 0.02] = np.nan
    return raw, labels


def admissions(num, seed):
    """Return volume (10^-3 mL), hours and previous stroke, and outcomes that depend on them."""
    rng = np.random.default_rng(seed)
    volume, hours = rng.lognormal(np.log(15_000), 1.0, num), rng.lognormal(1.0, 0.8, num)
    stroke = (rng.random(num) < 0.2).astype(float)
    risk = 1 / (1 + np.exp(2 - 2 * (volume > 10_000) - 2 * (volume > 20_000) - stroke + 1.2 * (hours - 2)))
    return np.column_stack([volume, hours, stroke]), (rng.random(num) < risk).astype(int)
