import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from hemexp.evaluation.comparison import delong_test
from hemexp.files.result import Difference

# 43 patients with ovarian cancer of DeLong et al. (1988), as in example 8 of SAS's LOGISTIC procedure: albumin, total
# protein, K-G score, and whether surgery helped
OVARIAN = """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1
    3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
    4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1
    4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
    2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""


def by_definition(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return difference and p value, computed from all pairs of an event and a non-event."""
    shares = []
    for risks in (first, second):
        gap = risks[labels == 1][:, None] - risks[labels == 0][None]
        shares.append((gap > 0) + 0.5 * (gap == 0))
    by_event, by_other = (np.array([share.mean(axis) for share in shares]) for axis in (1, 0))
    covariance = np.cov(by_event) / by_event.shape[1] + np.cov(by_other) / by_other.shape[1]
    difference = by_event[0].mean() - by_event[1].mean()
    z = difference / np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    return difference, 2 * norm.sf(abs(z))


@pytest.mark.parametrize("digits", [1, 8])
def test_difference_and_p_agree_with_the_definition(digits):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        labels = np.array([1] * 12 + [0] * 28)
        first, second = (np.round(0.2 * labels + rng.random(40), digits) for _ in range(2))
        result = delong_test(labels, first, second)
        assert (result.value, result.p) == pytest.approx(by_definition(labels, first, second))
        assert result.value == pytest.approx(roc_auc_score(labels, first) - roc_auc_score(labels, second))
        assert result.low < result.value < result.high
        assert (result.low > 0 or result.high < 0) == (result.p < 0.05)


def test_the_published_ovarian_cancer_example_is_reproduced():
    albumin, protein, score, benefit = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4).T
    result = delong_test(benefit, albumin, 10 - score)
    assert [round(end, 4) for end in (result.value, result.low, result.high)] == [0.0108, -0.1761, 0.1976]
    assert result.p == pytest.approx(by_definition(benefit, albumin, 10 - score)[1])
    assert delong_test(benefit, protein, 10 - score).value == pytest.approx(-0.0780, abs=5e-5)


def test_the_type_one_error_is_near_five_percent():
    rng = np.random.default_rng(0)
    labels = np.array([1] * 30 + [0] * 70)
    draws = [delong_test(labels, *(labels + rng.normal(size=(2, 100)))).p < 0.05 for _ in range(400)]
    assert 0.02 < np.mean(draws) < 0.09


def test_undefined_results_are_none():
    labels, risks = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.3, 0.8])
    assert delong_test(labels, risks, risks) == Difference(value=0.0)
    assert delong_test(labels, labels, labels / 2).p is None  # both perfect
    assert delong_test(np.zeros(4), risks, risks).value is None
    single = delong_test(np.array([0, 0, 0, 1]), risks, risks[::-1])
    assert single.value == pytest.approx(1.0)
    assert single.p is None
