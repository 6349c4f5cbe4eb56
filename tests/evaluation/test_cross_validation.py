"""Folds, the corrected test, and that nobody's prediction knows the patient."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from hemexp.evaluation.cross_validation import corrected_t_test, cross_validate
from hemexp.evaluation.folds import repeated_folds
from hemexp.evaluation.pipeline import Pipeline

LABELS = np.array([1.0] * 23 + [0.0] * 77 + [np.nan] * 20)


def test_folds_are_stratified_and_hold_everybody_out_once_a_repeat():
    parts = repeated_folds(LABELS, range(100), 5, 20, seed=3)
    assert len(parts) == 100
    assert len({part.seed for part in parts}) == 100
    for repeat in range(20):
        own = [part for part in parts if part.repeat == repeat]
        assert sorted(np.concatenate([part.test for part in own])) == list(range(100))
        assert {int(LABELS[part.test].sum()) for part in own} <= {4, 5}
    for part in parts:
        assert not set(part.train) & set(part.test)
        assert len(part.train) + len(part.test) == 100
    orders = {tuple(part.test) for part in parts}
    assert len(orders) == 100
    again = repeated_folds(LABELS, range(100), 5, 20, seed=3)
    assert all((a.test == b.test).all() and a.seed == b.seed for a, b in zip(parts, again, strict=True))


def test_no_folds_where_one_would_lack_an_outcome():
    assert repeated_folds(LABELS, [*range(4), *range(30, 60)], 5, 2, seed=0) == []
    assert repeated_folds(LABELS, range(100), 5, 0, seed=0) == []


def test_corrected_test_against_its_formula():
    values = np.random.default_rng(0).normal(0.03, 0.1, size=100)
    tested = corrected_t_test(values, 0.25)
    statistic = values.mean() / np.sqrt((1 / 100 + 20 / 80) * values.var(ddof=1))  # Bouckaert and Frank 2004, eq. 3
    assert tested["p"] == pytest.approx(2 * stats.t.sf(abs(statistic), 99))
    assert tested["high"] - tested["value"] == pytest.approx(stats.t.ppf(0.975, 99) * tested["value"] / statistic)
    plain = stats.ttest_1samp(values, 0.0)
    uncorrected = corrected_t_test(values, 0.0)
    assert uncorrected["p"] == pytest.approx(plain.pvalue)
    assert tuple(plain.confidence_interval()) == pytest.approx((uncorrected["low"], uncorrected["high"]))


@pytest.mark.parametrize(("values", "p"), [(np.zeros(5), 1.0), (np.full(5, 0.1), 0.0)])
def test_equal_values_have_a_point_for_an_interval(values: np.ndarray, p: float):
    tested = corrected_t_test(values, 0.25)
    assert (tested["low"], tested["high"], tested["p"]) == (values[0], values[0], p)


def test_nothing_is_said_where_a_fold_has_no_score():
    assert corrected_t_test(np.array([0.5, np.nan]), 0.25)["value"] is None
    assert corrected_t_test(np.array([0.5]), 0.25)["low"] is None


def test_scores_are_means_over_folds(make_recipe: Callable[..., Pipeline]):
    pipeline = make_recipe()
    parts = repeated_folds(pipeline.labels, range(80), 5, 3, seed=0)
    (found,) = cross_validate([pipeline], parts, pipeline.cfg.trainer)
    assert found.probabilities.shape == (3, 80)
    assert np.isfinite(found.probabilities).all()
    by_hand = [roc_auc_score(pipeline.labels[p.test], found.probabilities[p.repeat, p.test]) for p in parts]
    np.testing.assert_allclose(found.scores["auroc"], by_hand)
    score = found.score("auroc")
    assert score["value"] == pytest.approx(np.mean(by_hand))
    assert 0 <= score["low"] < score["value"] < score["high"] <= 1
    assert score["value"] > 0.8


def test_an_interval_ends_where_scores_end(make_recipe: Callable[..., Pipeline]):
    pipeline = make_recipe(signal=30.0)
    (found,) = cross_validate(
        [pipeline], repeated_folds(pipeline.labels, range(80), 5, 2, seed=0), pipeline.cfg.trainer
    )
    assert found.score("auroc")["high"] == 1.0
    assert found.score("log_loss")["low"] >= 0.0


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=logistic",),
        ("model=random_forest", "model.num_trees=20"),
        ("model=mlp", "trainer.max_epochs=15"),
        ("model=mlp", "trainer.max_epochs=15", "split.val_fraction=0.25"),
    ],
)
def test_who_is_held_out_leaves_no_trace(make_recipe: Callable[..., Pipeline], overrides: tuple[str, ...]):
    """Leakage: other outcomes and inputs of the held-out patients change nothing that was fitted."""
    pipeline = make_recipe(*overrides)
    part = repeated_folds(pipeline.labels, range(80), 4, 1, seed=0)[0]
    raw, labels = pipeline.raw.copy(), pipeline.labels.copy()
    raw[part.test], labels[part.test] = 1e3, 1 - labels[part.test]
    other = replace(pipeline, raw=raw, labels=labels)
    fresh = np.random.default_rng(1).normal(size=(30, 5))
    risks = [
        cross_validate([each], [part], each.cfg.trainer)[0].predictors[0].predict(fresh) for each in (pipeline, other)
    ]
    np.testing.assert_array_equal(*risks)


def test_a_model_scores_the_same_whoever_stands_beside_it(make_recipe: Callable[..., Pipeline]):
    one, other = make_recipe("model=mlp", "trainer.max_epochs=10"), make_recipe()
    parts = repeated_folds(one.labels, range(80), 5, 1, seed=0)
    (alone,) = cross_validate([one], parts, one.cfg.trainer)
    beside, _ = cross_validate([one, other], parts, one.cfg.trainer)
    np.testing.assert_array_equal(alone.probabilities, beside.probabilities)


def test_patients_held_out_within_training_are_drawn_from_it(make_recipe: Callable[..., Pipeline]):
    pipeline = make_recipe("model=mlp", "split.val_fraction=0.25")
    rows = np.random.default_rng(0).integers(60, size=60)  # a bootstrap sample: some come several times
    fold = pipeline.member(rows, seed=1).training_set
    assert len(fold.labels) + len(fold.val_labels) == 60
    assert 5 < len(fold.val_labels) < 25
    held_out = {tuple(patient) for patient in fold.val_inputs}
    assert not held_out & {tuple(patient) for patient in fold.inputs}
    assert held_out <= {tuple(patient) for patient in pipeline.raw[:60]}
