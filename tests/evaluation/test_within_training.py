"""Evaluation within the training part (evaluation.patients=train), and the score callback."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hemexp.commands.train import train
from hemexp.config import TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.data.split import Split
from hemexp.errors import Pruned, UserError
from hemexp.evaluation.cross_validation import cross_validate, fit_by_repeat, score_folds
from hemexp.evaluation.evaluate import Evaluation, evaluate
from hemexp.evaluation.folds import check_folds, repeated_folds
from hemexp.evaluation.pipeline import Pipeline

pytestmark = pytest.mark.usefixtures("undrawn")

WITHIN = ["model=logistic", "model.C=1", "features=minimal", "evaluation.num_repeats=2", "evaluation.patients=train"]
FULL = ["evaluation=full", "evaluation.num_refits=3", "evaluation.label_repeats=1"]


def prepared(*overrides: str) -> tuple[TrainConfig, ExpansionDataModule]:
    cfg = load_config(TrainConfig, ["trainer.progress_bar=false", *overrides])
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    return cfg, data


def evaluated(cfg: TrainConfig, data: ExpansionDataModule) -> Evaluation:
    risks = np.linspace(0.05, 0.95, len(data.labels))
    return evaluate(cfg, data, risks, {"onset_48h": cfg.label})


def test_the_test_part_does_not_influence_scores_that_a_search_uses():
    cfg, data = prepared(*FULL, *WITHIN)
    result = evaluated(cfg, data)
    test = data.split.indices("test")
    outcomes = data.labels["expansion"].to_numpy(copy=True)
    outcomes[test] = 1 - outcomes[test]
    data.labels, data.raw = data.labels.assign(expansion=outcomes), data.raw.copy()
    data.raw[test] = 7.0
    other = evaluated(cfg, data)
    assert result.metrics == other.metrics
    assert result.blocks.optimism == other.blocks.optimism
    for name in ("cv_scores", "cv_predictions", "calibration_curve", "decision_curve"):
        assert result.tables[name].equals(other.tables[name]), name
    assert result.blocks.thresholds != other.blocks.thresholds  # scored on the test part


def test_only_the_training_part_is_cross_validated_and_a_caveat_is_set():
    cfg, data = prepared(*FULL, *WITHIN)
    result = evaluated(cfg, data)
    training = {data.labels["patient_id"].iloc[row] for row in data.split.indices("train")}
    assert set(result.tables["cv_predictions"]["patient_id"]) == training
    assert set(result.tables["instability"]["patient_id"]) == training
    assert result.blocks.cross_validation.patients == "train"
    assert result.blocks.cross_validation.num_patients == len(training)
    assert result.blocks.label_sensitivity[0].num_patients == len(training)
    assert "cross_validated_within_training" in result.caveats


@pytest.mark.slow
def test_thresholds_are_the_same_if_the_folds_of_cross_validation_are_reused():
    """The first repeats of a cross-validation within the training part have the folds that thresholds need."""
    once = evaluated(*prepared(*WITHIN, "evaluation.threshold_repeats=2"))
    again = evaluated(*prepared(*WITHIN, "evaluation.threshold_repeats=2", "evaluation.patients=labelled"))
    assert once.blocks.thresholds == again.blocks.thresholds
    assert once.tables["uncertainty"].equals(again.tables["uncertainty"])
    assert once.metrics != again.metrics


def test_more_folds_than_events_in_the_training_part_are_an_error():
    cfg, data = prepared(*WITHIN, "evaluation.num_folds=15")
    events = int(data.training_set.labels.sum())
    assert 5 <= events < 15 <= int(np.nansum(data.labels["expansion"]))
    with pytest.raises(UserError, match=rf"num_folds=15: .* of 60 patients {events} .* at most {events}"):
        check_folds(cfg, data)
    with_test_part = replace(cfg, evaluation=replace(cfg.evaluation, patients="labelled"))
    check_folds(with_test_part, data)


def test_check_folds_draws_the_folds_of_all_patients_and_of_the_training_part():
    """Both kinds of folds are drawn even if they have the same number of repeats."""
    repeats = ["evaluation.num_repeats=1", "evaluation.threshold_repeats=1"]
    cfg, data = prepared("split=stratified", "split.val_fraction=0.2", *repeats)
    parts = np.full(len(data.labels), "unused", dtype=object)
    parts[:36], parts[36:40] = "train", "test"
    outcomes = np.zeros(len(parts))
    outcomes[[0, 1, 2, 3, 37]] = 1  # too few events for folds of the training part
    data.labels = data.labels.assign(expansion=outcomes)
    data.split = Split(data.split.patients, parts.tolist())
    check_folds(cfg, data)
    few = replace(cfg, split=replace(cfg.split, val_fraction=1 / 34))  # 2 of 36 can be held out, 1 of 32
    with pytest.raises(UserError, match=r"split\.val_fraction: 32 patients"):
        check_folds(few, data)


@pytest.mark.parametrize(
    "overrides", [pytest.param(("model=mlp", "trainer.max_epochs=10"), marks=pytest.mark.slow), ("model=logistic",)]
)
def test_fits_repeat_by_repeat_are_the_same(make_pipeline: Callable[..., Pipeline], overrides: tuple[str, ...]):
    pipeline = make_pipeline(*overrides)
    folds = repeated_folds(pipeline.labels, range(80), 5, 3, seed=0)
    (plain,) = cross_validate([pipeline], folds, pipeline.cfg.trainer)
    calls: list[tuple[int, float]] = []
    fitted = fit_by_repeat(pipeline, folds, pipeline.cfg.trainer, lambda *step: calls.append(step), "brier")
    by_repeat = score_folds(pipeline, folds, fitted)
    np.testing.assert_array_equal(plain.probabilities, by_repeat.probabilities)
    assert plain.scores.equals(by_repeat.scores)
    briers = plain.scores["brier"]
    assert calls == [(done, pytest.approx(briers.iloc[: 5 * done].mean())) for done in (1, 2, 3)]


def test_a_callback_can_end_the_cross_validation_after_a_repeat(make_pipeline: Callable[..., Pipeline]):
    pipeline, calls = make_pipeline(), []

    def prune(repeats: int, score: float) -> None:
        calls.append(repeats)
        if repeats == 2:
            raise Pruned(f"{score}")

    with pytest.raises(Pruned):
        fit_by_repeat(
            pipeline, repeated_folds(pipeline.labels, range(80), 5, 4, seed=0), pipeline.cfg.trainer, prune, "auroc"
        )
    assert calls == [1, 2]


@pytest.mark.slow
def test_a_pruned_run_has_the_status_pruned_and_trained_again_gives_the_files_of_a_plain_run(
    workbooks: Path, tmp_path: Path
):
    overrides = [f"data.root={workbooks}", *WITHIN, "trainer.progress_bar=false", "evaluation.num_repeats=3"]
    cfg = load_config(TrainConfig, overrides)

    def prune(repeats: int, score: float) -> None:
        if repeats == 2:
            raise Pruned(f"pruned after 2 of 3 repeats: auroc {score:.3f}")

    with pytest.raises(Pruned):
        train(cfg, tmp_path / "pruned", prune)
    result = json.loads((tmp_path / "pruned" / "result.json").read_text())
    assert result["status"] == "pruned"
    assert result["verdict"].startswith("INCOMPLETE: pruned after 2 of 3 repeats: auroc 0.")
    assert (tmp_path / "pruned" / "FAILED").is_file()
    calls: list[int] = []
    train(cfg, tmp_path / "pruned", lambda repeats, score: calls.append(repeats))
    assert calls == [1, 2, 3]
    train(cfg, tmp_path / "plain")
    for name in ("cv_scores.csv", "cv_predictions.csv", "predictions.csv", "uncertainty.csv"):
        assert (tmp_path / "pruned" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes(), name
