import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import beta, norm

from hemexp.evaluation.validation_sample_size import (
    required_validation_size,
    size_for_net_benefit,
    validation_sample_size,
)

SHARES = (np.arange(400_000) + 0.5) / 400_000
NORMAL = expit(norm.ppf(SHARES, -5, 2.5))


def test_the_criteria_agree_with_the_examples_of_pmvalsampsize():
    # its tests 4.1 and 4.2: prevalence 0.018, C statistic 0.8, width of O/E 1
    criteria = required_validation_size(0.018, NORMAL, 0.8, 0.08, observed_to_expected_width=1)
    # it steps the standard error by 0.0001, which can change the first by 1
    assert (criteria["observed_to_expected"], criteria["auroc"]) == (pytest.approx(905, abs=1), 4252)


@pytest.mark.parametrize(
    ("risks", "expected"),
    # R's integrate() of the information for these distributions
    [(NORMAL, 4554), (beta.ppf(SHARES, 0.5, 0.5), 1644), (beta.ppf(SHARES, 2, 6), 4203)],
)
def test_the_size_for_the_slope_agrees_with_the_integral(risks, expected):
    assert required_validation_size(0.2, risks, 0.7, 0.2)["slope"] == pytest.approx(expected, rel=1e-3)


def test_the_size_for_the_net_benefit_is_that_of_its_formula():
    # Riley 2021, heart valves: prevalence 0.018, threshold 0.08
    weight = 0.982 / 0.018 * 0.08 / 0.92
    variance = 0.25 / 0.018 + weight**2 * 0.25 / 0.982 + weight**2 * 0.25 / (0.018 * 0.982)
    assert size_for_net_benefit(0.018, 0.5, 0.5, 0.08) == pytest.approx(variance * (1.96 / 0.1) ** 2, abs=1)


def test_equal_risks_have_no_slope_and_a_threshold_outside_of_the_risks_has_no_net_benefit():
    assert set(required_validation_size(0.2, np.full(50, 0.2), 0.6, 0.3)) == {"observed_to_expected", "auroc"}


def test_more_patients_than_required_are_adequate():
    risks = np.linspace(0.05, 0.6, 200)
    small = validation_sample_size(200, 50, risks, 0.7, 0.2)
    assert not small.adequate
    assert small.required_patients == max(small.criteria.values())
    large = validation_sample_size(4 * small.required_patients, small.required_patients, risks, 0.7, 0.2)
    assert large.adequate
    assert large.required_events == pytest.approx(large.required_patients / 4, abs=1)


def test_there_is_no_size_where_an_outcome_is_missing():
    assert validation_sample_size(20, 0, np.full(20, 0.1), 0.7, 0.2) is None
