"""The standard error of a cross-validated score that the sampling of patients causes."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import brier_score_loss, roc_auc_score

from hemexp.evaluation.cross_validation import cross_validate
from hemexp.evaluation.folds import repeated_folds
from hemexp.evaluation.intervals import patient_shares, placements, standard_error
from hemexp.evaluation.metrics import exact_interval
from hemexp.evaluation.pipeline import Pipeline
from hemexp.metrics.table import METRICS


def test_placements_have_the_auroc_as_mean_and_delongs_standard_error():
    rng = np.random.default_rng(0)
    y = (np.arange(60) < 20).astype(float)
    p = np.round(rng.random(60) + 0.3 * y, 1)  # with ties
    share, count = placements(y, p, np.zeros(60))
    assert share[y == 1].mean() == pytest.approx(roc_auc_score(y, p))
    assert share[y == 0].mean() == pytest.approx(roc_auc_score(y, p))
    assert set(count[y == 1]) == {40}
    pairs = (p[y == 1][:, None] > p[y == 0]) + 0.5 * (p[y == 1][:, None] == p[y == 0])
    delong = pairs.mean(1).var(ddof=1) / 20 + pairs.mean(0).var(ddof=1) / 40
    shares = patient_shares(METRICS["auroc"], y, p[None], np.zeros((1, 60)))
    assert standard_error(METRICS["auroc"], shares, y) == pytest.approx(np.sqrt(delong))


def test_placements_use_only_patients_of_the_same_fold():
    y, folds = np.array([1.0, 0, 1, 0, 0]), np.array([0, 0, 1, 1, 2])
    share, count = placements(y, np.array([0.9, 0.1, 0.2, 0.3, 0.0]), folds)
    np.testing.assert_array_equal(share, [1, 1, 0, 0, np.nan])
    np.testing.assert_array_equal(count, [1, 1, 1, 1, 0])


def test_the_brier_score_is_the_mean_of_the_patients_losses():
    rng = np.random.default_rng(0)
    y, p = (rng.random(50) < 0.3).astype(float), rng.random((3, 50))
    shares = patient_shares(METRICS["brier"], y, p, np.zeros((3, 50)))
    assert shares.mean() == pytest.approx(np.mean([brier_score_loss(y, row) for row in p]))
    assert standard_error(METRICS["brier"], shares, y) == pytest.approx(stats.sem(shares))
    assert np.isnan(patient_shares(METRICS["auprc"], y, p, np.zeros((3, 50)))).all()


def test_an_exact_interval_is_clopper_and_pearsons_and_accepts_a_fraction_of_a_patient():
    theirs = stats.binomtest(39, 40).proportion_ci(method="exact")
    ours = exact_interval(39 / 40, 40)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert exact_interval(1.0, 40).high == 1.0
    assert exact_interval(38.5 / 40, 40).low < ours.low


def test_the_interval_of_a_constant_model_reflects_the_sampling_of_100_patients(make_pipeline: Callable[..., Pipeline]):
    """A constant model scores the same in all stratified folds, but another cohort has another share of events."""
    pipeline = make_pipeline("model=prevalence", num_patients=100)
    folds = repeated_folds(pipeline.labels, range(100), 5, 4, seed=0)
    (validated,) = cross_validate([pipeline], folds, pipeline.cfg.trainer)
    accuracy, brier = validated.score("majority_accuracy"), validated.score("brier")
    exact = exact_interval(accuracy.value, 100)
    assert (accuracy.low, accuracy.high) == pytest.approx((exact.low, exact.high))
    share = pipeline.labels.mean()
    spread = abs(1 - 2 * share) * np.sqrt(share * (1 - share) / 100)  # of p (1 - p) between cohorts, first order
    assert brier.high - brier.low == pytest.approx(4 * spread, rel=0.15)
