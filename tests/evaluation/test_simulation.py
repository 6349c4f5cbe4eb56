"""Whether the evaluation says the truth where it is known; `benchmarks/simulation.py` prints the same for the docs."""

import sys

import numpy as np
import pytest
from small import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import simulation

pytestmark = pytest.mark.slow
COHORTS = 100


def hits(found: list[dict[str, tuple[float, float, float, float]]], name: str) -> int:
    _, low, high, truth = np.array([each[name] for each in found]).T
    return int(((low <= truth) & (truth <= high)).sum())


def test_intervals_of_cross_validation_hold_what_the_fold_models_score_on_100_000_fresh_patients():
    cfg = simulation.config("model=ridge2")
    both = simulation.over_cohorts(lambda seed: simulation.covered(cfg, 100, 100_000, seed), COHORTS, 2)
    found = [given for given, _ in both]
    assert hits(found, "auroc") >= 90  # of 100; the docs say what was found
    assert min(hits(found, name) for name in ("accuracy", "auprc", "brier", "log_loss")) >= 88
    values, truths = (np.mean([each["auroc"][index] for each in found]) for index in (0, 3))
    assert values == pytest.approx(truths, abs=0.03)


def test_a_calibrated_model_is_found_calibrated():
    found = simulation.over_cohorts(simulation.calibrated, COHORTS, 2)
    assert np.mean([each["slope"][0] for each in found]) == pytest.approx(1.0, abs=0.05)
    assert np.mean([each["intercept"][0] for each in found]) == pytest.approx(0.0, abs=0.05)
    assert min(hits(found, "slope"), hits(found, "intercept")) >= 88


def test_no_signal_is_hardly_ever_called_better_than_baseline():
    cfg = simulation.config("model=logistic", "model.C=0.01")
    said = simulation.over_cohorts(lambda seed: simulation.claimed(cfg, 100, seed), 40, 2)
    for score in ("auroc", "brier"):
        assert sum(each[score] == "better" for each in said) <= 2
