import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from hemexp.evaluation.uncertainty import venn_abers_interval


def draw(rng: np.random.Generator, num_patients: int) -> tuple[np.ndarray, np.ndarray]:
    risks = rng.beta(1.5, 4, num_patients)
    return (rng.random(num_patients) < risks).astype(float), risks


def by_definition(labels: np.ndarray, scores: np.ndarray, score: float) -> list[float]:
    """Return isotonic regression at the score, with the new patient added as 0 and as 1."""
    return [
        IsotonicRegression().fit(np.append(scores, score), np.append(labels, label)).predict([score])[0]
        for label in (0, 1)
    ]


@pytest.mark.parametrize("digits", [1, 8])
def test_pairs_agree_with_the_definition(digits):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        labels, scores = draw(rng, int(rng.integers(1, 40)))
        scores = np.round(scores, digits)
        new = np.concatenate([rng.random(10), scores[:3], [0, 1]])
        low, high = venn_abers_interval(labels, scores, new)
        expected = np.array([by_definition(labels, scores, score) for score in new])
        np.testing.assert_allclose(np.stack([low, high], axis=1), expected, atol=1e-9)


def test_pairs_narrow_with_more_patients_and_contain_the_true_risk():
    rng = np.random.default_rng(0)
    new = np.linspace(0.1, 0.6, 20)
    widths, below, above = [], [], []
    for num_patients in (50, 500, 5000):
        pairs = [venn_abers_interval(*draw(rng, num_patients), new) for _ in range(30)]
        low, high = np.mean(pairs, axis=0)
        assert (low <= high).all()
        widths.append((high - low).mean())
        below.append((low - new).max())
        above.append((new - high).max())
    assert widths[0] > 2 * widths[1] > 4 * widths[2]
    assert max(below + above) < 0.05  # on average over samples the pair contains the true risk, or nearly


def test_a_distorted_risk_is_calibrated():
    rng = np.random.default_rng(1)
    labels, risks = draw(rng, 5000)
    low, high = venn_abers_interval(labels, risks**3, np.array([0.2, 0.4]) ** 3)  # far too low risks
    np.testing.assert_allclose((low + high) / 2, [0.2, 0.4], atol=0.06)


def test_repeats_are_averaged_and_edge_cases_give_a_result():
    rng = np.random.default_rng(2)
    labels, risks = draw(rng, 30)
    repeats = np.stack([risks - 0.01, risks + 0.01])
    new = rng.random(5)
    np.testing.assert_array_equal(venn_abers_interval(labels, repeats, new), venn_abers_interval(labels, risks, new))
    low, high = venn_abers_interval(np.zeros(30), risks, new)
    assert (low == 0).all()
    assert (high > 0).all()
    assert np.isnan(venn_abers_interval(np.zeros(0), np.zeros((2, 0)), new)).all()
    assert len(venn_abers_interval(labels, risks, np.zeros(0))[0]) == 0


def test_numpy_warnings_stay_enabled():
    venn_abers_interval(np.array([0, 1]), np.array([0.1, 0.9]), np.array([0.5]))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        np.ones(1) / np.zeros(1)
