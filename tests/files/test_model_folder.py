"""The folder model/ of a run: it predicts alone, is checked, and tells of no patient."""

import hashlib
import json
import shutil
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
from secrets_of_patients import find_secrets, list_files, list_secrets
from small import FAST, QUIET

from hemexp.cohort.load import load_cohort
from hemexp.commands.predict import predict
from hemexp.commands.train import train
from hemexp.config import DataConfig, PredictConfig, ReportConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.files.model_folder import ModelCard, read_model_card
from hemexp.files.result import PredictionResult, read_result
from hemexp.files.writing import write_csv


@pytest.fixture
def model(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the folder model/ alone."""
    return Path(shutil.copytree(finished_run / "model", tmp_path / "copied model"))


def predict_with(place: Path, root: Path, directory: Path) -> tuple[pd.DataFrame, PredictionResult]:
    predict(load_config(PredictConfig, [f"run_dir={place}", f"data.root={root}"]), directory)
    return pd.read_csv(directory / "predictions.csv"), read_result(directory / "result.json", PredictionResult)


def test_a_copied_model_folder_gives_the_same_probabilities_and_says_that_it_knows_no_patient(
    finished_run: Path, model: Path, workbooks: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    alone, result = predict_with(model, workbooks, tmp_path / "alone")
    with_run, _ = predict_with(finished_run, workbooks, tmp_path / "with run")
    assert alone["probability"].tolist() == with_run["probability"].tolist()
    assert "train" in set(with_run["role"])
    assert "train" not in set(alone["role"])
    assert result.verdict == "INCOMPLETE: a model folder does not hold the run's patients, who may be scored too"
    assert result.config_hash is None
    assert "a model folder does not hold the run's patients" in caplog.text


def test_the_card_holds_what_a_reader_must_know(finished_run: Path, model: Path):
    assert read_model_card(model).title == "SACNN"
    card, result = read_model_card(model), json.loads((finished_run / "result.json").read_text())
    for name in ("conclusion", "verdict", "caveats", "versions", "label_definition", "num_train", "events_train"):
        assert getattr(card, name) == result[name], name
    assert card.metrics["cv/auroc"].value == result["metrics"]["cv/auroc"]["value"]
    assert card.calibration is not None
    assert card.thresholds
    assert card.input_names == result["inputs"]
    assert next(each for each in card.inputs if each.name == "HM_volume").unit == "10^-3 mL"
    age = next(each for each in card.inputs if each.name == "age")
    assert None not in (age.mean, age.sd, age.low, age.high)
    assert age.low < age.mean < age.high
    assert age.missing == 0
    assert card.linear_predictor is not None
    assert card.features["name"] == "paper"
    assert {**card.model, "init_from": None} == result["config"]["model"]  # the place of first weights is a path
    assert "init_from" not in card.model
    assert card.label == result["config"]["label"]
    names = ("optimizer", "scheduler", "loss", "engine", "ensemble", "calibrate")
    assert card.training == {name: result["config"][name] for name in names}
    assert card.training["loss"] == {"name": "cross_entropy"}
    text = (model / "model.json").read_text()
    for unwanted in (result["config_hash"], result["data_hash"], result["data"]["root"], "data_hash", "config_hash"):
        assert unwanted not in text


def test_a_page_about_a_model_folder_is_refused(model: Path):
    with pytest.raises(UserError, match="it is the model of a run: give the directory of the run"):
        load_config(ReportConfig, [f"run_dir={model}"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_train": 23}, "was changed after hemexp wrote it"),
        ({"num_train": "many"}, "num_train: Input should be"),
        ({"events_train": 999}, "events_train: is 999; rule: at most num_train"),
        ({"majority": 2}, "majority: is 2; rule: 0 or 1"),
        ({"schema_version": 2}, "schema_version is 2; this version of hemexp reads 1"),
        ({"patients": ["sub001"]}, "patients: "),
        ({"inputs": []}, "was changed"),
    ],
)
def test_a_changed_card_is_refused(changes: dict[str, object], message: str, model: Path):
    content = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(content | changes))
    with pytest.raises(UserError, match=f"model.json: {message}"):
        read_model_card(model)


def test_the_checkpoint_of_another_model_is_refused(finished_run: Path, model: Path, workbooks: Path, tmp_path: Path):
    settings = [f"data.root={workbooks}", "seed=5", "model.init=default", *FAST]
    train(load_config(TrainConfig, settings), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model" / "best.ckpt", model / "best.ckpt")
    with pytest.raises(UserError, match=r"best\.ckpt: is not the model that .*model\.json describes"):
        predict_with(model, workbooks, tmp_path / "out")


def test_model_and_tensorboard_tell_of_no_patient_of_the_synthetic_cohort(finished_run: Path, workbooks: Path):
    secrets = list_secrets(load_cohort(DataConfig("workbook", str(workbooks))).scans, workbooks)
    files = list_files(finished_run / "model", finished_run / "tensorboard", finished_run / "figures")
    assert len(files) > 5
    assert find_secrets(secrets, files) == []


def write_telling_cohort(folder: Path) -> Path:
    """Write a cohort whose ids, serials and dates are easy to find."""
    rows = []
    for i in range(40):
        onset = pd.Timestamp("2031-05-04 06:00") + pd.Timedelta(days=3 * i)
        for scan in range(2):
            rows.append(
                {
                    "patient_id": f"MEIER-{1000 + i}",
                    "scan_serial": f"{(onset + pd.Timedelta(hours=2)).strftime('%Y%m%d')}{100000 + 7 * i + scan}",
                    "scan_time": onset + pd.Timedelta(hours=2 + 20 * scan),
                    "hours_from_onset": 2.0 + 20 * scan,
                    "age": 40.0 + i,
                    "HM_volume": 10_000 + 137 * i + (9_000 if scan and i % 3 == 0 else 0),
                }
            )
    folder.mkdir()
    write_csv(pd.DataFrame(rows), folder / "scans.csv")
    return folder


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A cohort with telling names, and a run on it."""
    place = tmp_path_factory.mktemp("telling")
    root = write_telling_cohort(place / "Department of Neurology")
    settings = ["features=available", "model=random_forest", "logger=csv", *QUIET]
    train(load_config(TrainConfig, [f"data.root={root}", *settings]), place / "run")
    return root, place / "run"


def test_model_and_tensorboard_tell_of_no_patient_of_a_tidy_cohort(telling: tuple[Path, Path]):
    root, run = telling
    secrets = list_secrets(load_cohort(DataConfig("tidy", str(root))).scans, root)
    assert find_secrets(secrets, list_files(run / "model", run / "tensorboard")) == []
    assert all(".hemexp." in path.name for path in (run / "tensorboard").iterdir())


@pytest.mark.parametrize(
    "planted",
    [
        lambda serial: json.dumps({hashlib.sha256(serial.encode()).hexdigest()[:16]: "train"}).encode(),
        lambda serial: hashlib.md5(serial.encode()).digest(),
        lambda serial: b"the scan " + serial.encode(),
        lambda serial: int(serial).to_bytes(8, "little"),
        lambda serial: f"{serial[:4]}-{serial[4:6]}-{serial[6:8]}".encode(),
    ],
    ids=["a shortened hash", "a hash in bytes", "a text", "a number", "a date"],
)
def test_the_search_finds_what_is_planted(planted, telling: tuple[Path, Path], tmp_path: Path):
    root, _ = telling
    scans = load_cohort(DataConfig("tidy", str(root))).scans
    (tmp_path / "fingerprint.json").write_bytes(b"..." + planted(scans["scan_serial"].iloc[12]) + b"...")
    assert find_secrets(list_secrets(scans, root), [tmp_path / "fingerprint.json"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logistic", "sacnn", "gradient_boosting"])
def test_model_and_tensorboard_tell_of_no_patient_of_the_published_cohort(
    name: str, real_cohort: Path, tmp_path: Path, undrawn: None
):
    train(load_config(TrainConfig, [f"data.root={real_cohort}", f"model={name}", *FAST]), tmp_path / "run")
    secrets = list_secrets(load_cohort(DataConfig("workbook", str(real_cohort))).scans, real_cohort)
    assert find_secrets(secrets, list_files(tmp_path / "run" / "model", tmp_path / "run" / "tensorboard")) == []


def test_every_field_of_the_card_has_a_help_text():
    assert all(field.metadata["help"] for field in fields(ModelCard))
