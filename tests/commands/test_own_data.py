"""Runs and predictions on cohorts that hold some columns only, and with an outcome of the file."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from partial_cohort import by_patient, make_cohort, use_cohort

from hemexp.cohort import columns as c
from hemexp.cohort.load import Cohort
from hemexp.commands.model_card import TrainedModel, load_trained_model
from hemexp.commands.predict import predict
from hemexp.commands.report import report
from hemexp.commands.run_metadata import list_idle_keys
from hemexp.commands.train import train
from hemexp.config import PredictConfig, ReportConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.files.result import PredictionResult, RunResult

USUAL = ["age", "sex", "HM_volume", "onset_to_first_scan", "hypertension"]
FEW = ["evaluation.num_repeats=1", "evaluation.threshold_repeats=1", "trainer.progress_bar=false"]
OUTCOME = ["label=column", "label.column=died"]

pytestmark = pytest.mark.usefixtures("undrawn")


def run(directory: Path, *overrides: str) -> RunResult:
    return train(load_config(TrainConfig, ["experiment=own_data", *FEW, *overrides]), directory)


def predict_with(directory: Path, output: Path) -> PredictionResult:
    return predict(load_config(PredictConfig, [f"run_dir={directory}", "data=synthetic"]), output)


def probabilities(directory: Path) -> np.ndarray:
    return pd.read_csv(directory / "predictions.csv")["probability"].to_numpy()


@pytest.fixture
def small() -> Cohort:
    """A cohort without volumes and times whose file holds the outcome."""
    return make_cohort(
        ["age", "sex"],
        ["Centre", "Score"],
        death=by_patient(["yes", "no", "no", None, "no", "yes", "no"]),
        Centre=by_patient(["A", "B", "A", "C", "B"]),
        Score=by_patient([3.0, 1.0, 2.0, 5.0]).astype(float),
    )


def test_a_padded_table_gives_the_same_run_as_one_without_the_empty_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    results = []
    for name, empty in (("plain", []), ("padded", [*c.RADIOMICS["ED"], *c.TREATMENTS, "gcs", "warfarin"])):
        use_cohort(monkeypatch, make_cohort(USUAL, **dict.fromkeys(empty, np.nan)))
        results.append(run(tmp_path / name))
    plain, padded = results
    assert set(padded.left_out_inputs) == {*c.RADIOMICS["ED"], "gcs", "warfarin"}  # a treatment is not one of them
    assert plain.left_out_inputs == {}
    for name in ("num_features", "caveats", "sample_size", "comparison", "metrics", "subgroups", "brain_missing_items"):
        assert getattr(plain, name) == getattr(padded, name), name
    assert plain.inputs == padded.inputs
    assert plain.num_features == len(plain.inputs) == 5
    assert "treatments_after_first_scan" not in plain.caveats
    np.testing.assert_array_equal(probabilities(tmp_path / "plain"), probabilities(tmp_path / "padded"))
    tables = [(tmp_path / name / "characteristics.csv").read_text() for name in ("plain", "padded")]
    assert tables[0] == tables[1]


def test_an_outcome_of_the_file_is_learned_without_volumes_and_times(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    use_cohort(monkeypatch, small)
    result = run(tmp_path / "run", *OUTCOME, "features.min_share=0.5")
    assert result.label_definition == "died is yes, as the file states it"
    assert result.num_features == 6  # age, sex, Score and three levels of Centre
    assert "own_outcome" in result.caveats
    assert result.flow.unlabelled == {"outcome_unknown": 9}
    assert [row.model for row in result.comparison] == ["logistic", "prevalence"]
    assert result.left_out_baselines["volume"] == "no value of HM_volume in the training part"
    assert list(result.left_out_baselines) == ["volume", "hours", "brain", "ridge2"]
    assert {row.subgroup.partition(":")[0] for row in result.subgroups} == {"sex", "age"}
    with pytest.raises(UserError, match="model=volume: needs HM_volume"):
        run(tmp_path / "volume", *OUTCOME, "model=volume")
    with pytest.raises(UserError, match=r"needs hematoma volumes.*holds death"):
        run(tmp_path / "growth")


@pytest.mark.slow
def test_a_full_evaluation_leaves_out_the_definitions_that_the_cohort_cannot_have(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    use_cohort(monkeypatch, small)
    full = ["evaluation=full", "evaluation.num_refits=3", "evaluation.label_repeats=1"]
    result = run(tmp_path / "run", *OUTCOME, *full)
    assert [row.label for row in result.label_sensitivity] == ["column"]
    assert result.label_sensitivity[0].ridge2_auroc.value is None


def test_a_prediction_names_the_inputs_that_the_file_lacks(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    use_cohort(monkeypatch, small)
    run(tmp_path / "run", *OUTCOME)
    own = predict_with(tmp_path / "run", tmp_path / "own")
    np.testing.assert_allclose(probabilities(tmp_path / "own"), probabilities(tmp_path / "run"), atol=1e-6)
    assert own.missing_inputs == {}
    assert own.num_test == own.num_own_test > 0
    ages = by_patient([60.0, np.nan, 70.0]).astype(float)
    use_cohort(monkeypatch, make_cohort(["sex"], age=ages, Centre=by_patient(["A", "new"])))
    capsys.readouterr()
    other = predict_with(tmp_path / "run", tmp_path / "other")
    assert other.missing_inputs == {"age": 22, "Score": 65}
    assert np.isfinite(probabilities(tmp_path / "other")).all()
    assert other.num_test == 0  # the file does not hold the outcome
    printed = capsys.readouterr().out
    assert "inputs that are empty and were filled: in all patients Score; in some patients 1 input (" in printed
    assert other.unknown_levels.keys() == {"Centre=new"}
    assert "texts that the training part did not have: Centre=new (" in printed


def test_a_growth_model_predicts_patients_without_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    use_cohort(monkeypatch, make_cohort(USUAL))
    run(tmp_path / "run", "evaluation=off")
    use_cohort(monkeypatch, make_cohort(["age", "sex"]))
    result = predict_with(tmp_path / "run", tmp_path / "out")
    assert result.missing_inputs == dict.fromkeys(["onset_to_first_scan", "hypertension", "HM_volume"], 65)
    assert result.comparison == []


def test_brain_uses_anticoagulation_and_ventricular_blood_and_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    cohort = make_cohort(["age", "HM_volume", "onset_to_first_scan"], anticoagulation=1.0, ventricular_blood=0.0)
    use_cohort(monkeypatch, cohort)
    result = run(tmp_path / "run", "model=brain")
    assert result.brain_missing_items == {"stroke_history": 4}
    assert result.num_features == 4
    assert result.sample_size.num_parameters == 0
    assert "the cohort has no column for stroke history (4 points)" in capsys.readouterr().out
    predicted = predict_with(tmp_path / "run", tmp_path / "out")
    np.testing.assert_allclose(probabilities(tmp_path / "out"), probabilities(tmp_path / "run"), atol=1e-6)
    assert predicted.comparison == []


def test_the_page_and_the_terminal_speak_of_the_outcome_of_the_file(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    use_cohort(monkeypatch, small)
    run(tmp_path / "run", *OUTCOME)
    printed = capsys.readouterr().out
    assert "with the outcome" in printed
    assert "with expansion" not in printed
    assert "baselines left out: volume, brain (no value of HM_volume in the training part); hours" in printed
    report(load_config(ReportConfig, [f"run_dir={tmp_path / 'run'}"]), tmp_path / "page")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "died is yes, as the file states it" in page
    assert "Baselines left out: hematoma volume alone, BRAIN score" in page
    assert "the outcome: " in page.lower()
    assert "with expansion" not in page
    assert json.loads((tmp_path / "run" / "result.json").read_text())["config"]["label"]["column"] == "died"


def test_training_patients_are_recognized_in_a_file_with_few_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cohort = make_cohort([*USUAL, "systolic"])
    use_cohort(monkeypatch, cohort)
    trained = run(tmp_path / "run", "evaluation=off")
    scans = cohort.scans
    for name, changed in {
        "serial": scans.assign(patient_id="X" + scans["patient_id"], age=scans["age"] + 1),
        "measurements": scans.assign(patient_id="X" + scans["patient_id"], scan_serial="9" + scans["scan_serial"]),
    }.items():
        cohort.scans = changed
        use_cohort(monkeypatch, Cohort(changed, cohort.findings, cohort.locate))
        assert predict_with(tmp_path / "run", tmp_path / name).num_train == trained.num_train, name


def test_a_serial_made_from_the_patient_id_does_not_recognize_a_patient_of_another_hospital(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scans = make_cohort(["age", "sex", "HM_volume"]).scans
    scans = scans.assign(scan_serial=scans["patient_id"] + "-" + scans["scan_index"].astype(str))
    cohort = make_cohort([])
    use_cohort(monkeypatch, Cohort(scans, cohort.findings, cohort.locate))
    trained = run(tmp_path / "run", "evaluation=off")
    assert predict_with(tmp_path / "run", tmp_path / "same").num_train == trained.num_train
    others = scans.assign(HM_volume=scans["HM_volume"].to_numpy()[::-1])
    use_cohort(monkeypatch, Cohort(others, cohort.findings, cohort.locate))
    assert predict_with(tmp_path / "run", tmp_path / "other").num_train == 0


def test_keys_of_networks_that_another_model_does_not_use_are_named():
    changed = ["trainer.max_epochs=20", "optimizer.lr=0.01", "trainer.progress_bar=false"]
    logistic = load_config(TrainConfig, ["model=logistic", *changed])
    assert list_idle_keys(logistic) == ["optimizer.lr", "trainer.max_epochs"]
    assert list_idle_keys(load_config(TrainConfig, changed)) == []
    others = ["optimizer=sgd", "optimizer.momentum=0.5", "scheduler=step", "scheduler.every=5", "loss=weighted"]
    assert list_idle_keys(load_config(TrainConfig, ["model=logistic", *others, "trainer.gradient_clip_val=1"])) == [
        "optimizer=sgd", "optimizer.momentum", "scheduler=step", "scheduler.every", "loss=weighted",
        "trainer.gradient_clip_val",
    ]  # fmt: skip
    assert list_idle_keys(load_config(TrainConfig, ["experiment=own_data"])) == []


def test_predict_names_the_mapping_of_the_run_where_a_file_leaves_questions_open(finished_run: Path, tmp_path: Path):
    rows = "patient,scan time,hematoma volume (mL)\nA,03/04/2031 10:00,12\nB,05/06/2031 11:00,14\n"
    (tmp_path / "new.csv").write_text(rows)
    cfg = load_config(PredictConfig, [f"run_dir={finished_run}", f"data.root={tmp_path / 'new.csv'}"])
    with pytest.raises(UserError, match=r"data\.mapping=.*mapping\.yaml"):
        predict(cfg, tmp_path / "p")


def test_a_hospital_with_other_words_for_the_outcome_is_refused_and_an_earlier_run_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def use(*words: str | None) -> None:
        outcome = by_patient([words[number] for number in (0, 1, 1, 2, 1, 0, 1)])
        use_cohort(monkeypatch, make_cohort(["age", "sex", "HM_volume"], death=outcome))

    use("dead", "alive", "unknown")
    made = run(tmp_path / "run", "label=column", "label.column=died", "label.positive=dead", "model=volume")
    assert made.label_values == ["alive", "dead"]
    assert made.flow.unlabelled["outcome_unknown"] > 0
    use("Dead", "ALIVE", None)
    assert predict_with(tmp_path / "run", tmp_path / "same").status == "done"
    use("dead", "living", "tot")
    with pytest.raises(
        UserError, match=r"the cohort of the run did not hold living, tot; rule: the same words as there"
    ):
        predict_with(tmp_path / "run", tmp_path / "other")
    load = load_trained_model

    def load_earlier(path: Path) -> TrainedModel:
        model = load(path)
        return replace(model, card=replace(model.card, label_values=[]))

    monkeypatch.setattr("hemexp.commands.predict.load_trained_model", load_earlier)
    predict_with(tmp_path / "run", tmp_path / "earlier")
    assert "did not keep the words of its outcome: every value other than 'dead' counts as no" in caplog.text
