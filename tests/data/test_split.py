import numpy as np
import pandas as pd
import pytest

from hemexp.config import FractionSplitConfig, KFoldSplitConfig
from hemexp.data.split import draw_validation, overfit_subset, split_patients
from hemexp.errors import UserError


def patients(marks: list[str | None]) -> pd.DataFrame:
    ids = [f"p{i}" for i in range(len(marks))]
    return pd.DataFrame({"patient_id": ids, "dataset_part": pd.Series(marks, dtype="str")})


def outcome(n: int, every: int = 3) -> pd.Series:
    return pd.Series((np.arange(n) % every == 0).astype(float))


PAPER = FractionSplitConfig("paper")


def test_the_paper_split_trains_on_the_first_sixty_percent_of_the_marked_patients():
    labels = outcome(14)
    labels[[3, 13]] = np.nan
    split = split_patients(patients(["训练"] * 11 + ["测试"] * 3), labels, PAPER, seed=0)
    assert split.indices("train") == [0, 1, 2, 4, 5, 6]
    assert split.indices("test") == [7, 8, 9, 10]
    assert split.indices("unused") == [11, 12]
    assert split.indices("unlabelled") == [3, 13]


def test_without_a_mark_all_labeled_patients_are_divided():
    split = split_patients(patients([None] * 10), outcome(10), PAPER, seed=0)
    assert split.indices("train") == list(range(6))
    assert split.indices("test") == list(range(6, 10))


@pytest.mark.parametrize(("n", "fraction", "train"), [(100, 0.6, 60), (99, 0.6, 59), (10, 0.7, 7), (50, 0.58, 29)])
def test_the_size_of_the_training_part_is_rounded_down(n: int, fraction: float, train: int):
    split = split_patients(patients([None] * n), outcome(n), FractionSplitConfig("paper", train_fraction=fraction), 0)
    assert len(split.indices("train")) == train


def test_a_stratified_split_keeps_the_share_of_events_and_depends_on_the_seed():
    config = FractionSplitConfig("stratified")
    labels = outcome(100, every=4)
    splits = [split_patients(patients([None] * 100), labels, config, seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]
    train = splits[0].indices("train")
    assert len(train) == 60
    assert labels[train].sum() == 15


def test_the_test_parts_of_the_folds_contain_every_patient_once():
    tests = []
    for fold in range(5):
        split = split_patients(patients([None] * 50), outcome(50), KFoldSplitConfig("kfold", fold=fold), seed=3)
        assert len(split.indices("train")) == 40
        tests += split.indices("test")
    assert sorted(tests) == list(range(50))


def test_validation_patients_are_drawn_from_the_training_part():
    plain = split_patients(patients([None] * 50), outcome(50), PAPER, seed=0)
    drawn = split_patients(patients([None] * 50), outcome(50), FractionSplitConfig("paper", val_fraction=0.2), seed=0)
    assert drawn.indices("test") == plain.indices("test")
    assert sorted(drawn.indices("train") + drawn.indices("val")) == plain.indices("train")
    assert len(drawn.indices("val")) == 6
    assert drawn.roles == plain.roles


def test_patients_that_cannot_be_divided_are_refused():
    with pytest.raises(UserError, match="known outcome"):
        split_patients(patients(["训练"] * 3), pd.Series([np.nan] * 3), PAPER, seed=0)
    with pytest.raises(UserError, match="all 6 patients have no outcome; rule: patients with and without it"):
        split_patients(patients([None] * 10), pd.Series([0.0] * 9 + [1.0]), PAPER, seed=0)
    with pytest.raises(UserError, match="0 patients to train on"):
        split_patients(patients([None]), outcome(1), PAPER, seed=0)
    with pytest.raises(UserError, match=r"split\.num_folds=5: .* 2 patients"):
        split_patients(patients([None] * 10), pd.Series([1.0, 1.0] + [0.0] * 8), KFoldSplitConfig("kfold"), seed=0)
    with pytest.raises(UserError, match=r"split\.val_fraction"):
        split_patients(patients([None] * 4), outcome(4, 2), FractionSplitConfig("paper", val_fraction=0.5), seed=0)


def test_copies_of_a_patient_in_a_bootstrap_sample_go_to_the_same_part():
    labels = np.array([0.0, 1.0] * 10)
    sample = np.random.default_rng(0).integers(20, size=20)
    train, val = draw_validation(labels, sample, 0.3, seed=0)
    assert sorted([*train, *val]) == sorted(sample)
    assert len(val) > 0
    assert not set(train) & set(val)


def test_a_fraction_of_0_draws_no_validation_patient():
    train, val = draw_validation(np.array([0.0, 1.0, 1.0]), [2, 0], 0.0, seed=0)
    assert (train.tolist(), val.tolist()) == ([0, 2], [])


def test_the_overfit_subset_takes_patients_of_both_outcomes_in_turn():
    labels = np.array([0, 0, 0, 0, 1, 1, 0, 1, 1, 1], dtype=float)
    assert overfit_subset(labels, range(10), 6) == [0, 1, 2, 4, 5, 7]
    assert overfit_subset(labels, [0, 1, 2, 3, 4], 4) == [0, 1, 2, 4]
