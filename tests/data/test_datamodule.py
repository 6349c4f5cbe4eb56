"""The data module and the training set of a run."""

import numpy as np
import pytest

from hemexp.config import TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.data.training_set import TrainingSet, build_training_set
from hemexp.errors import UserError
from hemexp.evaluation.pipeline import build_pipeline

SMALL = ("data.num_patients=60", "split=stratified")


def set_up(*overrides: str) -> tuple[TrainConfig, ExpansionDataModule]:
    cfg = load_config(TrainConfig, [*SMALL, *overrides])
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    return cfg, data


def assert_equal(one: TrainingSet, other: TrainingSet) -> None:
    for name in ("inputs", "labels", "val_inputs", "val_labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("fill", "mean", "scale", "clip"):
        np.testing.assert_array_equal(getattr(one.preprocessing, name), getattr(other.preprocessing, name))
    assert (one.features, one.label) == (other.features, other.label)


@pytest.mark.parametrize(
    "overrides",
    [("split.val_fraction=0.0",), ("split.val_fraction=0.25",), ("debug=overfit",), ("model=ridge2",)],
)
def test_the_runs_training_set_is_the_one_that_its_pipeline_builds(overrides: tuple[str, ...]):
    cfg, data = set_up(*overrides)
    member = build_pipeline(cfg, data).member(data.fitted_indices, cfg.seed)
    assert_equal(data.training_set, member.training_set)


def test_a_fold_has_a_separate_imputation():
    _, data = set_up()
    train = data.split.indices("train")
    fold = data.build_training_set(train[:20])
    assert_equal(fold, build_training_set(data.raw[train[:20]], fold.labels, range(20), features=tuple(data.features),
                                          label=fold.label))  # fmt: skip
    assert (fold.preprocessing.mean != data.training_set.preprocessing.mean).any()


def test_the_prevalence_is_the_share_of_events_in_the_training_part():
    _, data = set_up()
    assert data.prevalence == data.training_set.labels.mean()


def test_data_loaders_return_the_training_and_validation_patients():
    _, data = set_up("split.val_fraction=0.25", "trainer.batch_size=8")
    assert sum(len(labels) for _, labels in data.train_dataloader()) == len(data.training_set.labels)
    assert sum(len(labels) for _, labels in data.val_dataloader()) == len(data.training_set.val_labels) > 0


def test_patients_without_an_outcome_are_refused():
    raw, labels = np.ones((3, 2)), np.array([0, np.nan, 1])
    with pytest.raises(UserError, match="row 1 has the label nan; rule"):
        build_training_set(raw, labels, [0, 1])
    with pytest.raises(UserError, match="train is empty"):
        build_training_set(raw, labels, [])


def test_runs_in_one_process_share_labels_only_where_cohort_and_outcome_are_equal():
    _, first = set_up("label=onset_48h")
    expected = first.labels.copy()
    first.labels["expansion"] = 1.0  # a change of one run does not reach the next one
    _, same = set_up("label=onset_48h", "seed=3")
    _, other = set_up("label=absolute_3ml")
    _, other_cohort = set_up("label=absolute_3ml", "data.seed=1")
    assert same.labels.equals(expected)
    assert other.labels["expansion"].sum() > expected["expansion"].sum()
    assert not other_cohort.labels.equals(other.labels)
