"""Check of the evaluation on simulated cohorts; `benchmarks/simulation.py` prints the same numbers for the docs."""

import sys

import numpy as np
import pytest
from small import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import simulation

pytestmark = pytest.mark.slow
COHORTS = 100


def hits(cohorts: list[dict[str, tuple[float, float, float, float]]], name: str) -> int:
    _, low, high, truth = np.array([scores[name] for scores in cohorts]).T
    return int(((low <= truth) & (truth <= high)).sum())


@pytest.mark.nightly
def test_intervals_of_cross_validation_contain_the_score_of_the_fold_models_in_100_000_new_patients():
    cfg = simulation.config("model=ridge2")
    both = simulation.over_cohorts(lambda seed: simulation.cross_validated(cfg, 100, 100_000, seed), COHORTS, 2)
    results = [scores for scores, _ in both]
    assert hits(results, "auroc") >= 90  # of 100; the exact share is in the docs
    assert min(hits(results, name) for name in ("accuracy", "auprc", "brier", "log_loss")) >= 88
    values, truths = (np.mean([each["auroc"][index] for each in results]) for index in (0, 3))
    assert values == pytest.approx(truths, abs=0.03)


def test_the_true_risks_are_measured_as_calibrated():
    results = simulation.over_cohorts(simulation.calibrated, COHORTS, 2)
    assert np.mean([each["slope"][0] for each in results]) == pytest.approx(1.0, abs=0.05)
    assert np.mean([each["intercept"][0] for each in results]) == pytest.approx(0.0, abs=0.05)
    assert min(hits(results, "slope"), hits(results, "intercept")) >= 88


@pytest.mark.nightly
def test_a_model_without_signal_is_rarely_called_better_than_baseline():
    cfg = simulation.config("model=logistic", "model.C=0.01")
    claims = simulation.over_cohorts(lambda seed: simulation.claims(cfg, 100, seed), 40, 2)
    for score in ("auroc", "brier"):
        assert sum(each[score] == "better" for each in claims) <= 2
