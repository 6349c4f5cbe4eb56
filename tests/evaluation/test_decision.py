import numpy as np
import pytest

from hemexp.evaluation.decision import THRESHOLDS, decision_curve

# Family history of 750 men in the tutorial of decisioncurveanalysis.org: cancer with and without family history, no
# cancer with and without family history; net benefits computed by dcurves 1.1.7
CANCER = np.repeat([1, 1, 0, 0], [24, 81, 91, 554])
FAMILY_HISTORY = np.repeat([1.0, 0.0, 1.0, 0.0], [24, 81, 91, 554])
BY_DCURVES = {
    "family": [0.025614, 0.018519, 0.001667, -0.033333],
    "treat all": [0.094737, 0.044444, -0.075000, -0.323077],
    "treat none": [0, 0, 0, 0],
}


def test_net_benefit_agrees_with_the_published_example():
    curve = decision_curve(CANCER, {"family": FAMILY_HISTORY[None]}, np.array([0.05, 0.1, 0.2, 0.35]))
    for strategy, expected in BY_DCURVES.items():
        net_benefit = curve.loc[curve["strategy"] == strategy, "net_benefit"]
        np.testing.assert_allclose(net_benefit, expected, atol=1e-6)


def test_a_risk_equal_to_the_threshold_is_treated_as_in_dcurves():
    risks = np.array([0.05, 0.1, 0.1, 0.2, 0.2, 0.2, 0.35, 0.4, 0.6, 0.9])
    labels = np.array([0, 0, 1, 0, 0, 1, 0, 1, 0, 1])
    curve = decision_curve(labels, {"model": risks[None]}, np.array([0.1, 0.2, 0.35, 0.6]))
    np.testing.assert_allclose(curve["net_benefit"][:4], [0.344444, 0.2, 0.092308, -0.05], atol=1e-6)


def test_net_benefit_is_the_mean_over_repeats():
    rng = np.random.default_rng(0)
    labels, risks = rng.integers(0, 2, 30), rng.random((3, 30))
    curve = decision_curve(labels, {"model": risks})
    assert list(curve) == ["strategy", "threshold", "net_benefit"]
    assert len(curve) == 3 * len(THRESHOLDS) == 180
    by_repeat = [decision_curve(labels, {"model": row[None]})["net_benefit"].to_numpy() for row in risks]
    assert curve["net_benefit"].to_numpy() == pytest.approx(np.mean(by_repeat, axis=0))
