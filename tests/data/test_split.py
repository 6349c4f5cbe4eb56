import numpy as np
import pandas as pd
import pytest

from hemexp.config import FractionSplitConfig, KFoldSplitConfig
from hemexp.data.split import split_patients
from hemexp.errors import UserError


def patients(marks: list[str | None]) -> pd.DataFrame:
    ids = [f"p{i}" for i in range(len(marks))]
    return pd.DataFrame({"patient_id": ids, "dataset_part": pd.Series(marks, dtype="str")})


def outcome(n: int, every: int = 3) -> pd.Series:
    return pd.Series((np.arange(n) % every == 0).astype(float))


PAPER = FractionSplitConfig("paper")


def test_the_first_sixty_percent_of_the_marked_train():
    labels = outcome(14)
    labels[[3, 13]] = np.nan
    split = split_patients(patients(["训练"] * 11 + ["测试"] * 3), labels, PAPER, seed=0)
    assert split.indices("train") == [0, 1, 2, 4, 5, 6]
    assert split.indices("test") == [7, 8, 9, 10]
    assert split.indices("unused") == [11, 12]
    assert split.indices("unlabelled") == [3, 13]


def test_without_a_mark_all_labelled_take_part():
    split = split_patients(patients([None] * 10), outcome(10), PAPER, seed=0)
    assert split.indices("train") == list(range(6))
    assert split.indices("test") == list(range(6, 10))


@pytest.mark.parametrize(("n", "fraction", "train"), [(100, 0.6, 60), (99, 0.6, 59), (10, 0.7, 7), (50, 0.58, 29)])
def test_the_training_part_is_the_floor(n: int, fraction: float, train: int):
    split = split_patients(patients([None] * n), outcome(n), FractionSplitConfig("paper", train_fraction=fraction), 0)
    assert len(split.indices("train")) == train


def test_stratified_keeps_the_share_and_follows_the_seed():
    config = FractionSplitConfig("stratified")
    labels = outcome(100, every=4)
    splits = [split_patients(patients([None] * 100), labels, config, seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]
    train = splits[0].indices("train")
    assert len(train) == 60
    assert labels[train].sum() == 15


def test_folds_are_disjoint_and_cover_everyone():
    tests = []
    for fold in range(5):
        split = split_patients(patients([None] * 50), outcome(50), KFoldSplitConfig("kfold", fold=fold), seed=3)
        assert len(split.indices("train")) == 40
        tests += split.indices("test")
    assert sorted(tests) == list(range(50))


def test_validation_is_cut_out_of_training_alone():
    plain = split_patients(patients([None] * 50), outcome(50), PAPER, seed=0)
    cut = split_patients(patients([None] * 50), outcome(50), FractionSplitConfig("paper", val_fraction=0.2), seed=0)
    assert cut.indices("test") == plain.indices("test")
    assert sorted(cut.indices("train") + cut.indices("val")) == plain.indices("train")
    assert len(cut.indices("val")) == 6
    assert cut.roles == plain.roles


def test_what_cannot_be_divided_is_refused():
    with pytest.raises(UserError, match="known outcome"):
        split_patients(patients(["训练"] * 3), pd.Series([np.nan] * 3), PAPER, seed=0)
    with pytest.raises(UserError, match="one class only: all 6 patients have no expansion"):
        split_patients(patients([None] * 10), pd.Series([0.0] * 9 + [1.0]), PAPER, seed=0)
    with pytest.raises(UserError, match="0 patients to train on"):
        split_patients(patients([None]), outcome(1), PAPER, seed=0)
    with pytest.raises(UserError, match=r"split\.num_folds=5: .* 2 patients"):
        split_patients(patients([None] * 10), pd.Series([1.0, 1.0] + [0.0] * 8), KFoldSplitConfig("kfold"), seed=0)
    with pytest.raises(UserError, match=r"split\.val_fraction"):
        split_patients(patients([None] * 4), outcome(4, 2), FractionSplitConfig("paper", val_fraction=0.5), seed=0)
