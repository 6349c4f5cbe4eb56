"""predict.py for one patient: patient.NAME=VALUE."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from small import QUIET, ROOT

from hemexp.commands.model_card import load_trained_model
from hemexp.commands.one_patient import predict_patient
from hemexp.commands.patient_text import format_risk
from hemexp.commands.predict import predict
from hemexp.commands.train import train
from hemexp.config import PredictConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.files.model_folder import read_model_card, write_model_card
from hemexp.files.one_patient import PatientResult
from hemexp.files.result import BETTER, NOT_BETTER, WORSE, check_digest, load_json

STANDARD = ["evaluation.num_repeats=1", "evaluation.threshold_repeats=0", "trainer.progress_bar=false"]


@pytest.fixture(scope="session")
def ridge(workbooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model with a formula, cross-validated once; tests only read it."""
    directory = tmp_path_factory.mktemp("run") / "ridge"
    train(load_config(TrainConfig, [f"data.root={workbooks}", "model=ridge2", *STANDARD]), directory)
    return directory


def ask(run: Path, directory: Path, *patient: str) -> PatientResult:
    settings = [f"run_dir={run}", *(f"patient.{each}" for each in patient)]
    return predict_patient(load_config(PredictConfig, settings), directory)


def refuse(run: Path, directory: Path, *patient: str) -> str:
    with pytest.raises(UserError) as error:
        ask(run, directory, *patient)
    return str(error.value)


@pytest.fixture
def edited(ridge: Path, tmp_path: Path):
    """Return a copy of the model folder with other fields in its card."""

    def edit(**changes: object) -> Path:
        folder = Path(shutil.copytree(ridge / "model", tmp_path / f"model{len(list(tmp_path.iterdir()))}"))
        card = read_model_card(folder)
        for name, value in changes.items():
            setattr(card, name, value)
        write_model_card(card, folder)
        return folder

    return edit


def test_the_answer_says_risk_calibrated_risk_training_cohort_conclusion_and_caveats(
    ridge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    result = ask(ridge, tmp_path, "age=70", "volume_ml=25", "hours=2")
    lines = capsys.readouterr().out.splitlines()
    assert lines == result.text
    card = read_model_card(ridge / "model")
    low, high = (round(100 * limit) for limit in (result.calibrated.low, result.calibrated.high))
    assert lines[0].startswith("Risk of expansion within 48 h: ")
    assert lines[0].endswith(f"{100 * result.calibrated.value:.0f} % (calibrated: {low} to {high} %).")
    assert lines[1] == f"Of {card.num_train} patients in the training cohort {card.events_train} expanded."
    assert "Research only." in lines
    assert "Given, but not used by this model: age." in lines
    assert lines[-1] == "Caveat trained_on_synthetic: the model was trained on simulated patients."
    content = load_json(tmp_path / "patient.json")
    check_digest(content, tmp_path / "patient.json")
    assert content["values"] == {"age": 70, "HM_volume": 25_000, "onset_to_first_scan": 2}
    assert content["risk"] == result.risk
    assert content["text"] == lines


def test_the_risk_is_that_of_a_table_and_a_table_with_one_row_gets_the_same_answer(
    ridge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    result = ask(ridge, tmp_path / "one", "volume_ml=120", "hours=2.5")
    pd.DataFrame({"Patient": ["A1"], "Hematoma volume (mL)": [120.0], "Onset to CT (h)": [2.5]}).to_csv(
        tmp_path / "one.csv", index=False
    )
    capsys.readouterr()
    predict(load_config(PredictConfig, [f"run_dir={ridge}", f"data.root={tmp_path / 'one.csv'}"]), tmp_path / "table")
    table = pd.read_csv(tmp_path / "table" / "predictions.csv", keep_default_na=False)
    assert table["probability"][0] == pytest.approx(result.risk, abs=1e-9)
    assert table["risk_percent"][0] == pytest.approx(100 * result.calibrated.value, abs=0.05)
    assert table["calibrated_low"][0] == pytest.approx(result.calibrated.low)
    assert table["calibrated_high"][0] == pytest.approx(result.calibrated.high)
    assert (table["inputs_missing"][0], table["outside_range"][0]) == ("", "HM_volume")
    assert "\n".join(result.text) in capsys.readouterr().out
    assert load_json(tmp_path / "table" / "patient.json")["risk"] == pytest.approx(result.risk, abs=1e-9)


def test_a_scan_after_the_window_of_the_outcome_is_named(ridge: Path, tmp_path: Path):
    late = ask(ridge, tmp_path / "late", "volume_ml=25", "hours=49")
    assert "The 48 h from symptom onset were over at this scan (49 h): the risk means nothing here." in late.text
    assert not any("were over" in line for line in ask(ridge, tmp_path, "volume_ml=25", "hours=47").text)


@pytest.mark.parametrize(
    "names",
    [
        ("volume_ml=25", "hours=2"),
        ("HM_volume=25000", "onset_to_first_scan=2"),
        ("hematoma_volume=25 mL", "onset_to_ct_min=120"),
        ("ICH volume (cm³)=25,0", "symptom onset to ct (hours)=2"),
        ("HM_volume=25 mL", "hours=2"),
        ("血肿体积=25 mL", "hours=120 minutes"),
        ("volume_ml=25", "发病到首次影像检查时间间隔=2"),  # a header of the run's own workbooks
    ],
)
def test_a_value_may_have_any_name_that_a_table_may_have(names: tuple[str, ...], ridge: Path, tmp_path: Path):
    result = ask(ridge, tmp_path, *names)
    assert result.values == pytest.approx({"HM_volume": 25_000, "onset_to_first_scan": 2})
    assert result.inputs_missing == []


@pytest.mark.parametrize(
    ("patient", "message"),
    [
        (["volumme_ml=25"], "patient.volumme_ml: there is no such input; did you mean volume_ml or HM_volume? the"),
        (["shoe_size=43"], "patient.shoe_size: there is no such input; the inputs of this model are volume_ml, hours"),
        (["age=700"], "patient.age=700: age is '700'; rule: 0 to 120 years"),
        (["hours=-3"], "patient.hours=-3: onset_to_first_scan is '-3'; rule: 0 to 720 hours"),
        (["volume_ml=9000"], "patient.volume_ml=9000: HM_volume is '9000'; rule: a volume from 0 to 2000 mL"),
        (["volume=25"], "patient.volume=25: HM_volume is '25'; rule: a number with its unit, such as volume_ml=25"),
        (["volume_ml=[25,30]"], "patient.volume_ml=[25,30]: is not a single value; rule: patient.NAME=VALUE"),
        (["HM_volume=25"], "patient.HM_volume=25: HM_volume is '25'; rule: a number of 10^-3 mL, or one with its unit"),
        (["volume_ml=large"], "patient.volume_ml=large: HM_volume is 'large'; rule: a number"),
        (["volume_ml=25 kg"], "patient.volume_ml=25 kg: HM_volume is '25 kg'; rule: a number in"),
        (["gcs=7.5"], "patient.gcs=7.5: gcs is '7.5'; rule: a whole number from 3 to 15"),
        (["sex=3"], "patient.sex=3: sex is '3'; rule: male or female"),
        (["hypertension=perhaps"], "patient.hypertension=perhaps: hypertension is 'perhaps'; rule: 0 or 1, yes or no"),
        (["bp=90/180"], "patient.bp: blood pressure is 90/180; rule: systolic is above diastolic"),
        (
            ["volume_ml=25", "HM_volume=1000"],
            "patient.HM_volume: is HM_volume, as patient.volume_ml is; rule: each value",
        ),
    ],
)
def test_a_wrong_name_or_value_is_refused_with_its_rule(patient: list[str], message: str, ridge: Path, tmp_path: Path):
    assert message in refuse(ridge, tmp_path, *patient)
    assert not (tmp_path / "patient.json").exists()


def test_a_patient_and_a_cohort_in_one_call_are_refused(ridge: Path, workbooks: Path):
    for other, key in ((f"data.root={workbooks}", "data.root="), ("data=synthetic", "data.kind=synthetic")):
        with pytest.raises(UserError, match=rf"{key}.*patient\.NAME=VALUE is set, too"):
            load_config(PredictConfig, [f"run_dir={ridge}", "patient.age=70", other])
    with pytest.raises(UserError, match=r"hemexp\.predict_patient"):
        predict(load_config(PredictConfig, [f"run_dir={ridge}", "patient.age=70"]), ridge / "no")


def test_missing_values_and_values_outside_of_the_training_range_are_named(ridge: Path, tmp_path: Path):
    result = ask(ridge, tmp_path, "volume_ml=300", "hours=unknown")
    assert (result.inputs_missing, result.outside_range) == (["onset_to_first_scan"], ["HM_volume"])
    text = "\n".join(result.text)
    assert "Without a value: hours from onset to the first scan (1 input)." in text
    assert "Outside of the training range: hematoma volume 300 mL (training patients: mostly " in text
    within = ask(ridge, tmp_path, "volume_ml=20", "hours=3")
    assert (within.inputs_missing, within.outside_range) == ([], [])
    assert "Outside" not in "\n".join(within.text)


def test_the_inputs_that_moved_the_risk_are_named_strongest_first(ridge: Path, tmp_path: Path):
    result, formula = ask(ridge, tmp_path, "volume_ml=90", "hours=8"), read_model_card(ridge / "model").formula
    terms = formula.contributions([math.log(90), math.log(8)])
    expected = dict(zip(["HM_volume", "onset_to_first_scan"], terms, strict=True))
    assert {each.input: each.change for each in result.effects} == pytest.approx(expected)
    sizes = [abs(each.change) for each in result.effects]
    assert sizes == sorted(sizes, reverse=True)
    line = next(line for line in result.text if line.startswith("Against a typical patient, in the model's own risk: "))
    verb = "multiplies" if terms[0] > 0 else "divides"
    assert f"hematoma volume (90 mL) {verb} the odds by {math.exp(abs(terms[0])):.1f}" in line


def test_the_words_follow_the_conclusion_and_the_verdict(edited, tmp_path: Path):
    def get_text(**changes: object) -> list[str]:
        return ask(edited(**changes), tmp_path / "out", "volume_ml=25", "hours=2").text

    others = {"not_better_than": ["volume", "prevalence"], "worse_than": ["brain"]}
    assert "This model is not better than hematoma volume alone." in get_text(conclusion=NOT_BETTER, **others)
    assert "This model is worse than the BRAIN score." in get_text(conclusion=WORSE, **others)
    better = "This model was better than every baseline that it was compared with."
    assert better in get_text(conclusion=BETTER, not_better_than=[])
    assert any("not compared with the baselines" in line for line in get_text(conclusion="not_evaluated"))
    leaky = get_text(verdict="LEAKAGE: train_includes_test")
    assert leaky[0].startswith("Do not use this risk. LEAKAGE: train_includes_test: the model has learned from")
    assert "INCOMPLETE: a test." in get_text(verdict="INCOMPLETE: a test")
    label = {"name": "column", "column": "death"}
    own = get_text(label=label, label_definition="death is yes, as the file states it", caveats=["own_outcome"])
    assert own[0].startswith("Risk of the outcome (death is yes, as the file states it): ")
    assert own[1].endswith("had the outcome.")


def test_a_card_of_an_earlier_version_says_less(edited, ridge: Path, tmp_path: Path):
    whole = ask(ridge, tmp_path / "whole", "volume_ml=300", "hours=2")
    bare = [
        type(each)(name=each.name, kind=each.kind, unit=each.unit) for each in read_model_card(ridge / "model").inputs
    ]
    old = edited(inputs=bare, formula=None, calibrated_risk=None, not_better_than=[], worse_than=[])
    result = ask(old, tmp_path / "old", "volume_ml=300", "hours=2")  # by the checkpoint
    assert result.risk == pytest.approx(whole.risk, abs=1e-9)
    assert (result.calibrated, result.outside_range) == (None, [])
    assert "no calibrated risk is known" in result.text[0]


def test_three_strange_patients_of_a_network_get_calibrated_risks_around_the_prevalence(
    finished_run: Path, tmp_path: Path
):
    card = read_model_card(finished_run / "model")
    assert card.formula is None
    share = card.calibrated_risk.events / card.calibrated_risk.num_patients
    for number, (patient, outside) in enumerate((
        (["age=99"], ["age"]), (["volume_ml=900", "age=18"], ["age", "HM_volume"]),
        (["volume_ml=0.1", "bp=300/20"], ["systolic", "diastolic"]),
    )):  # fmt: skip
        result = ask(finished_run, tmp_path / str(number), *patient)
        assert result.calibrated.low < share < result.calibrated.high
        assert result.inputs_missing
        assert all(each.scale == "risk" for each in result.effects)
        text = "\n".join(result.text)
        assert "Caveat treatments_after_first_scan" in text
        assert "Without a value: " in text
        assert result.outside_range == outside
        assert "(training patients: mostly -" not in text
        assert f"The model's own risk is {format_risk(result.risk)}; its risks are too extreme" in text


@pytest.mark.parametrize(
    "model",
    [
        "prevalence",
        "volume",
        "brain",
        "firth features=minimal",
        "logistic features=minimal model.C=0.1 model.l1_ratio=0",
        "ridge2 calibrate=logistic",
        "random_forest features=minimal model.num_trees=20",
    ],
)
def test_every_kind_of_model_answers_as_its_checkpoint_does(model: str, workbooks: Path, tmp_path: Path, undrawn: None):
    settings = [f"data.root={workbooks}", *f"model={model}".split(), *QUIET]
    train(load_config(TrainConfig, settings), tmp_path / "run")
    given = {"HM_volume": 31_000.0, "onset_to_first_scan": 1.5, "stroke_history": 1.0}
    result = ask(tmp_path / "run", tmp_path / "out", *(f"{name}={value}" for name, value in given.items()))
    table = pd.DataFrame([given])
    from hemexp.data.features import input_table

    predictor = load_trained_model(tmp_path / "run").predictor
    risk = predictor.predict(input_table(table, predictor.features).to_numpy())[0]
    assert result.risk == pytest.approx(risk, abs=1e-9)
    assert "This model: not evaluated: the model was not compared with the baselines." in result.text
    assert "no calibrated risk is known" in result.text[0]


def test_a_model_with_a_formula_answers_without_pytorch_and_pandas(ridge: Path, tmp_path: Path):
    code = (
        "import sys; from hemexp import cli\n"
        "try: cli.command('predict')\n"
        "finally: print('imported:', sorted({'torch', 'pandas', 'lightning', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    arguments = [f"run_dir={ridge}", "patient.volume_ml=25", "patient.hours=2", f"output_dir={tmp_path}"]
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("Risk of expansion within 48 h: ")
    assert process.stdout.splitlines()[-1] == "imported: []"
    assert json.loads((tmp_path / "patient.json").read_text())["inputs_missing"] == []


@pytest.mark.parametrize(
    ("patient", "message"),
    [
        (["age=abc", "volume_ml=25"], "error: patient.age=abc: age is 'abc'; rule: a number"),
        (["volume_ml=25", "volume_ml=30"], "error: patient.volume_ml: is given twice; rule: each value once"),
        (["volume_ml=[25,30]"], "error: patient.volume_ml=[25,30]: is not a single value"),
    ],
)
def test_a_mistake_on_the_command_line_ends_with_2_and_one_line(
    patient: list[str], message: str, ridge: Path, run_command
):
    process = run_command("predict.py", f"run_dir={ridge}", *(f"patient.{each}" for each in patient))
    assert process.returncode == 2
    assert message in process.stdout + process.stderr
    assert "Traceback" not in process.stdout + process.stderr
