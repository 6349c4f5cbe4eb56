"""The calibrated risk of one patient, from out-of-fold risks."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit

from hemexp.evaluation.calibration import calibrated_risk


def draw(num_patients: int, repeats: int, noise: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return outcomes, their true risks with noise on the logits of each repeat, and the number of each fold."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-1.2, 1, num_patients)
    y = (rng.random(num_patients) < expit(truth)).astype(float)
    folds = np.tile(np.arange(num_patients) % 5, (repeats, 1))
    return y, expit(truth + noise * rng.normal(size=(repeats, num_patients))), folds


def test_one_repeat_is_the_logistic_regression_of_statsmodels_with_its_covariance():
    y, p, folds = draw(150, 1, 0.5)
    events = y.sum()
    targets = np.where(y == 1, (events + 1) / (events + 2), 1 / (150 - events + 2))
    fit = sm.GLM(targets, sm.add_constant(logit(p[0])), family=sm.families.Binomial()).fit(tol=1e-12)
    found = calibrated_risk(y, p, folds)
    assert (found.intercept, found.slope) == pytest.approx(tuple(fit.params), abs=1e-5)
    covariance = fit.cov_params()
    assert found.intercept_variance == pytest.approx(covariance[0, 0], rel=1e-4)
    assert found.slope_variance == pytest.approx(covariance[1, 1], rel=1e-4)
    assert found.covariance == pytest.approx(covariance[0, 1], rel=1e-4)
    linear = fit.get_prediction([[1, logit(0.3)]])
    assert found.interval(0.3)[0] == pytest.approx(linear.predicted_mean[0], abs=1e-5)
    z, error = fit.params @ [1, logit(0.3)], np.sqrt([1, logit(0.3)] @ covariance @ [1, logit(0.3)])
    assert found.interval(0.3)[1:] == pytest.approx(tuple(expit(z + 1.96 * error * np.array([-1, 1]))), abs=1e-4)


def test_repeats_do_not_count_as_more_patients():
    y, p, folds = draw(100, 1, 0.3)
    one, many = calibrated_risk(y, p, folds), calibrated_risk(y, np.tile(p, (20, 1)), np.tile(folds, (20, 1)))
    assert many.slope_variance == pytest.approx(one.slope_variance)
    y, p, folds = draw(100, 20, 1.0)
    within = np.mean([calibrated_risk(y, p[i : i + 1], folds[:1]).slope_variance for i in range(20)])
    assert calibrated_risk(y, p, folds).slope_variance > within


def test_true_risks_stay_and_more_patients_give_narrower_intervals():
    few, many = (calibrated_risk(*draw(number, 5, 0.0)) for number in (80, 8_000))
    value, low, high = many.interval(0.2)
    assert value == pytest.approx(0.2, abs=0.03)
    assert high - low < 0.05
    value, wide_low, wide_high = few.interval(0.2)
    assert wide_high - wide_low > 5 * (high - low)


@pytest.mark.parametrize("risk", [6e-06, 5e-11, 6e-09, 0.5, 0.999999])
def test_extreme_risks_without_information_get_an_interval_around_the_prevalence(risk: float):
    rng = np.random.default_rng(7)
    y = np.array([1.0] * 23 + [0.0] * 77)
    p = expit(6 * rng.normal(size=(20, 100)))  # as of a network that is far too sure
    found = calibrated_risk(y, p, np.tile(np.arange(100) % 5, (20, 1)))
    assert abs(found.slope) < 0.1
    value, low, high = found.interval(risk)
    assert low < 0.23 < high
    assert value == pytest.approx(0.23, abs=0.1)


def test_a_reversed_ranking_and_equal_risks_get_the_prevalence():
    y, p, folds = draw(200, 3, 0.0)
    reversed_risks = calibrated_risk(y, 1 - p, folds)
    assert reversed_risks.slope == 0
    equal = calibrated_risk(y, np.where(folds % 2, 0.3, 0.31), folds)
    assert equal.slope == 0
    for found in (reversed_risks, equal):
        assert found.interval(0.01)[0] == pytest.approx(y.mean(), abs=0.01)
    share = y.mean()
    error = np.sqrt(share * (1 - share) / 200)
    assert equal.interval(0.9)[1:] == pytest.approx((share - 1.96 * error, share + 1.96 * error), abs=0.01)


def test_one_outcome_or_risks_that_separate_the_outcomes():
    y, p, folds = draw(60, 2, 0.0)
    assert calibrated_risk(np.zeros(60), p, folds) is None
    perfect = calibrated_risk(y, np.where(y == 1, 0.9, 0.1) + 0.001 * np.tile(np.arange(60) % 7, (2, 1)), folds)
    assert np.isfinite([perfect.slope, *perfect.interval(0.9)]).all()
