"""The files that the commands write: run directories, predictions and tables."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from small import QUIET

from hemexp.cohort import columns as c
from hemexp.cohort.findings import CohortError
from hemexp.cohort.load import load_cohort
from hemexp.commands.predict import predict
from hemexp.commands.prepare import prepare
from hemexp.commands.report import report
from hemexp.commands.train import train
from hemexp.config import DataConfig, PredictConfig, PrepareConfig, ReportConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.errors import UserError
from hemexp.evaluation.folds import find_leak
from hemexp.evaluation.plan import EvaluationPlan
from hemexp.files.model_folder import read_model_card
from hemexp.files.result import NO_LEAKAGE
from hemexp.files.writing import write_csv
from hemexp.training.loggers import open_loggers

pytestmark = pytest.mark.usefixtures("undrawn")
SCORES = {"accuracy", "majority_accuracy", "auroc", "auprc", "brier", "log_loss"}


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"patient_id": str, "scan_serial": str, "first_scan_serial": str})


def predict_with(run: Path, root: Path, directory: Path) -> pd.DataFrame:
    predict(load_config(PredictConfig, [f"run_dir={run}", f"data.root={root}"]), directory)
    return read(directory / "predictions.csv")


def test_a_run_directory_holds_the_documented_files(finished_run: Path):
    names = {str(path.relative_to(finished_run)) for path in finished_run.rglob("*") if path.is_file()}
    expected = {"result.json", "predictions.csv", "history.csv", "splits.json", "DONE"}
    expected |= {
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "figures/loss.png",
        "figures/roc.png",
    }
    assert expected <= names
    assert not any("partial" in name or "lock" in name for name in names)


def test_the_result_holds_scores_counts_verdict_and_caveats(finished_run: Path):
    result = json.loads((finished_run / "result.json").read_text())
    assert (result["status"], result["verdict"]) == ("done", NO_LEAKAGE)
    assert "treatments_after_first_scan" in result["caveats"]
    assert (result["num_train"], result["num_test"], result["num_features"]) == (24, 16, 72)
    assert result["data"]["kind"] == "workbook"
    assert set(result["metrics"]) == {f"{stage}/{name}" for stage in ("test", "cv") for name in SCORES}
    for score in result["metrics"].values():
        assert set(score) == {"value", "low", "high"}
    assert {"config_hash", "data_hash", "seed", "versions", "seconds", "events_train", "events_test"} <= set(result)


def test_predictions_history_and_splits_agree(finished_run: Path):
    result = json.loads((finished_run / "result.json").read_text())
    table, history = read(finished_run / "predictions.csv"), pd.read_csv(finished_run / "history.csv")
    assert table.columns.tolist() == ["patient_id", "role", "label", "probability"]
    assert table["role"].value_counts().to_dict() == {"train": 24, "test": 16, "unlabelled": 5}
    assert table.loc[table["role"] == "unlabelled", "label"].isna().all()
    assert table["probability"].between(0, 1).all()
    test = table[table["role"] == "test"]
    assert result["metrics"]["test/brier"]["value"] == pytest.approx(
        ((test["probability"] - test["label"]) ** 2).mean()
    )
    assert history.columns.tolist()[:2] == ["epoch", "train/loss"]
    assert history["epoch"].tolist() == list(range(result["epochs"]))
    splits = json.loads((finished_run / "splits.json").read_text())
    assert splits["test"] == test["patient_id"].tolist()
    assert sum(map(len, splits.values())) == len(table)


def test_tensorboard_holds_curves_figures_graph_config_and_hparams(finished_run: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(finished_run / "tensorboard")).Reload()
    tags = board.Tags()
    history = pd.read_csv(finished_run / "history.csv")
    curve = [event.value for event in board.Scalars("train/loss")]
    np.testing.assert_allclose(curve, history["train/loss"], rtol=1e-6)
    figures = {path.stem for path in (finished_run / "figures").glob("*.png")}
    assert {f"visual/{name}" for name in figures} == set(tags["images"])
    assert {"loss", "roc", "comparison", "calibration"} <= figures
    assert tags["graph"]
    assert "config/text_summary" in tags["tensors"]
    auroc = json.loads((finished_run / "result.json").read_text())["metrics"]["test/auroc"]["value"]
    assert [event.value for event in board.Scalars("test/auroc")] == [pytest.approx(auroc)]
    plugin = board.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"optimizer.lr" in plugin
    assert b"_verdict" not in plugin
    (scores,) = board.Tensors("scores/text_summary")
    (text,) = (words.decode() for words in scores.tensor_proto.string_val)
    conclusion = json.loads((finished_run / "result.json").read_text())["conclusion"]
    assert text.startswith(f"**conclusion: {conclusion}**\n\nverdict: {NO_LEAKAGE}")
    assert "caveat treatments_after_first_scan" in text
    assert re.search(r"\| cv/auroc \| 0\.\d{3} \(0\.\d{3} to \d\.\d{3}\) \|", text)


def test_predict_gives_the_runs_own_probabilities(
    finished_run: Path, workbooks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")}
    again, own = predict_with(finished_run, workbooks, tmp_path), read(finished_run / "predictions.csv")
    assert set(again.pop("recognized_by")) == {"id and serial"}
    assert again.pop("run_patient").tolist() == own["patient_id"].tolist()
    about_risks = ["risk_percent", "calibrated_low", "calibrated_high", "inputs_missing", "outside_range"]
    assert list(again) == [*own, *about_risks]
    added = again[about_risks]
    known = read_model_card(finished_run / "model").calibrated_risk
    calibrated = [100 * known.interval(risk)[0] for risk in own["probability"]]
    assert added["risk_percent"].tolist() == pytest.approx(calibrated, abs=0.06)
    assert (added["calibrated_low"] < added["risk_percent"] / 100).all()
    assert (added["risk_percent"] / 100 < added["calibrated_high"]).all()
    assert added["outside_range"].notna().any()  # 2.5 % of the training patients on each side
    again = again.drop(columns=about_risks)
    pd.testing.assert_frame_equal(again, own, atol=1e-6)
    results = [json.loads((folder / "result.json").read_text()) for folder in (tmp_path, finished_run)]
    for key, score in results[0]["metrics"].items():
        assert score == pytest.approx(results[1]["metrics"][key], abs=1e-6), key
    tested = [result["calibration"]["test"] for result in results]
    assert tested[0]["slope"] == pytest.approx(tested[1]["slope"], rel=1e-4)
    assert results[0]["num_own_test"] == 16
    assert "own_test_part" in results[0]["caveats"]
    printed = capsys.readouterr().out
    assert printed.startswith("no new patient has a known outcome: the scores are those of the run's own test part")
    assert "16 patients scored (the run's own test part)" in printed
    assert {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")} == before


def test_a_prediction_does_not_depend_on_the_other_patients_in_the_file(
    finished_run: Path, workbooks: Path, tmp_path: Path
):
    scans = load_cohort(DataConfig("workbook", str(workbooks))).scans
    scans.loc[scans["patient_id"] == "sub030", ["age", "ED_original_shape_Elongation"]] = np.nan
    alone = scans[scans["patient_id"] == "sub030"]
    reversed_order = pd.concat([scans[scans["patient_id"] == name] for name in scans["patient_id"].unique()[::-1]])
    tables = []
    for name, table in (("all", scans), ("alone", alone), ("reversed", reversed_order)):
        (tmp_path / name).mkdir()
        write_csv(table, tmp_path / name / "scans.csv")
        tables.append(predict_with(finished_run, tmp_path / name, tmp_path / f"out_{name}").set_index("patient_id"))
    caveats = json.loads((tmp_path / "out_all" / "result.json").read_text())["caveats"]
    assert "trained_on_synthetic" in caveats  # the file does not say that its patients are simulated
    assert "synthetic_cohort" not in caveats
    for table in tables[1:]:
        pd.testing.assert_series_equal(
            table["probability"], tables[0]["probability"].reindex(table.index), atol=1e-6, check_exact=False
        )


def test_patients_of_another_cohort_with_a_known_outcome_are_scored(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    cohort = ["data.seed=7", "data.num_patients=30", "data.num_unlabelled=4"]
    prepare(load_config(PrepareConfig, cohort), tmp_path / "other")
    table = predict_with(finished_run, tmp_path / "other" / "workbooks", tmp_path / "out")
    assert table["role"].value_counts().to_dict() == {"test": 30, "unlabelled": 4}
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["verdict"] == NO_LEAKAGE
    assert (result["num_test"], result["num_train"]) == (30, 0)
    assert set(result["metrics"]) == {f"test/{name}" for name in SCORES}
    scored = table[table["role"] == "test"]
    calibrated = result["calibration"]["test"]
    assert calibrated["mean_risk"] == pytest.approx(scored["probability"].mean())
    assert calibrated["observed"] == pytest.approx(scored["label"].mean())
    rows = {row["model"]: row for row in result["comparison"]}
    assert set(rows) == {"sacnn", "brain"}
    apart = rows["sacnn"]["test_auroc"]["value"] - rows["brain"]["test_auroc"]["value"]
    assert rows["brain"]["test_auroc_difference"]["value"] == pytest.approx(apart)
    assert result["num_own_test"] == 0
    assert {"trained_on_synthetic", "synthetic_cohort"} <= set(result["caveats"])
    printed = capsys.readouterr().out
    assert re.search(r"│ brain +│ 0\.\d{3} \(0\.\d{3} to \d\.\d{3}\) │ +-?0\.\d{3} \(", printed)
    assert "ranking at random" in printed
    assert "own test part" not in printed
    assert "30 patients scored (new patients)" in printed
    assert "new patients (95 % interval)" in printed
    assert "calibration in these patients: intercept" in printed
    assert "too few for a validation" in printed


def test_training_patients_are_recognized_in_another_file(finished_run: Path, workbooks: Path, tmp_path: Path):
    scans = load_cohort(DataConfig("workbook", str(workbooks))).scans
    write_csv(scans[scans["patient_id"].isin(["sub001", "sub002", "sub039", "sub044"])], tmp_path / "scans.csv")
    table = predict_with(finished_run, tmp_path, tmp_path / "out")
    assert table["role"].tolist() == ["train", "train", "test", "unlabelled"]


def test_training_patients_are_recognized_under_another_name(finished_run: Path, workbooks: Path, tmp_path: Path):
    scans = load_cohort(DataConfig("workbook", str(workbooks))).scans
    ids = "H2_" + scans["patient_id"]
    rounded = scans.select_dtypes("float").map(lambda value: float(f"{value:.12g}"))
    renamed = {"serial kept": scans.assign(patient_id=ids, HM_volume=scans["HM_volume"] + 1)}
    renamed["all but rounding"] = scans.assign(patient_id=ids, scan_serial="9" + scans["scan_serial"], **rounded)
    for name, table in renamed.items():
        (tmp_path / name).mkdir()
        write_csv(table, tmp_path / name / "scans.csv")
        roles = predict_with(finished_run, tmp_path / name, tmp_path / f"out {name}")["role"].tolist()
        assert roles == read(finished_run / "predictions.csv")["role"].tolist()


def test_a_damaged_file_of_a_run_is_named(finished_run: Path, workbooks: Path, tmp_path: Path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    cfg = load_config(PredictConfig, [f"run_dir={run}", f"data.root={workbooks}"])
    damages = {
        "checkpoints/best.ckpt": "is cut, or is not a checkpoint",
        "recognition.csv": "was changed after hemexp wrote it",
        "result.json": "has no schema_version",
    }
    for name, words in damages.items():
        whole = (run / name).read_bytes()
        (run / name).write_text("{}" if name == "result.json" else "[1]")
        with pytest.raises(UserError, match=f"{name}: .*{words}"):
            predict(cfg, tmp_path / "out")
        (run / name).write_bytes(whole)


def test_patients_whom_only_their_measurements_tell_are_named_where_these_are_not_used(
    finished_run: Path, workbooks: Path, tmp_path: Path
):
    scans = load_cohort(DataConfig("workbook", str(workbooks))).scans
    write_csv(
        scans.assign(patient_id="H2_" + scans["patient_id"], scan_serial="9" + scans["scan_serial"]),
        tmp_path / "scans.csv",
    )
    overrides = [f"run_dir={finished_run}", f"data.root={tmp_path / 'scans.csv'}", "recognize=ids"]
    result = predict(load_config(PredictConfig, overrides), tmp_path / "out")
    assert (result.num_train, result.recognized) == (0, {})
    assert "INCOMPLETE: recognize=ids: 45 patients have the measurements" in result.verdict


def test_the_parts_of_an_older_run_are_lists(finished_run: Path, workbooks: Path, tmp_path: Path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    (run / "recognition.csv").unlink()
    for content in ('{"train": null}', '{"foo": ["1"]}', '{"train": "abc"}'):
        (run / "splits.json").write_text(content)
        with pytest.raises(UserError, match=r"splits\.json: must hold lists of patients"):
            predict(load_config(PredictConfig, [f"run_dir={run}", f"data.root={workbooks}"]), tmp_path / "out")


def test_tensorboard_is_in_a_run_directory_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "elsewhere"))
    cfg = load_config(TrainConfig, ["data=synthetic"])
    with open_loggers(cfg, tmp_path / "a $ELSEWHERE" / "~", None) as loggers:
        loggers[0].log_metrics({"loss": 1.0}, 0)
    assert list((tmp_path / "a $ELSEWHERE" / "~" / "tensorboard").iterdir())
    assert not (tmp_path / "elsewhere").exists()


def test_the_patients_of_an_older_run_are_recognized_by_their_ids_and_the_verdict_says_so(
    finished_run: Path, workbooks: Path, tmp_path: Path
):
    run = shutil.copytree(finished_run, tmp_path / "run")
    (run / "recognition.csv").unlink()
    (run / "fingerprint.json").write_text('{"0123456789abcdef": "train"}')
    cfg = load_config(PredictConfig, [f"run_dir={run}", f"data.root={workbooks}"])
    result = predict(cfg, tmp_path / "out")
    assert result.verdict.startswith(
        "INCOMPLETE: the run has no recognition.csv: its patients are recognized by their ids"
    )
    assert (result.num_train, result.recognized) == (24, {"id": 45})
    (run / "splits.json").unlink()
    result = predict(cfg, tmp_path / "out")
    assert "its patients are not recognized" in result.verdict
    assert (result.num_train, result.recognized) == (0, {})


def test_the_headline_is_the_score_of_the_new_patients_alone(
    finished_run: Path, workbooks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other = ["data.seed=7", "data.num_patients=30", "data.num_unlabelled=4"]
    prepare(load_config(PrepareConfig, other), tmp_path / "other")
    alone = predict_with(finished_run, tmp_path / "other" / "workbooks", tmp_path / "alone")
    new = load_cohort(DataConfig("workbook", str(tmp_path / "other" / "workbooks"))).scans
    scans = load_cohort(DataConfig("workbook", str(workbooks))).scans
    hidden = scans.assign(patient_id="H" + scans["patient_id"], scan_serial="9" + scans["scan_serial"])
    tables = {"own": scans, "measurements": hidden}
    first = json.loads((tmp_path / "alone" / "result.json").read_text())
    own = json.loads((finished_run / "result.json").read_text())
    for name, table in tables.items():
        (tmp_path / name).mkdir()
        write_csv(pd.concat([table, new.assign(patient_id="N" + new["patient_id"])]), tmp_path / name / "scans.csv")
        capsys.readouterr()
        mixed = predict_with(finished_run, tmp_path / name, tmp_path / f"out {name}")
        assert mixed["recognized_by"].value_counts().to_dict() == {"id and serial" if name == "own" else name: 45}
        np.testing.assert_allclose(mixed["probability"].tail(34), alone["probability"], atol=1e-6)
        result = json.loads((tmp_path / f"out {name}" / "result.json").read_text())
        assert (result["num_test"], result["num_own_test"], result["num_train"]) == (30, 16, 24)
        assert result["events_test"] == first["events_test"]
        for key, score in result["metrics"].items():
            part = own if key.startswith("own_test/") else first
            assert score == pytest.approx(part["metrics"][key.removeprefix("own_")], abs=1e-6), key
        printed = capsys.readouterr().out
        assert "30 patients scored (new patients)" in printed
        assert "16 patients are the run's own test part" in printed
        assert ("recognized as the run's own by measurements alone" in printed) == (name == "measurements")
    run = [f"run_dir={finished_run}", f"data.root={tmp_path / 'measurements'}"]
    for option, words in (
        ("ids", "recognize=ids: 45 patients have the measurements of patients of the run, and may be scored as new"),
        ("off", "recognize=off: training patients may be scored"),
    ):
        result = predict(load_config(PredictConfig, [*run, f"recognize={option}"]), tmp_path / "out")
        assert (result.num_train, result.num_test, result.verdict) == (0, 70, f"INCOMPLETE: {words}")


@pytest.mark.parametrize("parts", ["split", "folds", "training folds", "unlabelled"])
def test_one_person_on_two_sides_of_the_split_is_a_leak_that_the_verdict_names(
    workbooks: Path, tmp_path: Path, parts: str
):
    scans = load_cohort(DataConfig("workbook", str(workbooks))).scans
    kept = scans[scans["patient_id"].isin(["sub044"] if parts == "unlabelled" else ["sub003"])]
    again = kept.assign(patient_id="again", scan_serial=kept["scan_serial"].str[:8] + "9" + kept["scan_serial"].str[9:])
    scans = pd.concat([scans, again] if parts == "split" else [again, scans])  # the last patients test
    (tmp_path / "cohort").mkdir()
    write_csv(scans, tmp_path / "cohort" / "scans.csv")
    evaluation = {
        "split": ["evaluation=off"],
        "folds": ["evaluation.num_repeats=1", "evaluation.threshold_repeats=0"],
        "training folds": ["evaluation.num_repeats=0", "evaluation.threshold_repeats=1"],
    }.get(parts, [])
    options = [f"data.root={tmp_path / 'cohort'}", "model=ridge2", "trainer.progress_bar=false", *evaluation]
    data = ExpansionDataModule.from_config(cfg := load_config(TrainConfig, options))
    data.setup()
    assert find_leak(cfg, data) == ("same_patient" if parts == "split" else None)
    if parts != "split":  # in folds, both ids are held out together
        ((first, second),) = data.cohort.same_patients
        plan = EvaluationPlan(cfg, data, {})
        assert bool(plan.folds) == (parts == "folds") or parts == "unlabelled"
        for fold in (*plan.folds, *plan.training_folds):
            assert (first in fold.test) == (second in fold.test) or parts == "unlabelled"
        return
    result = train(cfg, tmp_path / "run")
    assert result.verdict == "LEAKAGE: same_patient"
    assert result.data.findings["same_patient"] == 2
    assert (tmp_path / "run" / "DONE").read_text() == "LEAKAGE: same_patient\n"
    report(load_config(ReportConfig, [f"run_dir={tmp_path / 'run'}"]), tmp_path / "report")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "One person has two ids" in page
    assert "LEAKAGE: same_patient" in page


def test_one_person_twice_in_the_training_part_is_a_finding_but_no_leak(workbooks: Path, tmp_path: Path):
    scans = load_cohort(DataConfig("workbook", str(workbooks))).scans
    again = scans[scans["patient_id"] == "sub003"]
    serials = again["scan_serial"].str[:8] + "9" + again["scan_serial"].str[9:]
    write_csv(pd.concat([again.assign(patient_id="again", scan_serial=serials), scans]), tmp_path / "scans.csv")
    cfg = load_config(TrainConfig, [f"data.root={tmp_path}", "model=hours", *QUIET])
    result = train(cfg, tmp_path / "run")
    assert (result.verdict, result.data.findings["same_patient"]) == (NO_LEAKAGE, 2)


def test_prepare_writes_four_tables(workbooks: Path, tmp_path: Path):
    prepare(load_config(PrepareConfig, [f"data.root={workbooks}"]), tmp_path)
    scans, patients, labels, quality = (read(tmp_path / f"{n}.csv") for n in ("scans", "patients", "labels", "quality"))
    assert scans.columns.tolist() == patients.columns.tolist() == [*c.SCAN_COLUMNS, "simulated"]
    assert len(patients) == len(labels) == 45
    assert (patients["scan_index"] == 0).all()
    assert labels.columns.tolist() == [
        "patient_id", "first_scan_serial", "expansion", "hours_to_expansion", "reason", "growth_ml", "growth_percent",
        "deciding_scan_serial", "deciding_scan_time",
    ]  # fmt: skip
    assert labels["hours_to_expansion"].notna().equals(labels["expansion"] == 1)
    assert quality.columns.tolist() == [
        "severity", "problem", "file", "sheet", "row", "column", "patient_id", "value", "message", "count",
    ]  # fmt: skip
    assert set(quality["severity"]) == {"warning"}
    assert quality.loc[quality["problem"] == "no_followup", "count"].sum() == 5
    assert not (tmp_path / "completed.csv").exists()


def test_prepared_tables_train_the_same_model(workbooks: Path, finished_run: Path, tmp_path: Path):
    prepare(load_config(PrepareConfig, [f"data.root={workbooks}"]), tmp_path / "tables")
    options = ["trainer.max_epochs=30", *QUIET]
    result = train(load_config(TrainConfig, [f"data.root={tmp_path / 'tables'}", *options]), tmp_path / "run")
    assert "synthetic_cohort" in result.caveats  # the mark is in the tables
    assert "unknown_column" not in result.data.findings
    assert (tmp_path / "run" / "predictions.csv").read_bytes() == (finished_run / "predictions.csv").read_bytes()


def test_the_completed_table_has_no_missing_values_and_the_scans_keep_theirs(tmp_path: Path):
    prepare(load_config(PrepareConfig, ["data.planted_errors=true", "imputation=previous_three"]), tmp_path)
    scans, completed = read(tmp_path / "scans.csv"), read(tmp_path / "completed.csv")
    gaps = scans[c.IMAGING].isna()
    assert gaps.any().any()
    assert not completed[c.CLINICAL + c.IMAGING].isna().any().any()
    assert completed.columns.tolist() == c.SCAN_COLUMNS
    pd.testing.assert_frame_equal(completed[c.IMAGING].where(~gaps), scans[c.IMAGING], check_dtype=False)
    row, name = next((r, n) for n in c.RADIOMICS["ED"] for r in np.flatnonzero(gaps[n]) if r >= 3)
    before = scans[name][:row].dropna().tail(3)
    assert completed[name][row] == pytest.approx(before.mean())


def test_prepare_writes_all_findings_before_it_fails(workbooks: Path, tmp_path: Path):
    scans = load_cohort(DataConfig("workbook", str(workbooks))).scans
    scans.loc[[0, 3], "HM_volume"] = -1
    write_csv(scans, tmp_path / "scans.csv")
    with pytest.raises(CohortError, match=r"quality\.csv"):
        prepare(load_config(PrepareConfig, [f"data.root={tmp_path}"]), tmp_path / "out")
    quality = pd.read_csv(tmp_path / "out" / "quality.csv")
    assert (quality["severity"] == "error").sum() == 2
    assert not (tmp_path / "out" / "scans.csv").exists()


def test_prepare_does_not_mix_two_cohorts(workbooks: Path, tmp_path: Path):
    prepare(load_config(PrepareConfig, ["data.num_patients=10", "data.num_unlabelled=0"]), tmp_path)
    with pytest.raises(UserError, match="workbooks of a synthetic cohort"):
        prepare(load_config(PrepareConfig, [f"data.root={workbooks}"]), tmp_path)


@pytest.mark.slow
def test_the_best_possible_auroc_belongs_to_one_label(tmp_path: Path):
    options = ["data.num_patients=40", "trainer.max_epochs=1", *QUIET]
    default = train(load_config(TrainConfig, options), tmp_path / "a")
    other = train(load_config(TrainConfig, [*options, "label.absolute_ml=3"]), tmp_path / "b")
    assert default.best_possible_auroc > 0.7
    assert other.best_possible_auroc is None


def test_the_prevalence_baseline_is_scored_on_the_test_part(finished_run: Path):
    result, table = json.loads((finished_run / "result.json").read_text()), read(finished_run / "predictions.csv")
    labels = table.groupby("role")["label"]
    share, test = labels.mean()["train"], labels.get_group("test")
    assert result["prevalence_baseline"]["brier"] == pytest.approx(((share - test) ** 2).mean())


def test_a_refused_run_unlocks_the_directory(workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    options = [f"data.root={workbooks}", "trainer.max_epochs=1", *QUIET]
    monkeypatch.setattr("hemexp.commands.train.run_figures", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(load_config(TrainConfig, options), tmp_path)
    with pytest.raises(UserError, match="another configuration") as refused:
        train(load_config(TrainConfig, [*options, "seed=1"]), tmp_path)
    assert str(refused.value).endswith(
        "); that run is not finished (failed: ZeroDivisionError: division by zero); choose a new "
        "directory, or remove this one if that run is not needed"
    )
    with FileLock(tmp_path / ".lock", timeout=0, is_singleton=False):
        pass


def test_cohorts_with_one_outcome_or_without_outcomes_are_refused(workbooks: Path, tmp_path: Path):
    scans = load_cohort(DataConfig("workbook", str(workbooks))).scans
    scans.loc[scans["scan_index"] > 0, [*c.RADIOMICS["Hemo"], *c.RADIOMICS["ED"]]] = np.nan  # of the volumes before
    first = scans.groupby("patient_id", sort=False)["HM_volume"].transform("first")
    tables = {
        "patients with and without it": scans.assign(HM_volume=first),
        "known outcome": scans[scans["scan_index"] == 0],
    }
    for name, table in tables.items():
        (tmp_path / name).mkdir()
        write_csv(table, tmp_path / name / "scans.csv")
        with pytest.raises(UserError, match=name):
            train(load_config(TrainConfig, [f"data.root={tmp_path / name}"]), tmp_path / f"run {name}")


def test_a_run_can_be_repeated_in_the_same_directory_after_the_cohort_is_corrected(workbooks: Path, tmp_path: Path):
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "scans.csv").write_text("patient_id\nsub001\n")
    options = ["trainer.max_epochs=1", *QUIET]
    with pytest.raises(CohortError):
        train(load_config(TrainConfig, [f"data.root={tmp_path / 'cohort'}", *options]), tmp_path / "run")
    assert (tmp_path / "run" / "FAILED").is_file()
    train(load_config(TrainConfig, [f"data.root={workbooks}", *options]), tmp_path / "run")
    assert not (tmp_path / "run" / "FAILED").exists()


def test_a_second_writer_is_refused(workbooks: Path, tmp_path: Path):
    with FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another process"):
        train(load_config(TrainConfig, [f"data.root={workbooks}"]), tmp_path)


@pytest.mark.slow
def test_runs_with_other_choices_finish(workbooks: Path, tmp_path: Path):
    choices = ["features=admission", "features=minimal", "features=all", "split=stratified", "split=kfold"]
    choices += ["model=cnn", "model=attention", "label=absolute_3ml", "model.init=zeros", "model.init=all_zeros"]
    options = [f"data.root={workbooks}", "trainer.max_epochs=2", *QUIET]
    for choice in choices:
        result = train(load_config(TrainConfig, [choice, *options]), tmp_path / choice)
        assert result.verdict == NO_LEAKAGE
        assert ("inert_init" in result.caveats) == ("init" in choice)
