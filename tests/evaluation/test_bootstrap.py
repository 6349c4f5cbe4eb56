from functools import cache

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from hemexp.evaluation.bootstrap import draw_samples, instability, optimism
from hemexp.files.result import Instability, OptimismOf


@cache
def refitted(num_inputs: int, num_refits: int = 30) -> tuple[np.ndarray, ...]:
    """Return labels, apparent risks, refits and counts of a logistic regression, and its AUROC in new patients."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, num_inputs))
    y = (rng.random(4000) < 1 / (1 + np.exp(1 - 0.8 * x[:, 0]))).astype(float)
    train, new = slice(0, 120), slice(120, None)
    counts = rng.multinomial(120, np.full(120, 1 / 120), size=num_refits)

    def fit(weights: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=10).fit(x[train], y[train], sample_weight=weights)

    model = fit(np.ones(120))
    refits = np.stack([fit(count).predict_proba(x[train])[:, 1] for count in counts])
    truth = roc_auc_score(y[new], model.predict_proba(x[new])[:, 1])
    return y[train], model.predict_proba(x[train])[:, 1], refits, counts, np.array(truth)


def test_the_corrected_auroc_is_near_the_auroc_in_new_patients():
    y, apparent, refits, counts, truth = refitted(num_inputs=12)
    result = optimism(y, apparent, refits, counts)
    auroc = result.auroc
    assert auroc.apparent == pytest.approx(roc_auc_score(y, apparent))
    assert auroc.corrected == pytest.approx(auroc.apparent - auroc.optimism)
    assert abs(auroc.corrected - truth) < abs(auroc.apparent - truth) / 2
    assert result.num_refits == 30
    assert result.brier.corrected > result.brier.apparent
    assert result.calibration_slope.corrected < 0.9 < result.calibration_slope.apparent


def test_a_model_that_memorizes_gets_a_note_and_a_632plus_auroc_near_one_half():
    rng = np.random.default_rng(0)
    y = (np.arange(100) < 25).astype(float)
    counts = rng.multinomial(100, np.full(100, 0.01), size=50)
    noise = rng.random((50, 100))
    refits = np.where(counts > 0, 0.98 * y + 0.01, noise)  # correct for the sampled patients, random for the others
    result = optimism(y, np.where(y == 1, 0.99, 0.01), refits, counts)
    auroc = result.auroc
    assert auroc.apparent == 1.0
    assert auroc.corrected > 0.8
    assert auroc.out_of_bag == pytest.approx(0.5, abs=0.05)
    assert auroc.corrected_632plus == pytest.approx(0.5, abs=0.05)
    assert "memorizes" in result.note
    y, apparent, refits, counts, truth = refitted(num_inputs=12)
    result = optimism(y, apparent, refits, counts)
    assert result.note == ""
    assert result.auroc.corrected_632plus == pytest.approx(float(truth), abs=0.08)


def test_optimism_equals_the_optimism_in_explicitly_built_bootstrap_samples():
    y, apparent, refits, counts, _ = refitted(num_inputs=2, num_refits=3)
    rows = [np.repeat(np.arange(len(y)), count) for count in counts]
    gaps = [brier_score_loss(y[row], p[row]) - brier_score_loss(y, p) for row, p in zip(rows, refits, strict=True)]
    assert optimism(y, apparent, refits, counts).brier.optimism == pytest.approx(np.mean(gaps))


def test_a_model_with_more_inputs_is_more_optimistic_and_less_stable():
    few, many = refitted(num_inputs=1), refitted(num_inputs=12)
    assert optimism(*few[:4]).auroc.optimism < optimism(*many[:4]).auroc.optimism / 2
    assert (
        instability(few[1], few[2])[0].mean_absolute_difference
        < instability(many[1], many[2])[0].mean_absolute_difference / 2
    )


def test_undefined_scores_are_none():
    y = np.array([0.0] * 10 + [1.0] * 10)
    separating = np.tile(np.where(y == 1, 0.9, 0.1), (5, 1))
    counts = np.ones((5, 20))
    result = optimism(y, separating[0], separating, counts)
    undefined = OptimismOf(apparent=None, optimism=None, corrected=None, out_of_bag=None)
    assert result.calibration_slope == undefined
    assert result.auroc == OptimismOf(apparent=1.0, optimism=0.0, corrected=1.0, out_of_bag=None)
    one_outcome = optimism(np.zeros(20), separating[0], separating, counts)
    assert one_outcome.auroc == undefined
    assert one_outcome.brier.optimism == pytest.approx(0)


def test_instability_agrees_with_an_example_computed_by_hand():
    risks = np.array([0.2, 0.55])
    refits = np.array([[0.1, 0.45], [0.3, 0.65], [0.2, 0.55], [0.2, 0.35]])
    result, table = instability(risks, refits)
    assert table["probability"].tolist() == [0.2, 0.55]
    assert table["mean_absolute_difference"].tolist() == pytest.approx([0.05, 0.1])
    assert result.mean_absolute_difference == pytest.approx(0.075)
    assert result.classification_instability == pytest.approx(2 / 8)
    np.testing.assert_allclose(table[["low", "high"]], np.quantile(refits, [0.025, 0.975], axis=0).T)
    assert result.median_interval_width == pytest.approx((table["high"] - table["low"]).median())
    assert instability(risks, np.tile(risks, (3, 1)))[0] == Instability(
        num_refits=3,
        threshold=0.5,
        mean_absolute_difference=0.0,
        median_interval_width=0.0,
        classification_instability=0.0,
    )


def test_632plus_lies_between_apparent_and_out_of_bag_score_even_if_out_of_bag_is_better():
    from hemexp.evaluation.bootstrap import _get_632plus

    assert _get_632plus(0.52, 0.56, 0.5) == pytest.approx(0.368 * 0.52 + 0.632 * 0.56)
    assert _get_632plus(1.0, 0.45, 0.5) == pytest.approx(0.5)
    # Efron and Tibshirani, JASA 1997;92:548-560: a nearest-neighbor rule without signal, where .632 gives 0.316
    assert _get_632plus(0.0, 0.5, 0.5) == pytest.approx(0.5)
    # at a relative overfitting rate R = 0.5 the weight is 0.632 / (1 - 0.368 R)
    assert _get_632plus(0.1, 0.3, 0.5) == pytest.approx(0.1 + 0.2 * 0.632 / 0.816)


def test_samples_draw_persons_with_all_their_ids_and_without_such_persons_draw_patients():
    labels = np.array([1.0, 0.0] * 12)
    plain, _ = draw_samples(labels, range(24), 5, seed=4)
    rng = np.random.default_rng(4)
    assert plain[0].tolist() == list(range(24))
    for sample in plain[1:]:
        assert sample.tolist() == np.sort(rng.integers(24, size=24)).tolist()
    groups = np.arange(24)
    groups[20] = 3
    samples, _ = draw_samples(labels, range(24), 20, seed=4, groups=groups)
    counts = np.array([np.bincount(sample, minlength=24) for sample in samples])
    assert (counts[:, 3] == counts[:, 20]).all()
    assert counts[1:, 3].max() > 1
    assert counts[1:, 3].min() == 0
