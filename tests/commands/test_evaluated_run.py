"""The evaluation of a run and its files, through the functions of the commands."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from small import QUIET, STANDARD

from hemexp.cohort import columns as c
from hemexp.cohort.load import load_cohort
from hemexp.commands.predict import predict
from hemexp.commands.train import train
from hemexp.config import MODELS, DataConfig, PredictConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import Interrupted, UserError
from hemexp.evaluation import evaluate as evaluation
from hemexp.evaluation.cross_validation import corrected_t_test
from hemexp.files.result import NO_LEAKAGE, NOT_EVALUATED
from hemexp.files.writing import write_csv

BASELINES = ["prevalence", "volume", "hours", "brain", "ridge2"]
OWN_MODELS = sorted({name for name, entry in MODELS.items() if entry.target})
IN_SMALL = {
    "random_forest": ["model.num_trees=20"],
    "tabm": ["model.max_epochs=3"],
    "ft_transformer": ["model.max_epochs=3"],
}


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"patient_id": str})


def test_the_files_of_the_folds_agree_with_the_result(finished_run: Path):
    result = json.loads((finished_run / "result.json").read_text())
    scores, risks = read(finished_run / "cv_scores.csv"), read(finished_run / "cv_predictions.csv")
    assert scores["model"].unique().tolist() == risks["model"].unique().tolist() == ["sacnn", *BASELINES]
    columns = (
        "model repeat fold seed num_train num_test events_test auroc brier log_loss auprc accuracy majority_accuracy"
    )
    assert scores.columns.tolist() == columns.split()
    assert risks.columns.tolist() == ["model", "repeat", "fold", "patient_id", "label", "probability"]
    assert (scores.groupby("model").size() == 5).all()
    assert (risks.groupby("model")["patient_id"].nunique() == 40).all()
    own = scores[scores["model"] == "sacnn"]
    tested = corrected_t_test(own["auroc"].to_numpy(), 8 / 32)
    score = result["metrics"]["cv/auroc"]
    assert score["value"] == pytest.approx(tested.value)
    assert score["low"] <= max(0, tested.low) + 1e-9  # Nadeau and Bengio, or wider because of few patients
    for (model, fold), part in risks.groupby(["model", "fold"]):
        row = scores[(scores["model"] == model) & (scores["fold"] == fold)].iloc[0]
        assert row["auroc"] == pytest.approx(roc_auc_score(part["label"], part["probability"]))
    assert result["cross_validation"]["num_fits"] == 5
    assert [row["model"] for row in result["comparison"]] == ["sacnn", *BASELINES]
    assert set(result["claim"]) == {"auroc", "brier", "worse_than", "worse_before_holm"}


def test_every_model_is_scored_on_the_same_held_out_patients(finished_run: Path):
    risks = read(finished_run / "cv_predictions.csv")
    folds = {
        model: part[["repeat", "fold", "patient_id", "label"]].to_numpy() for model, part in risks.groupby("model")
    }
    for other in folds.values():
        np.testing.assert_array_equal(other, folds["sacnn"])
    prevalence = risks[risks["model"] == "prevalence"].groupby("fold")["probability"].nunique()
    assert (prevalence == 1).all()


def test_an_evaluated_run_has_all_tables_figures_and_blocks(finished_run: Path):
    names = {path.name for path in finished_run.iterdir()}
    assert {
        "quality.csv",
        "characteristics.csv",
        "decision_curve.csv",
        "calibration_curve.csv",
        "uncertainty.csv",
    } <= names
    assert not (finished_run / "checkpoints" / "evaluation").exists()
    figures = {path.stem for path in (finished_run / "figures").glob("*.png")}
    expected = "loss roc comparison calibration decision_curve uncertainty subgroups"
    assert figures == set(expected.split())
    result = json.loads((finished_run / "result.json").read_text())
    assert result["flow"] == {
        "patients": 45,
        "unlabelled": {"no_followup": 5},
        "unused": 0,
        "train": 24,
        "val": 0,
        "test": 16,
    }
    assert result["sample_size"]["adequate"] is False
    assert result["sample_size"]["num_parameters"] == 72
    assert {row["rule"] for row in result["thresholds"]} == {"fixed 0.5", "youden", "sensitivity 0.9"}
    assert set(result["calibration"]) == {"cv", "test"}
    uncertainty = read(finished_run / "uncertainty.csv")
    assert set(uncertainty["role"]) == {"test", "unlabelled"}
    assert (uncertainty["low"] <= uncertainty["high"]).all()


@pytest.mark.slow
def test_a_full_evaluation_adds_optimism_instability_labels_and_attributions(workbooks: Path, tmp_path: Path):
    full = ["evaluation=full", "evaluation.num_refits=6", "evaluation.label_repeats=1", "evaluation.num_repeats=2"]
    options = [f"data.root={workbooks}", *QUIET[:1], "features=minimal", "model=logistic", "model.C=1", *full]
    result = train(load_config(TrainConfig, options), tmp_path / "run")
    assert result.optimism.num_refits == result.instability.num_refits == 6
    assert len(result.label_sensitivity) == 10
    assert [row.label for row in result.label_sensitivity if row.is_run_label] == ["onset_48h"]
    assert set(result.attributions.top) == {"log_volume", "log_hours"}
    assert len(read(tmp_path / "run" / "instability.csv")) == 40
    assert read(tmp_path / "run" / "attributions.csv")["feature"].nunique() == 2
    figures = {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")}
    assert {"instability", "attributions"} <= figures


def test_without_evaluation_only_the_test_part_is_scored(workbooks: Path, tmp_path: Path):
    result = train(load_config(TrainConfig, [f"data.root={workbooks}", "model=hours", *QUIET]), tmp_path / "run")
    assert all(key.startswith("test/") for key in result.metrics)
    assert result.claim is None
    assert result.conclusion == NOT_EVALUATED
    assert not (tmp_path / "run" / "cv_scores.csv").exists()


def test_too_few_events_are_a_caveat_and_too_many_folds_are_refused(tmp_path: Path):
    options = ["data.num_patients=20", "data.prevalence=0.15", "split=stratified", "model=ridge2", *QUIET[:1]]
    result = train(load_config(TrainConfig, options), tmp_path / "run")
    assert result.events_train + result.events_test < 5
    assert "too_few_events_for_cross_validation" in result.caveats
    assert "too_few_events_for_thresholds" in result.caveats
    assert result.claim is None
    assert "cv/auroc" not in result.metrics
    more = ["model=ridge2", "evaluation.num_folds=50", *QUIET[:1]]
    with pytest.raises(UserError, match=r"evaluation\.num_folds=50: .* of 100 patients 19 .* at most 19"):
        train(load_config(TrainConfig, more), tmp_path / "more")


def test_one_patient_with_expansion_is_enough_to_train_but_not_for_refits(workbooks: Path, tmp_path: Path):
    scans = load_cohort(DataConfig("workbook", str(workbooks))).scans
    scans.loc[scans["scan_index"] > 0, [*c.RADIOMICS["Hemo"], *c.RADIOMICS["ED"]]] = np.nan  # of the volumes before
    first = scans.groupby("patient_id", sort=False)["HM_volume"].transform("first")
    grown = scans["patient_id"].eq("sub001") & (scans["scan_index"] == 1)
    table = scans.assign(HM_volume=first)
    table.loc[grown, "HM_volume"] *= 3
    write_csv(table, tmp_path / "scans.csv")
    options = [f"data.root={tmp_path}", "model=volume", "evaluation=full", *QUIET[:1]]
    result = train(load_config(TrainConfig, options), tmp_path / "run")
    assert (result.events_train, result.events_test) == (1, 0)
    assert "too_few_events_for_refits" in result.caveats
    assert result.optimism is None


@pytest.mark.usefixtures("undrawn")
def test_a_baseline_with_other_settings_is_compared_with_the_usual_one(workbooks: Path, tmp_path: Path):
    few = ["evaluation.num_repeats=1", "evaluation.threshold_repeats=0", *QUIET[:1]]
    options = [f"data.root={workbooks}", "model=ridge2", *few]
    names = []
    for name, more in (("usual", []), ("other", ["model.C=1000"])):
        result = train(load_config(TrainConfig, [*options, *more]), tmp_path / name)
        names.append([row.model for row in result.comparison])
    assert names[0] == ["ridge2", *BASELINES[:-1]]
    assert names[1] == ["ridge2 (C=1000.0)", *BASELINES]


def test_a_failure_after_the_end_of_a_run_does_not_change_the_run(
    workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def closed(*_: object) -> None:
        raise SystemExit(1)  # as after a print into a closed pipe

    monkeypatch.setattr("hemexp.commands.train.print_summary", closed)
    cfg = load_config(TrainConfig, [f"data.root={workbooks}", "model=hours", *QUIET])
    with pytest.raises(SystemExit):
        train(cfg, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["verdict"] == NO_LEAKAGE
    assert not (tmp_path / "run" / "FAILED").exists()


@pytest.mark.slow
def test_an_interrupted_evaluation_resumes_to_the_same_numbers(
    finished_run: Path, workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    cfg = load_config(TrainConfig, [f"data.root={workbooks}", "trainer.progress_bar=false", *STANDARD])
    with monkeypatch.context() as patch:
        patch.setattr(evaluation._Stages, "_describe_single_patients", interrupt)
        with pytest.raises(Interrupted):
            train(cfg, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["verdict"].startswith("INCOMPLETE")
    saved = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "checkpoints" / "evaluation").rglob("*.ckpt")
    }
    assert saved
    train(cfg, tmp_path / "run")
    for name in ("predictions.csv", "history.csv", "cv_predictions.csv", "cv_scores.csv", "uncertainty.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (finished_run / name).read_bytes(), name


def test_an_estimator_run_that_failed_after_its_fit_resumes(
    workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise OSError("disk full")

    cfg = load_config(TrainConfig, [f"data.root={workbooks}", "model=ridge2", *QUIET])
    with monkeypatch.context() as patch:
        patch.setattr("hemexp.commands.train.log_result", fail)
        with pytest.raises(OSError, match="disk full"):
            train(cfg, tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()
    assert train(cfg, tmp_path / "run").verdict == NO_LEAKAGE


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(model, marks=[] if model in {"ridge2", "brain", "xgboost", "mlp"} else [pytest.mark.slow])
        for model in OWN_MODELS
    ],
)
def test_every_model_leaves_the_same_run_directory_and_predicts_from_it(model: str, workbooks: Path, tmp_path: Path):
    own = ["features=minimal"] if model == "firth" else []
    options = [f"data.root={workbooks}", f"model={model}", *IN_SMALL.get(model, []), *own, *QUIET]
    options += ["trainer.max_epochs=3"]
    result = train(load_config(TrainConfig, options), tmp_path / "run")
    assert result.verdict == NO_LEAKAGE
    run = tmp_path / "run"
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert {"predictions.csv", "history.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "DONE"} <= names
    predict(load_config(PredictConfig, [f"run_dir={run}", f"data.root={workbooks}"]), tmp_path / "out")
    expected = read(run / "predictions.csv")
    predicted = read(tmp_path / "out" / "predictions.csv")
    assert predicted["recognized_by"].eq("id and serial").all()
    pd.testing.assert_frame_equal(predicted[list(expected)], expected, atol=1e-6)
