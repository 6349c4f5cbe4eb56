import numpy as np
import pytest

from hemexp.evaluation.heterogeneity import pool_centers

VALUES = np.array([0.85, 1.20, 0.40, 0.95, 0.10, 1.50])
VARIANCES = np.array([0.04, 0.09, 0.05, 0.02, 0.06, 0.12])


def test_pooling_agrees_with_metafor():
    pooled = pool_centers(VALUES, VARIANCES)
    # R's metafor 3.8-1: rma(values, variances, method="PM", test="knha", control=list(tol=1e-12))
    found = (pooled.mean, pooled.low, pooled.high, pooled.between_sd**2)
    assert found == pytest.approx((0.805822385756, 0.287882451683, 1.32376231983, 0.184436743894), abs=1e-9)
    # mean ± qt(0.975, 4) * sqrt(tau2 + se^2), without test="knha"
    assert (pooled.predicted_low, pooled.predicted_high) == pytest.approx((-0.511260458775, 2.12290523029), abs=1e-9)
    # Q is 18.41216455 on 5 degrees of freedom: Higgins' I-squared is (Q - 5) / Q
    assert pooled.i_squared == pytest.approx(1 - 5 / 18.41216455, abs=1e-8)


def test_equal_centers_have_no_variance_between_them():
    pooled = pool_centers(np.full(5, 0.7), np.full(5, 0.02))
    assert (pooled.between_sd, pooled.i_squared, pooled.mean) == pytest.approx((0, 0, 0.7), abs=1e-9)


def test_the_interval_of_equal_centers_is_not_narrower_than_that_of_a_fixed_effect():
    pooled = pool_centers(np.array([0.70, 0.75, 0.66, 0.72, 0.69]), np.array([0.02, 0.05, 0.03, 0.04, 0.06]))
    # R's metafor 3.8-1: rma(values, variances, method="PM", test="adhoc"); "knha" gives 0.661 to 0.739
    assert (pooled.low, pooled.high) == pytest.approx((0.469428783951, 0.930571216049), abs=1e-9)
    assert (pooled.predicted_low, pooled.predicted_high) == pytest.approx((0.435712219469, 0.964287780531), abs=1e-9)


def test_centers_without_a_score_do_not_count_and_two_centers_are_too_few():
    more = pool_centers(np.append(VALUES, [np.nan, 1.0]), np.append(VARIANCES, [0.1, np.inf]))
    assert more == pool_centers(VALUES, VARIANCES)
    assert pool_centers(VALUES[:2], VARIANCES[:2]) is None
