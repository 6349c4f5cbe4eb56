"""External validation by predict.py: R's rotterdam and gbsg through the real commands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import ROOT

from hemexp.commands.predict import predict
from hemexp.commands.train import train
from hemexp.config import PredictConfig, ReportConfig, TrainConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.files.model_folder import read_model_card
from hemexp.files.result import PredictionResult, read_result

ORACLES = ROOT / "tests" / "oracles"
INPUTS = ["age", "log_nodes", "grade", "meno"]


def read(name: str) -> pd.DataFrame:
    """Patients with relapse or death within 5 years (y), or followed for as long; test_updating.py tells more."""
    table = pd.read_csv(ORACLES / f"{name}.csv").assign(log_nodes=lambda each: np.log(each["nodes"] + 1))
    return table.assign(patient_id=[f"{name}{number:05d}" for number in range(len(table))])[
        ["patient_id", *INPUTS, "y"]
    ]


@pytest.fixture(scope="module")
def rotterdam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a logistic regression (almost without penalty) on all patients of Rotterdam."""
    place = tmp_path_factory.mktemp("rotterdam")
    read("rotterdam").to_csv(place / "rotterdam.csv", index=False)
    settings = ["label=column", "label.column=y", "features=columns", f"features.columns=[{','.join(INPUTS)}]",
                "model=logistic", "model.C=1e9", "split.fit_on=all", "evaluation=off",
                "trainer.progress_bar=false"]  # fmt: skip
    train(load_config(TrainConfig, [f"data.root={place / 'rotterdam.csv'}", *settings]), place / "run")
    return place / "run"


def validate(run: Path, table: pd.DataFrame, place: Path) -> tuple[PredictionResult, str]:
    """Return the result of predict.py on a table, read from its file, and what the page says."""
    place.mkdir(parents=True, exist_ok=True)
    table.to_csv(place / "hospital.csv", index=False)
    predict(load_config(PredictConfig, [f"run_dir={run}", f"data.root={place / 'hospital.csv'}"]), place / "out")
    result = read_result(place / "out" / "result.json", PredictionResult)
    assert result.validation is not None
    html = (place / "out" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|<script|<link|@import|url\(", html)
    assert not [name for name in table["patient_id"] if name in html]
    text = re.sub("<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL)
    return result, re.sub(r"\s+", " ", text)


def first_screen(place: Path) -> str:
    """The words of the first screen, at most 60."""
    html = (place / "out" / "report.html").read_text(encoding="utf-8")
    html = html[html.index('<header class="answer') : html.index("</header>")]
    words = re.sub("<[^>]*>", " ", html).split()
    assert len(words) <= 60
    return " ".join(words)


def test_the_german_patients_get_the_scores_of_r_and_the_answer_says_what_is_wrong(rotterdam: Path, tmp_path: Path):
    result, page = validate(rotterdam, read("gbsg"), tmp_path)
    assert (result.num_test, result.events_test, result.num_train) == (406, 285, 0)
    found = result.calibration.test
    assert found is not None
    # glm, somers2 of Hmisc and val.prob of rms; see tests/evaluation/test_updating.py
    assert result.metrics["test/auroc"].value == pytest.approx(0.699637523561, abs=2e-5)
    assert result.metrics["test/brier"].value == pytest.approx(0.222838790039, abs=2e-5)
    assert found.slope.value == pytest.approx(1.109836367013, abs=2e-4)
    assert found.intercept.value == pytest.approx(0.869435049501, abs=2e-4)
    validation = result.validation
    assert validation is not None
    assert (validation.ranking, validation.risks, validation.advice) == ("better", "too_low", "update")
    assert validation.answer.startswith(
        "In 406 new patients (285 with the outcome) the model ranks better than chance (AUROC 0.70, 0.64 to 0.75); its "
        "risks are too low by 18 percentage points (mean 52 %, observed 70 %). Do not use it here without updating its "
        "risks: "
    )
    assert validation.answer in page
    top = first_screen(tmp_path)
    assert top.startswith(
        "Validation in new patients: logistic regression Not useful here before an update of its risks "
    )
    assert "Ranking AUROC 0.70: better than a coin (0.50). Risks Too low on average; not shown to be better than" in top
    assert "Patients 406 (285 with the outcome); too few. A leak in the run itself does not affect" in top
    assert "are not affected" in page  # by the leak of the run, which has learned from its test part
    for words in ("who is new", "are the risks right?", "would the model help?", "enough patients?", "1.11 (0.79"):
        assert words in page, words
    assert {path.name for path in (tmp_path / "out" / "figures").iterdir()} == {
        "validation.png", "calibration.png", "decision_curve.png"
    }  # fmt: skip
    curve = pd.read_csv(tmp_path / "out" / "calibration_curve.csv")
    assert list(curve) == ["risk", "observed", "low", "high"]
    assert (curve["observed"] > curve["risk"]).mean() > 0.9
    assert set(pd.read_csv(tmp_path / "out" / "decision_curve.csv")["strategy"]) == {
        "logistic", "treat all", "treat none"
    }  # fmt: skip


def test_the_case_mix_stands_beside_that_of_the_training_cohort(rotterdam: Path, tmp_path: Path):
    result, page = validate(rotterdam, read("gbsg"), tmp_path)
    card, there, here = read_model_card(rotterdam / "model"), read("rotterdam"), read("gbsg")
    assert result.validation is not None
    for trained, row in zip(card.inputs, result.validation.case_mix, strict=True):
        old, new = there[trained.name], here[row.name]
        assert trained.mean == pytest.approx(old.mean(), abs=old.std() / 100)
        assert row.mean == pytest.approx(new.mean())
        expected = (new.mean() - old.mean()) / np.sqrt((new.var() + old.var()) / 2)
        assert row.difference == pytest.approx(expected, abs=0.02)
    logits = result.validation
    assert logits.linear_predictor is not None
    assert logits.linear_predictor.part == "train"
    assert logits.linear_predictor.num_patients == len(there)
    assert logits.linear_predictor_sd is not None
    assert logits.linear_predictor_sd < logits.linear_predictor.sd
    assert "these patients are more alike" in page


def test_patients_of_the_run_are_not_validated_with_the_new_ones(rotterdam: Path, tmp_path: Path):
    mixed = pd.concat([read("rotterdam").head(60), read("gbsg")])
    result, page = validate(rotterdam, mixed, tmp_path / "mixed")
    assert (result.num_patients, result.num_train, result.num_test) == (466, 60, 406)
    alone, _ = validate(rotterdam, read("gbsg"), tmp_path / "alone")
    assert result.validation == alone.validation
    assert "got a risk, never scored" in page
    own, page = validate(rotterdam, read("rotterdam").head(60), tmp_path / "own")
    assert own.num_test == 0
    assert own.validation is not None
    assert own.validation.answer == "No patient is new to the model, so nothing is said about other patients."
    assert own.validation.case_mix == []
    assert own.validation.answer in page
    assert "Not known whether it works here Patients None is new to the model." in first_screen(tmp_path / "own")


def test_a_hospital_where_the_ranking_fails_is_told_not_to_use_the_model(rotterdam: Path, tmp_path: Path):
    table = read("gbsg")
    random = table.assign(y=np.random.default_rng(3).permutation(table["y"]))
    result, page = validate(rotterdam, random, tmp_path / "random")
    assert result.validation is not None
    assert result.validation.ranking == "not_better"
    assert "is not shown to rank better than chance" in page
    assert "Do not use it here. Recalibration does not improve a ranking." in page
    assert "Not useful here Ranking AUROC 0.5" in first_screen(tmp_path / "random")
    result, page = validate(rotterdam, table.assign(y=1 - table["y"]), tmp_path / "reversed")
    assert result.validation is not None
    assert (result.validation.ranking, result.validation.advice) == ("worse", "do_not_use")
    assert "the model ranks worse than chance" in page
    assert "its risks are too high by" in page


def test_without_outcomes_the_page_shows_case_mix_gaps_and_the_patients_that_are_needed(
    rotterdam: Path, tmp_path: Path
):
    table = read("gbsg").drop(columns="y")
    table.loc[:40, "grade"] = np.nan
    result, page = validate(rotterdam, table, tmp_path)
    validation = result.validation
    assert validation is not None
    assert (result.num_test, validation.num_patients, validation.num_unlabelled) == (0, 406, 406)
    assert (validation.ranking, validation.risks, validation.advice) == ("unknown", "unknown", "unknown")
    assert validation.answer.startswith("No outcome of 406 new patients is known, so nothing shows whether")
    assert validation.sample_size is not None
    assert f"needs the outcomes of about {validation.sample_size.required_patients:,} patients" in page
    assert next(row for row in validation.case_mix if row.name == "grade").missing == pytest.approx(41 / 406)
    assert "Missing inputs" in page
    assert "Not known whether it works here Patients 406 new without a known outcome; " in first_screen(tmp_path)
    assert "are the risks right?" not in page
    assert not (tmp_path / "out" / "calibration_curve.csv").exists()


def test_one_outcome_or_one_patient_cannot_judge_a_model(rotterdam: Path, tmp_path: Path):
    table = read("gbsg")
    result, page = validate(rotterdam, table[table["y"] == 1], tmp_path / "one outcome")
    assert result.validation is not None
    assert result.validation.advice == "unknown"
    assert "Only one outcome occurs in 285 new patients (285 with the outcome), so they do not show whether" in page
    result, page = validate(rotterdam, table.head(1), tmp_path / "one patient")
    assert result.validation is not None
    assert (result.num_test, result.validation.advice) == (1, "unknown")
    assert "1 new patient" in page
    assert all(row.difference is None for row in result.validation.case_mix)


def test_an_earlier_page_does_not_stay_beside_another_prediction(rotterdam: Path, tmp_path: Path):
    validate(rotterdam, read("gbsg"), tmp_path)
    assert (tmp_path / "out" / "figures" / "calibration.png").exists()
    validate(rotterdam, read("gbsg").drop(columns="y"), tmp_path)
    assert not list((tmp_path / "out").glob("*curve.csv"))
    assert not list((tmp_path / "out").glob("figures/*.png"))


def test_report_does_not_touch_the_page_of_a_prediction(rotterdam: Path, tmp_path: Path):
    validate(rotterdam, read("gbsg").head(40), tmp_path)
    before = (tmp_path / "out" / "report.html").read_bytes()
    with pytest.raises(
        UserError, match=r"is a prediction, not a run of train.py; its page report.html was written with"
    ):
        load_config(ReportConfig, [f"run_dir={tmp_path / 'out'}"])
    assert (tmp_path / "out" / "report.html").read_bytes() == before


def test_a_copied_model_folder_knows_the_case_mix_too(rotterdam: Path, tmp_path: Path):
    result, page = validate(rotterdam / "model", read("gbsg"), tmp_path)
    assert result.validation is not None
    assert all(row.difference is not None for row in result.validation.case_mix)
    assert "In 406 patients, perhaps also of the training part, (285 with the outcome)" in page


def test_an_earlier_run_tells_nothing_of_its_cohort_and_the_page_says_so(rotterdam: Path, tmp_path: Path):
    run = Path(shutil.copytree(rotterdam, tmp_path / "run", ignore=shutil.ignore_patterns("model")))
    result, page = validate(run, read("gbsg"), tmp_path)
    assert result.validation is not None
    assert all(row.difference is None for row in result.validation.case_mix)
    assert "model.json does not hold the case mix" in page


def test_the_page_is_drawn_without_torch():
    code = (
        "import sys\n"
        "import hemexp.report.validation.page, hemexp.report.validation.content, hemexp.figures.evaluation\n"
        "import hemexp.figures.forest, hemexp.evaluation.validation_answer\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=300)
