import time

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit

from hemexp.evaluation.calibration import (
    CLIP,
    calibration,
    calibration_intercept,
    calibration_slope,
    resample,
    resampled_curves,
    scaled_brier,
    smoothed_curve,
)
from hemexp.files.result import Score


def draw(num_patients: int, repeats: int = 1, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return outcomes and their true risks, with noise on the logits of each repeat."""
    rng = np.random.default_rng(1)
    truth = rng.normal(-1.2, 1, num_patients)
    y = (rng.random(num_patients) < expit(truth)).astype(float)
    return y, expit(truth + noise * rng.normal(size=(repeats, num_patients)))


def test_true_risks_have_intercept_0_and_slope_1():
    y, p = draw(20_000)
    result = calibration(y, p, num_resamples=100)
    for name, ideal in {"intercept": 0, "slope": 1}.items():
        assert getattr(result, name).value == pytest.approx(ideal, abs=0.05)
        assert getattr(result, name).low < ideal < getattr(result, name).high
    assert 0 < result.scaled_brier.low < result.scaled_brier.value < result.scaled_brier.high < 0.3
    assert result.mean_risk == pytest.approx(result.observed, abs=0.01)


def test_a_known_distortion_of_the_risks_is_measured():
    y, p = draw(20_000)
    extreme = calibration(y, expit(2 * logit(p)), num_resamples=20)
    assert extreme.slope.value == pytest.approx(0.5, abs=0.03)
    low = calibration(y, expit(logit(p) - 0.7), num_resamples=20)
    assert low.intercept.value == pytest.approx(0.7, abs=0.05)
    assert low.slope.value == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("spread", [0.3, 1, 6])
def test_each_row_of_weights_agrees_with_statsmodels(spread):
    y, p = draw(60)
    p = expit(spread * logit(p[0]) + np.random.default_rng(0).normal(size=60))
    weights = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), size=5).astype(float)
    z, family = logit(np.clip(p, CLIP, 1 - CLIP)), sm.families.Binomial()
    for w, intercept, slope in zip(
        weights, calibration_intercept(y, p, weights), calibration_slope(y, p, weights), strict=True
    ):
        by_library = sm.GLM(y, np.ones(60), family=family, offset=z, freq_weights=w).fit()
        assert intercept == pytest.approx(by_library.params[0], abs=1e-5)
        by_library = sm.GLM(y, sm.add_constant(z), family=family, freq_weights=w).fit()
        assert slope == pytest.approx(by_library.params[1], abs=1e-5)


def test_scaled_brier_is_0_for_the_prevalence_and_1_for_the_outcomes_themselves():
    y, _ = draw(50)
    once = np.ones((1, 50))
    assert scaled_brier(y, np.full(50, y.mean()), once)[0] == pytest.approx(0)
    assert scaled_brier(y, y, once)[0] == pytest.approx(1)


def test_the_slope_is_the_mean_of_the_slopes_of_the_repeats():
    y, p = draw(100, repeats=3, noise=0.5)
    once = np.ones((1, 100))
    slopes = [calibration_slope(y, row, once)[0] for row in p]
    assert calibration(y, p).slope.value == pytest.approx(np.mean(slopes))


def test_undefined_calibration_is_none():
    y, p = draw(40)
    assert calibration(np.zeros(40), p) is None
    assert calibration(np.zeros(0), np.zeros((1, 0))) is None
    constant = calibration(y, np.full((2, 40), 0.3))
    assert constant.slope == Score()
    assert constant.intercept.value == pytest.approx(logit(y.mean()) - logit(0.3), abs=1e-6)
    separated = calibration(y, np.where(y == 1, 0.9, 0.1)[None])
    assert separated.slope == Score()
    assert separated.intercept.value is not None
    one_event = calibration((np.arange(40) == 7).astype(float), p)  # missing in a third of the bootstrap samples
    assert one_event.intercept.value is not None
    assert one_event.intercept.low is None
    certain = calibration(y, np.zeros((1, 40)))  # risks of 0 count as 1e-6
    assert certain.intercept.value == pytest.approx(logit(y.mean()) - logit(1e-6), abs=1e-4)


def test_a_large_cohort_gets_fewer_resamples():
    assert resample(100, 20, 500).shape == (501, 100)
    assert resample(100_000, 20, 300).shape == (101, 100_000)
    assert resample(100_000, 20, 10).shape == (11, 100_000)
    weights = resample(100, 20, 500)
    assert (weights.sum(1) == 100).all()
    assert (weights[0] == 1).all()


def test_the_smoothed_curve_of_true_risks_is_near_the_diagonal():
    y, p = draw(5_000, repeats=2)
    curve = smoothed_curve(y, p)
    assert list(curve) == ["risk", "observed", "low", "high"]
    inner = curve[(curve["risk"] > 0.1) & (curve["risk"] < 0.6)]
    assert (inner["observed"] - inner["risk"]).abs().max() < 0.05
    assert curve["risk"].is_monotonic_increasing


def test_the_curve_of_the_cohort_itself_is_the_lowess_of_statsmodels():
    y, p = draw(100, repeats=3, noise=0.5)
    points = np.quantile(p, [0, 0.1, 0.5, 0.9, 1])
    ours = resampled_curves(y, p, points, np.ones((1, 100)))[0]
    theirs = sm.nonparametric.lowess(np.tile(y, 3), p.ravel(), frac=2 / 3, it=0, xvals=points)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_patient_who_counts_twice_counts_as_two_patients():
    y, p = draw(50)
    twice = np.ones((1, 50))
    twice[0, 7] = 2
    points = np.full(1, p[0, 7])
    curves = resampled_curves(y, p, points, np.vstack([np.ones(50), twice]))[:, 0]
    assert np.sign(curves[1] - curves[0]) == (1 if y[7] else -1)


def test_the_band_holds_the_true_risk_in_about_95_of_100_cohorts():
    held = []
    rng = np.random.default_rng(0)
    for _ in range(100):
        truth = expit(rng.normal(-1, 0.7, 200))
        curve = smoothed_curve((rng.random(200) < truth).astype(float), truth[None])
        held.append(np.interp(0.3, curve["risk"], curve["low"]) < 0.3 < np.interp(0.3, curve["risk"], curve["high"]))
    assert 0.88 <= np.mean(held) <= 0.99


@pytest.mark.parametrize(
    "risks",
    [np.full(5, 0.3), np.arange(5) / 10, np.array([0.1, 0.1, 0.1, 0.1, 0.9]), np.array([0.2, 0.2, 0.6, 0.6, 0.6])],
)
def test_the_smoothed_curve_of_few_or_equal_risks_has_no_gaps(risks):
    y = np.array([0, 1, 0, 0, 1])
    curve = smoothed_curve(y, risks[None])
    assert curve["risk"].tolist() == np.unique(risks).tolist()
    assert curve["observed"].between(0, 1).all()
    assert (curve["low"] <= curve["high"]).all()
    if len(curve) == 1:
        assert curve["observed"][0] == pytest.approx(0.4)


def test_calibration_and_curve_of_100_patients_take_less_than_4_seconds():
    y, p = draw(100, repeats=20, noise=0.5)
    start = time.process_time()
    calibration(y, p)
    smoothed_curve(y, p)
    assert time.process_time() - start < 4
