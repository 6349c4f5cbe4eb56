"""Folds, the corrected test, and no influence of held-out patients on a fit."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold

from hemexp.evaluation.cross_validation import corrected_t_test, cross_validate
from hemexp.evaluation.folds import repeated_folds
from hemexp.evaluation.pipeline import Pipeline
from hemexp.formatting import interval_text

LABELS = np.array([1.0] * 23 + [0.0] * 77 + [np.nan] * 20)


def test_folds_are_stratified_and_each_patient_is_held_out_once_in_every_repeat():
    folds = repeated_folds(LABELS, range(100), 5, 20, seed=3)
    assert len(folds) == 100
    assert len({fold.seed for fold in folds}) == 100
    for repeat in range(20):
        in_repeat = [fold for fold in folds if fold.repeat == repeat]
        assert sorted(np.concatenate([fold.test for fold in in_repeat])) == list(range(100))
        assert {int(LABELS[fold.test].sum()) for fold in in_repeat} <= {4, 5}
    for fold in folds:
        assert not set(fold.train) & set(fold.test)
        assert len(fold.train) + len(fold.test) == 100
    assert len({tuple(fold.test) for fold in folds}) == 100
    again = repeated_folds(LABELS, range(100), 5, 20, seed=3)
    assert all((a.test == b.test).all() and a.seed == b.seed for a, b in zip(folds, again, strict=True))


def test_there_are_no_folds_if_one_would_lack_an_outcome():
    assert repeated_folds(LABELS, [*range(4), *range(30, 60)], 5, 2, seed=0) == []
    assert repeated_folds(LABELS, range(100), 5, 0, seed=0) == []


def test_the_corrected_test_agrees_with_its_published_formula():
    values = np.random.default_rng(0).normal(0.03, 0.1, size=100)
    tested = corrected_t_test(values, 0.25)
    statistic = values.mean() / np.sqrt((1 / 100 + 20 / 80) * values.var(ddof=1))  # Bouckaert and Frank 2004, eq. 3
    assert tested.p == pytest.approx(2 * stats.t.sf(abs(statistic), 99))
    assert tested.high - tested.value == pytest.approx(stats.t.ppf(0.975, 99) * tested.value / statistic)
    plain = stats.ttest_1samp(values, 0.0)
    uncorrected = corrected_t_test(values, 0.0)
    assert uncorrected.p == pytest.approx(plain.pvalue)
    assert tuple(plain.confidence_interval()) == pytest.approx((uncorrected.low, uncorrected.high))


@pytest.mark.parametrize(("values", "p"), [(np.zeros(5), 1.0), (np.full(5, 0.1), 0.0)])
def test_equal_values_have_an_interval_of_width_zero(values: np.ndarray, p: float):
    tested = corrected_t_test(values, 0.25)
    assert (tested.low, tested.high, tested.p) == (values[0], values[0], p)


def test_the_result_is_undefined_if_a_fold_has_no_score_or_there_is_one_fold():
    assert corrected_t_test(np.array([0.5, np.nan]), 0.25).value is None
    assert corrected_t_test(np.array([0.5]), 0.25).low is None


def test_scores_are_means_over_folds(make_pipeline: Callable[..., Pipeline]):
    pipeline = make_pipeline()
    folds = repeated_folds(pipeline.labels, range(80), 5, 3, seed=0)
    (validated,) = cross_validate([pipeline], folds, pipeline.cfg.trainer)
    assert validated.probabilities.shape == (3, 80)
    assert np.isfinite(validated.probabilities).all()
    by_hand = [roc_auc_score(pipeline.labels[p.test], validated.probabilities[p.repeat, p.test]) for p in folds]
    np.testing.assert_allclose(validated.scores["auroc"], by_hand)
    score = validated.score("auroc")
    assert score.value == pytest.approx(np.mean(by_hand))
    assert 0 <= score.low < score.value < score.high <= 1
    assert score.value > 0.8


def test_an_interval_is_cut_to_the_range_of_the_score(make_pipeline: Callable[..., Pipeline]):
    pipeline = make_pipeline(signal=30.0)
    (validated,) = cross_validate(
        [pipeline], repeated_folds(pipeline.labels, range(80), 5, 2, seed=0), pipeline.cfg.trainer
    )
    assert validated.score("auroc").high == 1.0
    assert validated.score("log_loss").low >= 0.0


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=logistic",),
        ("model=random_forest", "model.num_trees=20"),
        ("model=mlp", "trainer.max_epochs=15"),
        ("model=mlp", "trainer.max_epochs=15", "split.val_fraction=0.25"),
    ],
)
def test_held_out_patients_do_not_influence_the_fit(make_pipeline: Callable[..., Pipeline], overrides: tuple[str, ...]):
    """Other outcomes and inputs of the held-out patients leave the fitted model unchanged."""
    pipeline = make_pipeline(*overrides)
    fold = repeated_folds(pipeline.labels, range(80), 4, 1, seed=0)[0]
    raw, labels = pipeline.raw.copy(), pipeline.labels.copy()
    raw[fold.test], labels[fold.test] = 1e3, 1 - labels[fold.test]
    other = replace(pipeline, raw=raw, labels=labels)
    new_patients = np.random.default_rng(1).normal(size=(30, 5))
    risks = [
        cross_validate([each], [fold], each.cfg.trainer)[0].predictors[0].predict(new_patients)
        for each in (pipeline, other)
    ]
    np.testing.assert_array_equal(*risks)


def test_other_models_in_the_same_call_do_not_change_the_predictions_of_a_model(make_pipeline: Callable[..., Pipeline]):
    one, other = make_pipeline("model=mlp", "trainer.max_epochs=10"), make_pipeline()
    folds = repeated_folds(one.labels, range(80), 5, 1, seed=0)
    (single,) = cross_validate([one], folds, one.cfg.trainer)
    together, _ = cross_validate([one, other], folds, one.cfg.trainer)
    np.testing.assert_array_equal(single.probabilities, together.probabilities)


def test_the_validation_part_is_drawn_from_the_training_patients(make_pipeline: Callable[..., Pipeline]):
    pipeline = make_pipeline("model=mlp", "split.val_fraction=0.25")
    rows = np.random.default_rng(0).integers(60, size=60)  # a bootstrap sample holds some patients several times
    training_set = pipeline.member(rows, seed=1).training_set
    assert len(training_set.labels) + len(training_set.val_labels) == 60
    assert 5 < len(training_set.val_labels) < 25
    held_out = {tuple(patient) for patient in training_set.val_inputs}
    assert not held_out & {tuple(patient) for patient in training_set.inputs}
    assert held_out <= {tuple(patient) for patient in pipeline.raw[:60]}


def test_models_with_the_same_scores_in_every_fold_are_equal_and_not_zero_to_zero():
    same, other = corrected_t_test(np.zeros(5), 0.25), corrected_t_test(np.array([0.1, -0.1, 0.1, -0.1, 0.0]), 0.25)
    assert interval_text(same) == "equal"
    assert interval_text(other).startswith("0.00 (-")
    assert interval_text(corrected_t_test(np.zeros(5), 0.25, min_error=0.05)).startswith("0.00 (-")
    assert interval_text(corrected_t_test(np.full(5, 0.2), 0.25)) == "0.20 (0.20 to 0.20)"


def test_folds_never_divide_a_person_and_without_such_persons_are_those_of_scikit_learn():
    groups = np.arange(100)
    groups[[40, 70]] = 5  # three ids of one person
    divided = repeated_folds(LABELS, range(100), 5, 20, seed=3, groups=groups)
    for fold in divided:
        assert np.isin([5, 40, 70], fold.test).sum() in {0, 3}
        assert sorted([*fold.train, *fold.test]) == list(range(100))
    plain = RepeatedStratifiedKFold(n_splits=5, n_repeats=20, random_state=3).split(LABELS[:100], LABELS[:100])
    for fold, (train, test) in zip(repeated_folds(LABELS, range(100), 5, 20, seed=3), plain, strict=True):
        assert (fold.train.tolist(), fold.test.tolist()) == (train.tolist(), test.tolist())
