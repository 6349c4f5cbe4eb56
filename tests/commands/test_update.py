"""Updates of a model for another hospital, and the runs that they write."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from small import ROOT

from hemexp.commands.one_patient import predict_patient
from hemexp.commands.predict import predict
from hemexp.commands.report import report
from hemexp.commands.train import train
from hemexp.commands.update import update
from hemexp.config import PredictConfig, ReportConfig, TrainConfig, UpdateConfig, config_hash
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.files.one_patient import PatientResult
from hemexp.files.result import INCOMPLETE, NO_LEAKAGE, PredictionResult, RunResult, read_result
from hemexp.report.run.checklist import DONE, PARTLY, checklist_rows
from hemexp.report.run.read import read_run

ORACLES = Path(__file__).parents[1] / "oracles"
OUTCOME = ["label=column", "label.column=relapse", "features=columns"]
QUICK = ["evaluation=off", "logger=csv", "trainer.progress_bar=false", "split.fit_on=all"]


def write_patients(path: Path, table: pd.DataFrame, prefix: str) -> Path:
    table.insert(0, "patient_id", [f"{prefix}{number}" for number in range(len(table))])
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    return path


def write_oracle(name: str, folder: Path) -> Path:
    """Patients of R's survival package with relapse or death within 5 years, or followed for as long."""
    table = pd.read_csv(ORACLES / f"{name}.csv").rename(columns={"y": "relapse"})
    return write_patients(folder / f"{name}.csv", table.assign(nodes=np.log(table["nodes"] + 1)), name[0])


def simulate(path: Path, num_patients: int, seed: int, intercept: float = 0.0) -> Path:
    """A hospital whose outcome depends on the age and on a marker."""
    rng = np.random.default_rng(seed)
    age, marker = rng.normal(size=(2, num_patients)).round(4)
    relapse = (rng.random(num_patients) < expit(intercept + age + marker)).astype(int)
    table = pd.DataFrame({"age": (60 + 8 * age).round(2), "grade": marker, "relapse": relapse})
    return write_patients(path, table, chr(65 + seed))


def train_on(root: Path, directory: Path, *overrides: str) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hemexp.commands.train.run_figures", lambda *_: {})
        train(load_config(TrainConfig, [f"data.root={root}", *OUTCOME, *QUICK, *overrides]), directory)
    return directory


def update_with(run: Path, root: Path, directory: Path, *overrides: str) -> RunResult:
    options = [f"run_dir={run}", f"data.root={root}", "num_repeats=2", *overrides]
    return update(load_config(UpdateConfig, options), directory)


def predict_with(run: Path, root: Path, directory: Path) -> tuple[PredictionResult, pd.DataFrame]:
    result = predict(load_config(PredictConfig, [f"run_dir={run}", f"data.root={root}"]), directory)
    return result, pd.read_csv(directory / "predictions.csv", dtype={"patient_id": str})


def ask(run: Path, directory: Path, *patient: str) -> PatientResult:
    options = [f"run_dir={run}", *(f"patient.{each}" for each in patient)]
    return predict_patient(load_config(PredictConfig, options), directory)


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rotterdam with a run that learned from all its patients, and the German hospitals with its update."""
    folder = tmp_path_factory.mktemp("hospitals")
    root = write_oracle("rotterdam", folder / "a")
    inputs = "features.columns=[age,nodes,grade,meno]"
    train_on(root, folder / "run", inputs, "model=logistic", "model.C=1e9")
    update_with(folder / "run", write_oracle("gbsg", folder / "b"), folder / "updated")
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a logistic regression without penalty on 60 simulated patients."""
    folder = tmp_path_factory.mktemp("small")
    root = simulate(folder / "a" / "first.csv", 60, 1)
    train_on(root, folder / "run", "features.columns=[age,grade]", "model=logistic", "model.C=1e9")
    return folder


def test_the_german_patients_need_another_average_risk_as_in_r(hospitals: Path):
    result = read_result(hospitals / "updated" / "result.json", RunResult)
    (step,) = result.updated_from
    assert (step.method, step.asked_for, step.num_patients, step.events) == ("intercept", "auto", 406, 285)
    assert (step.intercept, step.slope) == pytest.approx(
        (0.869435049501, 1.0), abs=1e-5
    )  # train.py stops at five digits
    assert list(step.p_values) == ["none", "intercept"]
    assert step.p_values["none"] == pytest.approx(2.40389371229e-13, rel=1e-4)
    assert step.p_values["intercept"] == pytest.approx(0.285685065719, abs=1e-5)
    before = read_result(hospitals / "run" / "result.json", RunResult)
    assert (step.config_hash, step.data_hash) == (before.config_hash, before.data_hash)
    assert (step.model_digest, step.num_train) == (before.model_digest, before.num_train)
    assert result.update is not None
    assert result.update.original_calibration is not None
    assert result.update.original_calibration.intercept.value == pytest.approx(0.869435049501, abs=1e-5)
    assert result.update.original_calibration.slope.value == pytest.approx(1.109836367013, abs=1e-5)


def test_the_update_claims_a_better_average_risk_and_no_better_ranking(hospitals: Path):
    result = read_result(hospitals / "updated" / "result.json", RunResult)
    assert result.update is not None
    updated, original, prevalence = result.update.comparison
    assert (updated.is_model, prevalence.model) == (True, "prevalence")
    assert original.auroc_difference is not None
    assert original.brier_difference is not None
    assert (original.brier_difference.high or 0) < 0
    assert (result.update.ranking, result.update.risks) == ("same", "better")
    assert result.update.conclusion[0] == ("The update corrects the average risk. It does not make the ranking better.")
    assert not any("ranking is better" in text for text in result.update.conclusion)
    assert sum(result.update.chosen.values()) == 10
    assert result.calibration is not None
    assert result.calibration.cv is not None
    assert abs(result.calibration.cv.intercept.value or 1) < 0.05
    card = json.loads((hospitals / "updated" / "model" / "model.json").read_text())
    assert card["calibration"]["cv"]["mean_risk"] == pytest.approx(0.702, abs=0.01)
    assert "updated" in card["caveats"]
    assert not any(word in json.dumps(card) for word in (str(hospitals), result.data_hash, "r0"))


def test_an_updated_run_predicts_reports_and_knows_the_patients_of_both_hospitals(hospitals: Path, tmp_path: Path):
    run, new, old = hospitals / "updated", hospitals / "b" / "gbsg.csv", hospitals / "a" / "rotterdam.csv"
    own = pd.read_csv(run / "predictions.csv", dtype={"patient_id": str})
    result, again = predict_with(run, new, tmp_path / "new")
    np.testing.assert_allclose(again["probability"], own["probability"], atol=1e-12)
    assert set(again["role"]) == {"train"}
    assert result.verdict == NO_LEAKAGE
    _, original = predict_with(hospitals / "run", new, tmp_path / "original")
    difference = logit(own["probability"]) - logit(original["probability"])
    np.testing.assert_allclose(difference, 0.869435049501, atol=1e-5)
    result, _ = predict_with(run, old, tmp_path / "old")
    assert (result.num_train, result.num_patients) == (2856, 2856)
    page = report(load_config(ReportConfig, [f"run_dir={run}"]), tmp_path / "page")
    text = page.read_text()
    assert "The update corrects the average risk. It does not make the ranking better." in text
    assert "tested on patients who were not used" not in text
    with pytest.raises(UserError, match="no new patient has a known outcome: 406 patients"):
        update_with(run, new, tmp_path / "twice")


def test_a_patient_gets_a_calibrated_risk_from_the_new_patients_alone(hospitals: Path, tmp_path: Path):
    known = read_result(hospitals / "updated" / "result.json", RunResult).calibrated_risk
    assert known is not None
    assert (known.num_patients, known.events) == (406, 285)
    # R's slope and intercept of the original risks, which the update moved by 0.869; Platt's targets are a bit lower
    assert known.slope == pytest.approx(1.109836367013, abs=0.02)
    assert known.intercept + known.slope * 0.869435049501 == pytest.approx(0.8783, abs=0.02)
    patient = ("age=60", "nodes=1.5", "grade=2", "meno=1")
    before, after = (ask(hospitals / name, tmp_path / name, *patient) for name in ("run", "updated"))
    assert before.calibrated is None
    assert logit(after.risk) - logit(before.risk) == pytest.approx(0.869435049501, abs=1e-5)
    assert after.calibrated is not None
    assert after.calibrated.low is not None
    assert after.calibrated.high is not None
    assert before.risk < after.calibrated.low < after.risk < after.calibrated.high
    assert "Of 406 patients in the cohort it was updated with, 285 had the outcome." in after.text
    assert "This model was not compared with the baselines in that cohort." in after.text
    far = ask(hospitals / "updated", tmp_path / "far", "age=99", *patient[1:])
    assert any(line.startswith("Outside of the range of the cohort it was updated with: age") for line in far.text)


def test_the_same_update_again_is_done_and_writes_nothing(hospitals: Path, caplog: pytest.LogCaptureFixture):
    run = hospitals / "updated"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    again = update_with(hospitals / "run", hospitals / "b" / "gbsg.csv", run)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert again == read_result(run / "result.json", RunResult)
    with pytest.raises(UserError, match="method=auto there, intercept here"):
        update_with(hospitals / "run", hospitals / "b" / "gbsg.csv", run, "method=intercept")


def test_a_second_update_keeps_the_whole_ancestry(small: Path, tmp_path: Path):
    second, third = (simulate(tmp_path / f"{seed}.csv", 80, seed, 1.0) for seed in (2, 3))
    update_with(small / "run", second, tmp_path / "once", "method=intercept_slope")
    result = update_with(tmp_path / "once", third, tmp_path / "twice", "method=intercept")
    assert [step.method for step in result.updated_from] == ["intercept", "intercept_slope"]
    assert [step.num_train for step in result.updated_from] == [80, 36]  # 36 of 60 train
    for number, root in ((60, small / "a" / "first.csv"), (80, second), (80, third)):
        found, _ = predict_with(tmp_path / "twice", root, tmp_path / "found")
        assert (found.num_train, found.verdict) == (number, NO_LEAKAGE)
    shutil.rmtree(tmp_path / "once")  # the directory holds all that it needs
    other = simulate(tmp_path / "4.csv", 40, 4)
    _, twice = predict_with(tmp_path / "twice", other, tmp_path / "by_both")
    _, original = predict_with(small / "run", other, tmp_path / "by_first")
    (last, first) = result.updated_from
    expected = last.intercept + first.intercept + first.slope * logit(original["probability"])
    np.testing.assert_allclose(logit(twice["probability"]), expected, atol=1e-9)


def test_patients_of_the_run_are_left_out_and_counted(small: Path, tmp_path: Path):
    new = pd.read_csv(simulate(tmp_path / "new.csv", 80, 5))
    both = pd.concat([pd.read_csv(small / "a" / "first.csv"), new])
    both.to_csv(tmp_path / "both.csv", index=False)
    result = update_with(small / "run", tmp_path / "both.csv", tmp_path / "updated", "method=none")
    assert result.updated_from[0].left_out_patients == {"train": 60}
    assert (result.num_train, result.flow.unused) == (80, 60)
    _, original = predict_with(small / "run", tmp_path / "both.csv", tmp_path / "original")
    kept = pd.read_csv(tmp_path / "updated" / "predictions.csv")
    np.testing.assert_array_equal(kept["probability"], original["probability"])
    assert result.update is not None
    assert (result.update.ranking, result.update.risks) == ("same", "same")


def test_an_updated_run_has_the_figures_tables_and_own_metrics_of_a_run(small: Path, tmp_path: Path):
    root, metric = simulate(tmp_path / "new.csv", 90, 11, 1.0), "torchmetrics.classification.BinaryF1Score"
    result = update_with(small / "run", root, tmp_path / "once", "method=intercept", f"metrics=[{metric}]")
    assert {path.stem for path in (tmp_path / "once" / "figures").iterdir()} == {
        "roc", "comparison", "calibration", "decision_curve", "subgroups",
    }  # fmt: skip
    curve = pd.read_csv(tmp_path / "once" / "decision_curve.csv")
    assert {"logistic (updated)", "logistic (original)"} < set(curve["strategy"])
    assert [each.source for each in result.own_metrics] == [metric]
    name = result.own_metrics[0].name
    assert result.metrics[f"cv/{name}"].value is not None
    assert result.update is not None
    assert set(result.update.comparison[1].own_metrics) == {name}
    again = update_with(tmp_path / "once", simulate(tmp_path / "next.csv", 90, 12), tmp_path / "twice", "method=none")
    assert f"cv/{name}" in again.metrics  # torchmetrics may be imported without being named
    with pytest.raises(UserError, match="metrics"):
        update_with(small / "run", root, tmp_path / "wrong", "metrics=[no_such_metric]")


def test_the_checklist_says_how_the_model_was_updated_and_how_good_the_update_is(small: Path, tmp_path: Path):
    update_with(small / "run", simulate(tmp_path / "new.csv", 90, 13, 1.0), tmp_path / "updated", "method=intercept")
    rows = {row["item"]: row for row in checklist_rows(read_run(tmp_path / "updated"))}
    assert (rows["12f"]["status"], rows["24"]["status"]) == (DONE, DONE)
    assert rows["12f"]["filled"].startswith("intercept: corrects the average risk (the last one as asked for); 5-fold")
    assert rows["24"]["filled"].startswith("AUROC 0.")
    assert "recalibrated in the patients of the update" in rows["13"]["filled"]
    assert rows["16"]["status"] == PARTLY
    assert rows["16"]["filled"].startswith("the model before the update: 36 patients")
    assert "90 new patients" in rows["12a"]["filled"]
    before = {row["item"]: row for row in checklist_rows(read_run(small / "run"))}
    assert before["12f"]["filled"] == "this run fits a model and does not update it"
    assert before["24"]["filled"] == "no model was updated"


def test_every_center_of_the_new_hospitals_judges_an_update_by_the_others(small: Path, tmp_path: Path):
    root = simulate(tmp_path / "new.csv", 120, 14, 1.0)
    table = pd.read_csv(root)
    table.assign(center=[f"Ward {number % 4}" for number in range(120)]).to_csv(root, index=False)
    result = update_with(small / "run", root, tmp_path / "updated", "method=intercept")
    assert result.data.num_centers == 4
    assert result.by_center is not None
    assert result.by_center.best_baseline == "logistic (original)"
    assert [row.num_train for row in result.by_center.centers] == [90] * 4
    own = pd.read_csv(tmp_path / "updated" / "predictions.csv")
    _, original = predict_with(small / "run", root, tmp_path / "original")
    first = (table["patient_id"].factorize()[0] % 4) == 0
    by_hand = logit(original["probability"])
    shift = 0.0
    for _ in range(50):  # Newton's method: the intercept of the other three centers
        risks = expit(by_hand[~first] + shift)
        shift += (own["label"][~first] - risks).sum() / (risks * (1 - risks)).sum()
    row = next(row for row in result.by_center.centers if row.center == "Ward 0")
    assert row.mean_risk == pytest.approx(expit(by_hand[first] + shift).mean(), abs=1e-4)
    filled = {row["item"]: row for row in checklist_rows(read_run(tmp_path / "updated"))}
    assert "each of 4 centers was left out once and scored by an update by the others" in filled["12d"]["filled"]
    assert filled["23b"]["filled"].startswith("4 centers")


def test_too_few_events_leave_a_method_out_or_are_refused(small: Path, tmp_path: Path):
    few = simulate(tmp_path / "few.csv", 18, 6)
    with pytest.raises(
        UserError, match=r"method=auto: intercept needs 10 patients of the rarer outcome.*; there are \d"
    ):
        update_with(small / "run", few, tmp_path / "few", "num_folds=2")
    some = simulate(tmp_path / "some.csv", 40, 7)
    with pytest.raises(UserError, match=r"method=refit: refit needs 30 patients .* give method=none or"):
        update_with(small / "run", some, tmp_path / "some", "method=refit")
    result = update_with(small / "run", some, tmp_path / "some")
    assert set(result.updated_from[0].left_out_methods) >= {"refit"}
    assert (tmp_path / "some" / "DONE").is_file()
    with pytest.raises(UserError, match="num_folds=30: too many folds"):
        update_with(small / "run", some, tmp_path / "folds", "num_folds=30")


def test_a_model_folder_can_be_updated_and_says_that_its_patients_are_not_known(small: Path, tmp_path: Path):
    root = simulate(tmp_path / "new.csv", 100, 8, 1.0)
    shutil.copytree(small / "run" / "model", tmp_path / "model")
    result = update_with(tmp_path / "model", root, tmp_path / "updated", "method=refit")
    assert result.verdict.startswith(f"{INCOMPLETE}: a model folder does not hold")
    assert result.updated_from[0].recognition_digest is None
    train_on(root, tmp_path / "again", "features.columns=[age,grade]", "model=logistic", "model.C=1e9")
    _, refitted = predict_with(tmp_path / "updated", root, tmp_path / "one")
    _, trained = predict_with(tmp_path / "again", root, tmp_path / "two")
    np.testing.assert_allclose(refitted["probability"], trained["probability"], atol=1e-9)
    found, _ = predict_with(tmp_path / "updated", small / "a" / "first.csv", tmp_path / "first")
    assert found.verdict.startswith(INCOMPLETE)


def test_a_network_is_refitted_with_the_settings_of_its_run(small: Path, tmp_path: Path):
    network = [
        "features.columns=[age,grade]",
        "model=mlp",
        "model.hidden_dim=4",
        "trainer.max_epochs=20",
        "optimizer.lr=0.01",
    ]
    train_on(small / "a" / "first.csv", tmp_path / "run", *network)
    root = simulate(tmp_path / "new.csv", 60, 9)
    update_with(tmp_path / "run", root, tmp_path / "updated", "method=refit", "num_repeats=1", "num_folds=2")
    train_on(root, tmp_path / "again", *network)
    _, refitted = predict_with(tmp_path / "updated", root, tmp_path / "one")
    _, trained = predict_with(tmp_path / "again", root, tmp_path / "two")
    np.testing.assert_allclose(refitted["probability"], trained["probability"], atol=1e-6)
    shutil.copytree(tmp_path / "run" / "model", tmp_path / "model")
    with pytest.raises(UserError, match=r"method=refit: model\.json does not hold how long mlp was trained"):
        update_with(tmp_path / "model", root, tmp_path / "folder", "method=refit")
    result = update_with(tmp_path / "run", root, tmp_path / "auto")
    assert "only for logistic regressions without penalty" in result.updated_from[0].left_out_methods["refit"]


def test_too_few_patients_of_an_outcome_and_inputs_without_values_are_named(
    small: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    table = pd.read_csv(simulate(tmp_path / "new.csv", 60, 15))
    for name, rows in (("one", table.assign(relapse=0)), ("five", table.sort_values("relapse").head(5))):
        rows.to_csv(tmp_path / f"{name}.csv", index=False)
        with pytest.raises(UserError, match=r"\d+ new patients, 0 with the outcome: too few to update or to check a"):
            update_with(small / "run", tmp_path / f"{name}.csv", tmp_path / name)
    table.assign(age=np.nan).to_csv(tmp_path / "ageless.csv", index=False)
    result = update_with(small / "run", tmp_path / "ageless.csv", tmp_path / "ageless", "method=none")
    assert "no new patient has a value of age: the model takes the value of its training cohort" in caplog.text
    assert "input_without_values" in result.caveats


def test_the_table_of_the_run_under_other_names_is_noticed(small: Path, tmp_path: Path):
    table = pd.read_csv(small / "a" / "first.csv")
    table.assign(patient_id=[f"other{number}" for number in range(60)]).to_csv(tmp_path / "other.csv", index=False)
    result = update_with(small / "run", tmp_path / "other.csv", tmp_path / "updated", "method=none")
    # the other 12 are recognized by their measurements
    assert result.verdict.startswith(f"{INCOMPLETE}: 48 of 48 new patients have the values of patients of the run")
    few = pd.concat([table.head(20), pd.read_csv(simulate(tmp_path / "new.csv", 60, 16))])
    few.assign(patient_id=[f"other{number}" for number in range(80)]).to_csv(tmp_path / "few.csv", index=False)
    assert update_with(small / "run", tmp_path / "few.csv", tmp_path / "few", "method=none").verdict == NO_LEAKAGE


def test_the_brain_score_is_not_trained_again(tmp_path: Path):
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hemexp.commands.train.run_figures", lambda *_: {})
        train(load_config(TrainConfig, ["data=synthetic", "data.num_patients=40", "model=brain", *QUICK]), run)
    new = ["data=synthetic", "data.num_patients=60", "data.prevalence=0.45", "data.seed=9", "num_repeats=1"]
    with pytest.raises(UserError, match="method=refit: the BRAIN score has published points"):
        update(load_config(UpdateConfig, [f"run_dir={run}", *new, "method=refit"]), tmp_path / "updated")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["checkpoints/best.ckpt", "predictions.csv", "cv_scores.csv", "figures/roc.png"])
def test_a_killed_update_is_not_accepted_and_can_be_started_again(file: str, small: Path, tmp_path: Path):
    root, run = simulate(tmp_path / "new.csv", 80, 17, 1.0), tmp_path / "updated"
    command = [sys.executable, str(ROOT / "update.py"), f"run_dir={small / 'run'}", f"data.root={root}",
               "num_repeats=2", f"output_dir={run}"]  # fmt: skip
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not (run / file).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert not (run / "DONE").exists()
    with pytest.raises(UserError, match="is not a finished run"):
        predict_with(run, root, tmp_path / "predicted")
    update_with(small / "run", root, run)
    update_with(small / "run", root, tmp_path / "whole")
    for name in ("predictions.csv", "cv_scores.csv", "recognition.csv", "ancestors/1.csv", "DONE"):
        assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_cohort_without_the_outcome_is_refused(small: Path, tmp_path: Path):
    pd.read_csv(simulate(tmp_path / "new.csv", 30, 10)).drop(columns="relapse").to_csv(
        tmp_path / "none.csv", index=False
    )
    with pytest.raises(UserError, match="does not hold the outcome of the model"):
        update_with(small / "run", tmp_path / "none.csv", tmp_path / "updated")


def test_the_hash_of_an_update_is_of_the_model_and_not_of_its_place(small: Path, tmp_path: Path):
    def compute(run: Path, *overrides: str) -> str:
        root = small / "a" / "first.csv"
        return config_hash(load_config(UpdateConfig, [f"run_dir={run}", f"data.root={root}", *overrides]))

    shutil.copytree(small / "run", tmp_path / "copy")
    assert compute(tmp_path / "copy") == compute(small / "run") == compute(small / "run", "method=auto")
    assert compute(small / "run", "method=none") != compute(small / "run")
    assert compute(small / "run" / "model") != compute(small / "run")
