import numpy as np
import pandas as pd
import pytest

from hemexp.cohort.pseudonyms import Pseudonyms
from hemexp.config import CenterSplitConfig, FractionSplitConfig, KFoldSplitConfig
from hemexp.data.split import draw_validation, number_persons, overfit_subset, split_patients
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


def at(times: list[str | None], centers: list[str | None] | None = None) -> pd.DataFrame:
    table = patients([None] * len(times)).assign(scan_time=pd.to_datetime(pd.Series(times)))
    return table if centers is None else table.assign(center=pd.Series(centers, dtype="str"))


DAYS = [f"2031-05-{day:02d} 10:00" for day in range(1, 11)]


def test_one_center_is_the_test_part_and_patients_without_a_center_are_unused():
    table = at(DAYS, ["A", "B", "A", None, "B", "C", "A", "C", "B", "A"])
    split = split_patients(table, outcome(10), CenterSplitConfig("center", center="B"), 0)
    assert split.indices("test") == [1, 4, 8]
    assert split.indices("unused") == [3]
    assert split.indices("train") == [0, 2, 5, 6, 7, 9]


@pytest.mark.parametrize(
    ("typed", "name"), [("Больница №2", "Больница No2"), ("больница no 2", "Больница No2"), ("2.0", "2")]
)
def test_a_center_may_be_named_as_a_cell_of_the_file_is_written(typed: str, name: str):
    table = at(DAYS, ["A", name, "A", None, name, "C", "A", "C", name, "A"])
    split = split_patients(table, outcome(10), CenterSplitConfig("center", center=typed), 0)
    assert split.indices("test") == [1, 4, 8]


@pytest.mark.parametrize("center", [None, "D"])
def test_without_a_known_center_the_message_lists_the_centers(center: str | None):
    table = at(DAYS, [*"AABBB", *"CCCCC"])
    with pytest.raises(UserError, match=r"there are: A \(2 patients, 1 with the outcome\); B \(3 patients, 1"):
        split_patients(table, outcome(10), CenterSplitConfig("center", center=center), 0)
    with pytest.raises(UserError, match=r"no column of the centers; rule: .*means: center in mapping\.yaml"):
        split_patients(at(DAYS), outcome(10), CenterSplitConfig("center", center="A"), 0)


def test_the_temporal_split_trains_on_the_earlier_patients_whatever_their_order_in_the_table():
    order = np.random.default_rng(0).permutation(10)
    times: list[str | None] = [DAYS[day] for day in order]
    times[3] = None
    split = split_patients(at(times), outcome(10, 2), FractionSplitConfig("temporal"), 0)
    assert split.indices("unused") == [3]
    known = [number for number in range(10) if number != 3]
    assert len(split.indices("train")) == 5  # of 9 patients at most 60 %
    assert max(order[split.indices("train")]) < min(order[split.indices("test")])
    assert sorted(split.indices("train") + split.indices("test")) == known


def test_equal_times_are_in_one_part_and_the_training_part_is_never_larger_than_its_share():
    times = [*DAYS[:5], *[DAYS[5]] * 5]
    split = split_patients(at(times), outcome(10, 2), FractionSplitConfig("temporal", train_fraction=0.8), 0)
    assert split.indices("train") == [0, 1, 2, 3, 4]
    assert split.indices("test") == [5, 6, 7, 8, 9]


def test_a_temporal_split_without_original_times_is_refused():
    temporal = FractionSplitConfig("temporal")
    with pytest.raises(UserError, match="split=temporal: no first scan has a known date and time"):
        split_patients(at([None] * 10), outcome(10), temporal, 0)
    hidden = at(DAYS).assign(patient_id=[Pseudonyms(b"key").patient(f"p{number}") for number in range(10)])
    with pytest.raises(UserError, match="dates of each patient were shifted by another number of days"):
        split_patients(hidden, outcome(10), temporal, 0)


@pytest.mark.parametrize("config", [FractionSplitConfig("stratified", val_fraction=0.3), KFoldSplitConfig("kfold")])
def test_all_ids_of_one_person_are_in_one_part(config: FractionSplitConfig | KFoldSplitConfig):
    groups = number_persons(40, [(3, 20), (20, 33), (6, 7)])  # 3, 20 and 33 are one person
    assert groups[[3, 20, 33]].tolist() == [3, 3, 3]
    for seed in range(10):
        parts = split_patients(patients([None] * 40), outcome(40), config, seed, groups).parts
        assert parts[3] == parts[20] == parts[33]
        assert parts[6] == parts[7]


@pytest.mark.parametrize("config", [CenterSplitConfig("center", center="B"), FractionSplitConfig("temporal")])
def test_a_person_of_the_test_part_does_not_train_under_another_id(config: CenterSplitConfig | FractionSplitConfig):
    table = at(DAYS, [*"AAAAAA", *"BBBB"])
    split = split_patients(table, outcome(10), config, 0, number_persons(10, [(1, 8)]))
    assert split.indices("unused") == [1]
    assert split.indices("test") == [6, 7, 8, 9]
    assert split.indices("train") == [0, 2, 3, 4, 5]


def test_the_paper_split_keeps_the_order_of_the_table():
    split = split_patients(patients([None] * 10), outcome(10), PAPER, 0, number_persons(10, [(1, 8)]))
    assert split.indices("train") == list(range(6))
