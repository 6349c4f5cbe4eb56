import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from hemexp.evaluation.subgroups import get_subgroups, subgroup_scores
from hemexp.files.result import Score


def test_subgroups_use_the_published_cut_offs_and_leave_out_missing_values():
    patients = pd.DataFrame(
        {
            "sex": [1, 2, np.nan],
            "age": [65, 64.9, np.nan],
            "HM_volume": [30_000, 29_999, np.nan],
            "onset_to_first_scan": [3, 3.5, np.nan],
            "hypertension": [1, 0, np.nan],
        }
    )
    masks = get_subgroups(patients)
    first = [name for name, mask in masks.items() if mask.tolist() == [True, False, False]]
    second = [name for name, mask in masks.items() if mask.tolist() == [False, True, False]]
    assert first == [
        "sex: male", "age: >= 65 years", "volume: >= 30 mL", "onset to scan: <= 3 h", "hypertension: yes",
    ]  # fmt: skip
    assert second == [
        "sex: female", "age: < 65 years", "volume: < 30 mL", "onset to scan: > 3 h", "hypertension: no",
    ]  # fmt: skip
    assert len(masks) == 10


def test_a_column_that_is_absent_or_empty_has_no_subgroups():
    patients = pd.DataFrame({"age": [50.0, 70.0], "sex": pd.Series([None, None], dtype=object)})
    assert list(get_subgroups(patients)) == ["age: < 65 years", "age: >= 65 years"]


def test_a_subgroup_without_patients_has_no_scores():
    masks = {"age: >= 65 years": np.array([False, False])}
    (row,) = subgroup_scores(masks, np.array([0, 1]), np.full((2, 2), 0.5), np.zeros((2, 2)))
    assert (row.num_patients, row.mean_risk, row.observed, row.note) == (0, None, None, "too few")


def test_the_auroc_of_a_subgroup_is_the_auroc_of_its_patients():
    rng = np.random.default_rng(0)
    labels = (rng.random(200) < 0.3).astype(float)
    risks = np.clip(0.3 * labels + 0.7 * rng.random((3, 200)), 0, 1)
    inside, one_fold = np.arange(200) < 120, np.zeros((3, 200))
    rows = subgroup_scores(
        {"first": inside, "few": np.arange(200) < 20, "all": np.ones(200, bool)}, labels, risks, one_fold
    )
    expected = np.mean([roc_auc_score(labels[inside], row[inside]) for row in risks])
    first, few, all_patients = rows
    assert first.auroc.value == pytest.approx(expected)
    assert first.auroc.low < expected < first.auroc.high
    assert (first.num_patients, first.events, first.note) == (120, int(labels[inside].sum()), "")
    assert first.mean_risk == pytest.approx(risks[:, inside].mean())
    assert few.auroc == Score()
    assert few.note == "too few"
    width = first.auroc.high - first.auroc.low
    assert all_patients.auroc.high - all_patients.auroc.low < width  # more patients, narrower


def test_ten_patients_of_each_outcome_are_enough_and_nine_are_too_few():
    risks = np.linspace(0, 1, 40)[None]
    for events, note in [(9, "too few"), (10, ""), (30, ""), (31, "too few")]:
        labels = (np.arange(40) < events).astype(float)
        assert subgroup_scores({"all": np.ones(40, bool)}, labels, risks, np.zeros((1, 40)))[0].note == note


def test_risks_of_different_folds_are_not_compared():
    """Risks that are constant within each fold have an AUROC of 0.5, for any shares of events in the folds."""
    rng = np.random.default_rng(0)
    labels, folds = (rng.random(200) < 0.3).astype(float), rng.integers(5, size=(4, 200))
    risks = np.array([0.3, 0.2, 0.4, 0.25, 0.35])[folds]
    row = subgroup_scores({"all": np.ones(200, bool)}, labels, risks, folds)[0]
    assert row.auroc == Score(value=0.5, low=0.5, high=0.5)
