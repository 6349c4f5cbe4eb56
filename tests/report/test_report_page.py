"""The page of a run: its content, and its messages about damaged files."""

import json
import re
from collections.abc import Callable
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fake_run import FIGURES, FULL, IDS, result, score, write_run

from hemexp.commands.report import report
from hemexp.config import ReportConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError
from hemexp.files.result import CONCLUSIONS, EvaluationBlocks
from hemexp.report.blocks import load_texts
from hemexp.report.run.page import render
from hemexp.report.run.read import read_run

WORSE = "same risk for every patient, volume and hours alone"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with everything in it; never written to."""
    return write_run(tmp_path_factory.mktemp("report") / "run")


def words(html: str) -> str:
    """Return what a reader sees, in one line."""

    class Reader(HTMLParser):
        seen: list[str]

        def handle_data(self, data: str) -> None:
            self.seen.append(data)

    reader = Reader()
    reader.seen = []
    reader.feed(re.sub("<style>.*?</style>", "", html, flags=re.DOTALL))
    return re.sub(r"\s+", " ", " ".join(reader.seen))


def test_the_page_needs_nothing_else_and_names_no_patient(run: Path):
    html = render(read_run(run), patients=False)
    assert html.count("data:image/png;base64,") == len(FIGURES) - 2  # those with a mark for each patient
    shown = render(read_run(run), patients=True)
    assert shown.count("data:image/png;base64,") == len(FIGURES)
    assert not re.search(r"https?:|<script|<link|@import|url\(", html)
    assert not [name for name in IDS if name in html]
    assert "20310101000000" not in html
    text = words(html)
    order = ["Patients", "Ranking", "Calibration", "Decisions", "Data quality", "Limits", "What was predicted",
             "Subgroups", "enough patients", "Optimism", "Stability", "Other definitions", "Which inputs matter",
             "TRIPOD", "reproduce"]  # fmt: skip
    titles = re.findall(r"<h2>(.*?)<", html)
    assert len(titles) == len(order)
    assert all(part in title for part, title in zip(order, titles, strict=True))
    for said in (
        "growth by at least 6 mL or 33 % within 48 h of onset", "48 hours from symptom onset",
        "160 patients", "30 left out", "130 patients", "6,612",
        "AUROC 0.55 (0.49 to 0.61) 0.50 0.55 (0.49 to 0.61) 0.50",
        "By AUROC the model is not shown to be better than the baselines",
        f"By Brier score the model is worse than at least one baseline ({WORSE})",
        "volume and hours alone −0.05 (−0.14 to 0.04) 0.400 1.000 no clear",
        "same risk for every patient 0.033 (0.013 to 0.053) < 0.001 0.002 model worse", "too few",
        "hematoma volume alone (logistic regression on the log of the first volume)", "apparent optimism corrected",
        "hemexp train data.root=cohort evaluation=full label=onset_48h", "6bf3972797a86733", "hemexp 0.2.0",
    ):  # fmt: skip
        assert said in text, said


def test_the_title_of_a_page_about_another_outcome_does_not_name_expansion(tmp_path: Path):
    changes = {"caveats": ["own_outcome"], "label_definition": "mRS 90 days is at least 3, as the file states it"}
    html = render(read_run(write_run(tmp_path / "run", changes)), patients=False)
    assert '<p class="about">Prediction of the outcome: SACNN</p>' in html


def test_the_inputs_of_the_users_own_files_are_shown_by_their_meaning(tmp_path: Path):
    inputs = ["HM_volume", "gcs", "Weight", "Side=left", "Side=right", "HM_ACA_R_Ratio", "A=B"]
    data = {"kind": "mapped", "root": "registry.xlsx", "num_patients": 160, "findings": {"no_followup": 1}}
    model = {"model": {"name": "logistic", "C": None, "l1_ratio": 0.0}}
    changes = {"inputs": inputs, "data": data, "config": result()["config"] | model}
    directory = write_run(tmp_path / "run", changes)
    (directory / "quality.csv").unlink()
    text = words(render(read_run(directory), patients=False))
    assert "Hematoma volume, Glasgow Coma Scale, Weight, Side (2 levels), A=B, 1 territories" in text
    assert "Model logistic regression: Penalized logistic regression." in text
    assert "inverse penalty: chosen by cross-validation in the training part; 0 ridge, 1 lasso" in text
    assert "1 finding of 1 kind " in text
    assert "keeps the mapping of the columns that it used: mapping.yaml" in text


def test_the_settings_of_the_model_and_of_its_training_are_in_plain_words(tmp_path: Path):
    training = {
        "optimizer": {"name": "sgd", "lr": 0.01, "weight_decay": 0.0},
        "scheduler": {"name": "warmup_cosine"},
        "loss": {"name": "custom", "target": "my_losses.focal"},
        "trainer": {"max_epochs": 1000, "stop_loss": None, "patience": 20, "batch_size": 16},
    }
    network = {"name": "custom", "target": "nets.MyNet", "args": {"hidden": 8}, "init_from": "/home/someone/run"}
    config = result()["config"] | training | {"model": network, "ensemble": 8, "calibrate": "logistic"}
    text = words(render(read_run(write_run(tmp_path / "run", {"config": config})), patients=False))
    for said in (
        "Prediction of hematoma expansion: MyNet", "Model MyNet: nets.MyNet", "Settings of the model hidden: 8",
        "First weights those of another run", "optimizer sgd, learning rate 0.01; schedule of the learning rate warmup "
        "cosine; loss focal; 16 patients in a step; at most 1,000 epochs; epochs without a lower loss, after which it "
        "stops: 20; trained for 101 epochs", "8 networks with different seeds; their mean risk",
        "Recalibration logistic, by cross-validation",
    ):  # fmt: skip
        assert said in text, said
    assert not [key for key in ("custom", "init_from:", "automatic", "someone", "None") if key in text]


def answer(run: Path) -> str:
    """Return the words of the first screen, in one line."""
    html = render(read_run(run), patients=False)
    return words(html[html.index('<header class="answer') : html.index("</header>")])


@pytest.mark.parametrize("conclusion", CONCLUSIONS)
def test_the_conclusion_comes_first_and_the_verdict_is_one_quiet_line(conclusion: str, tmp_path: Path):
    html = render(read_run(write_run(tmp_path / "run", {"conclusion": conclusion})), patients=False)
    title, meaning = load_texts("texts")["conclusions"][conclusion]
    assert f'<header class="answer {conclusion}">' in html
    assert f"<h1>{title}</h1>" in html
    assert '<p class="quiet">No leakage found.</p>' in html
    assert words(html).index(title) < words(html).index(meaning)
    assert "chip" not in html.partition("</style>")[2]
    assert not re.search("HONEST|AUDIT|NO_LEAKAGE_FOUND", html)


def test_the_first_screen_answers_in_sixty_words_with_one_figure(run: Path):
    text = answer(run)
    assert len(text.split()) <= 60
    described = (run / "characteristics.csv").read_text(encoding="utf-8")
    age, volume = (re.findall(rf'"{row}",(.*?) \(', described)[0] for row in ("age, years", "hematoma volume, mL"))
    assert text.strip() == (
        "Prediction of hematoma expansion: SACNN Not useful as it stands "
        "Ranking AUROC 0.55: not shown to be better than a coin (0.50) or volume and hours alone (0.60). "
        "Risks Too extreme; worse than the same risk for everyone. "
        f"Patients 100 (23 with expansion), median age {age}, hematoma {volume} mL. No leakage found."
    )
    html = render(read_run(run), patients=False)
    assert html[: html.index("</header>")].count("<img") == 1


def test_simulated_patients_are_named_on_the_first_screen(tmp_path: Path):
    run = write_run(tmp_path / "run", {"caveats": ["synthetic_cohort"]})
    (run / "characteristics.csv").unlink()
    assert "Patients 100 simulated (23 with expansion). " in answer(run)


def cv_auroc(low: float, high: float) -> dict[str, Any]:
    return {"metrics": {"cv/auroc": {"value": (low + high) / 2, "low": low, "high": high}}, "comparison": None}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (cv_auroc(0.6, 0.8), "AUROC 0.70: better than a coin (0.50)."),
        (cv_auroc(0.2, 0.4), "AUROC 0.30: worse than a coin (0.50)."),
        (cv_auroc(0.4, 0.8), "AUROC 0.60: not shown to be better than a coin (0.50)."),
        ({"metrics": {"cv/auroc": {"value": 0.6, "low": None, "high": None}}}, "Ranking Not scored."),
        ({"metrics": {"test/auroc": {"value": 0.6, "low": None, "high": None}}}, "AUROC 0.60, without an interval"),
        ({"metrics": {"test/auroc": score(0.7, 0.1)}}, "AUROC 0.70: better than a coin (0.50), not shown to be better"),
    ],
)
def test_the_ranking_is_compared_with_a_coin(tmp_path: Path, changes: dict[str, Any], said: str):
    assert said in answer(write_run(tmp_path / "run", changes))


@pytest.mark.parametrize(
    ("low", "high", "p", "said"),
    [
        (0.1, 0.2, 0.01, "better than a coin (0.50) and volume and hours alone (0.60)"),
        (-0.2, -0.1, 0.01, "better than a coin (0.50), worse than volume and hours alone (0.60)"),
        (-0.2, -0.1, 0.2, "better than a coin (0.50), not shown to be better than volume and hours alone (0.60)"),
    ],
)
def test_the_ranking_is_compared_with_the_best_baseline(tmp_path: Path, low: float, high: float, p: float, said: str):
    rows = result()["comparison"]
    rows[-1]["auroc_difference"] = {"value": (low + high) / 2, "low": low, "high": high, "p": p, "p_holm": p}
    run = write_run(tmp_path / "run", {"comparison": rows, "metrics": {"cv/auroc": score(0.7, 0.1)}})
    assert said in answer(run)


def calibrated(slope: Any, intercept: Any, brier: Any) -> dict[str, Any]:
    part = {"intercept": intercept, "slope": slope, "scaled_brier": brier, "mean_risk": 0.3, "observed": 0.2}
    return {"calibration": {"cv": part}, "comparison": []}


EMPTY = {"value": None, "low": None, "high": None}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (calibrated(score(1, 0.2), score(0, 0.2), score(0.1, 0.05)), "No clear error found; better than the same risk"),
        (calibrated(score(0.2, 0.1), score(-1, 0.2), score(-0.1, 0.05)), "Too extreme and too high on average; worse"),
        (calibrated(score(-1, 0.2), score(1, 0.2), score(0, 0.1)), "Inverted and too low on average; not shown"),
        (calibrated(score(2, 0.2), score(0, 0.2), score(0, 0.1)), "Too close together; not shown to be better than"),
        (calibrated(EMPTY, score(0, 0.2), score(0, 0.1)), "About the same for everyone; not shown"),
        ({"calibration": None}, "Risks Not examined."),
        # the same interval as in the table of the comparison, not that of the scaled Brier score
        (
            calibrated(score(1, 0.2), score(0, 0.2), score(0.1, 0.05)) | {"comparison": result()["comparison"]},
            "No clear error found; worse than the same risk for everyone",
        ),
    ],
)
def test_the_first_screen_says_whether_the_risks_are_right(tmp_path: Path, changes: dict[str, Any], said: str):
    assert said in answer(write_run(tmp_path / "run", changes))


@pytest.mark.parametrize(
    ("split", "patients"),
    [({"name": "temporal"}, "later patients"), ({"name": "center", "center": "B"}, "of the center B")],
)
def test_the_first_screen_is_about_a_test_part_of_another_kind(tmp_path: Path, split: dict[str, Any], patients: str):
    other = {"intercept": score(2.8, 0.3), "slope": score(1, 0.5), "scaled_brier": score(-0.2, 0.1)}
    shifted = {"calibration": {"cv": calibrated(score(1, 0.2), score(0, 0.2), score(0.1, 0.05))["calibration"]["cv"]}}
    shifted["calibration"]["test"] = {**other, "mean_risk": 0.2, "observed": 0.7}
    changes = {**shifted, "config": result()["config"] | {"split": split}}
    directory = write_run(tmp_path / "run", changes)
    text, stored = answer(directory), result()
    assert f"Ranking AUROC {stored['metrics']['test/auroc']['value']:.2f}" in text
    assert "Risks Too low on average; worse than the same risk for everyone" in text
    assert f"{stored['num_train']} trained, {stored['num_test']} {patients} tested" in text
    assert "another hospital" in words(render(read_run(directory), patients=False)).lower()


def center_validation(num_centers: int, i_squared: float) -> dict[str, Any]:
    pooled = {"num_centers": num_centers, "mean": 0.6, "low": 0.5, "high": 0.7, "predicted_low": 0.3,
              "predicted_high": 0.9, "between_sd": 0.2, "i_squared": i_squared}  # fmt: skip
    row = {"num_train": 60, "num_patients": 20, "events": 5, "auroc": score(0.6, 0.1), "intercept": score(0, 1),
           "slope": score(1, 0.5), "brier": score(0.2, 0.1), "mean_risk": 0.2, "observed": 0.25}  # fmt: skip
    centers = [{"center": f"Center {number}", **row} for number in range(num_centers)]
    return {"centers": centers, "not_scored": {}, "num_without_center": 0, "auroc": pooled, "slope": pooled}


def test_centers_that_differ_are_on_the_first_screen_and_among_the_limits(tmp_path: Path):
    data = result()["data"] | {"num_centers": 5}
    changes = {"by_center": center_validation(5, 0.9), "data": data, "caveats": ["centers_differ"]}
    run = write_run(tmp_path / "differ", changes)
    assert "Centers They differ in AUROC and slope. Patients 100 (23 with expansion)" in answer(run)
    text = words(render(read_run(run), patients=False))
    assert "The patients come from 5 centers. Leaving out a center shows" in text
    assert "In another center, expect other scores than the mean on this page" in text
    alike = write_run(tmp_path / "alike", {"by_center": center_validation(5, 0.1), "data": data})
    assert "Centers" not in answer(alike)


def test_the_longest_first_screen_has_sixty_words(tmp_path: Path):
    rows = result()["comparison"]
    rows[0]["model"] = "hours"  # hours from onset alone
    for row in rows[1:]:
        row["brier_difference"] |= {"low": -0.1, "high": 0.1}
    worst = calibrated(score(-1, 0.2), score(-1, 0.2), score(0, 0.1)) | cv_auroc(0.6, 0.8)
    changes = worst | {"comparison": rows, "by_center": center_validation(5, 0.9), "caveats": ["synthetic_cohort"]}
    changes["config"] = result()["config"] | {"model": {"name": "hours"}}
    text = answer(write_run(tmp_path / "run", changes))
    assert "Hematoma expansion: hours from onset alone" in text
    assert "Patients 100 simulated (23 with expansion). " in text
    assert "Centers They differ. " in text
    assert len(text.split()) == 60


def updated(method: str, ranking: str, risks: str, beside: str) -> dict[str, Any]:
    names = ("SACNN (updated)", "SACNN (original)", "prevalence")
    rows = [row | {"model": name} for row, name in zip(result()["comparison"], names, strict=False)]
    step = {"method": method, "asked_for": "auto", "p_values": {}, "left_out_methods": {}, "intercept": 0.5, "slope": 1,
            "num_patients": 100, "events": 23, "left_out_patients": {}, "run_dir": "run", "model_digest": None,
            "config_hash": None, "data_hash": None, "num_train": 60, "events_train": 12, "recognition_digest": None,
            "pseudonym_key": None}  # fmt: skip
    validation = {"num_folds": 5, "num_repeats": 20, "chosen": {method: 100}, "comparison": rows, "ranking": ranking,
                  "risks": risks, "beside_prevalence": beside, "conclusion": ["What the update does."],
                  "original_calibration": result()["calibration"]["cv"]}  # fmt: skip
    return dict.fromkeys(OPTIONAL) | {
        "update": validation, "updated_from": [step], "conclusion": "not_evaluated", "caveats": ["updated"],
        "metrics": {"cv/auroc": score(0.7, 0.1)}, "num_test": 0, "events_test": 0,
        "calibration": result()["calibration"], "flow": result()["flow"] | {"test": 0},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("intercept", "same", "better", "better"), "More accurate here than before the update Update Corrects the"),
        (("intercept", "same", "better", "not better"), "Not shown to be useful here"),
        (("intercept", "same", "not better", "better"), "Not shown to be better than before the update"),
        (("refit", "worse", "better", "better"), "Less accurate here than before the update"),
        (("none", "same", "same", "better"), "The model stays as it is Ranking AUROC 0.70: better than a coin (0.50); "
         "as before the update. Risks As before the update; better than the same risk"),
    ],
)  # fmt: skip
def test_an_updated_run_shows_its_own_conclusion_first(tmp_path: Path, changes: Any, said: str):
    run = write_run(tmp_path / "run", updated(*changes))
    assert said in answer(run)
    assert len(answer(run).split()) <= 60
    text = words(render(read_run(run), patients=False))
    assert "What the update does." in text
    assert "before the update ideal" in text
    assert f"used to {'check' if changes[0] == 'none' else 'update'} the model" in text
    for wrong in ("Not evaluated", "This run has no cross-validation", "Test: 0", "one cohort, in training and in"):
        assert wrong not in text, wrong


def test_the_conclusion_names_the_measure_and_the_better_baselines(run: Path):
    text = words(render(read_run(run), patients=False))
    assert f"By Brier score the model is worse than at least one baseline ({WORSE})" in text
    assert not re.search(r"\b(ridge2|prevalence)\b", text)


def test_the_caveats_are_among_the_limits(run: Path):
    html = render(read_run(run), patients=False)
    limits = words(html[html.index('<section id="limits"') :].partition("</section>")[0])
    for said in ("given after the first scan", "fewer than 10 patients of the rarer outcome", "needs 6,612 patients",
                 "No leakage found: the test patients"):  # fmt: skip
        assert said in limits


def test_cross_validation_comes_before_the_test_part_and_details_are_folded(run: Path):
    html = render(read_run(run), patients=False)
    assert html.index("Cross-validation: every patient") < html.index("Test part: one split")
    assert re.search(r">cross-validation</th>.*>test part</th>", html)
    folded = re.findall(r"<details><summary>\s*<h2>(.*?)<", html)
    assert [title.strip() for title in folded] == [
        "What was predicted", "Subgroups", "Are there enough patients?", "Optimism", "Stability of the predictions",
        "Other definitions of expansion", "Which inputs matter", "TRIPOD+AI checklist", "How to reproduce this run",
    ]  # fmt: skip


def test_patients_on_request(run: Path):
    text = words(render(read_run(run), patients=True))
    assert all(name in text for name in IDS[60:100])
    assert re.search(r"sub061 0\.\d\d 0\.\d\d to [01]\.\d\d (no )?expansion", text)
    assert "sub001 no followup 表1-患者.xlsx Sheet1 D2 20310101000000 sub001: what is wrong" in text


def test_everything_is_escaped(tmp_path: Path):
    changes = {"label_definition": "<script>alert(1)</script>", "caveats": ["<b>new"]}
    html = render(read_run(write_run(tmp_path / "run", changes)), patients=True)
    assert "<script" not in html
    assert "<b>new" not in html
    assert "&lt;script&gt;" in html


def test_an_unfinished_run_says_so_first_and_names_no_patient(tmp_path: Path):
    changes = {"status": "failed", "verdict": "INCOMPLETE: patient sub007 has no scan", "metrics": None}
    run = write_run(tmp_path / "run", changes)
    text = words(render(read_run(run), patients=False))
    assert text.index("INCOMPLETE: patient [patient] has no scan") < text.index("Patients")
    assert "<h1>Not finished</h1>" in render(read_run(run), patients=False)
    assert "Nothing on this page is final" in text
    assert "sub007" in words(render(read_run(run), patients=True))


def test_a_run_without_done_is_incomplete_whatever_it_says(tmp_path: Path):
    run = write_run(tmp_path / "run")
    (run / "DONE").unlink()
    assert read_run(run).result.verdict.startswith("INCOMPLETE: the directory has no DONE file")


def test_a_leak_is_named_wherever_scores_are(tmp_path: Path):
    html = render(read_run(write_run(tmp_path / "run", {"verdict": "LEAKAGE: train_includes_test"})), patients=False)
    scored = 8  # sections with scores
    assert html.count('<span class="chip LEAKAGE">LEAKAGE: train_includes_test</span>') == scored
    first = html[html.index('<header class="answer LEAKAGE">') : html.index("</header>")]
    assert "<h1>The scores are not valid</h1>" in first
    assert "<img" not in first
    assert "AUROC" not in first
    assert "LEAKAGE: train_includes_test The model has learned from the patients" in words(first)
    assert "Its scores are too high" in words(html)


OPTIONAL = [field.name for field in fields(EvaluationBlocks)] + ["metrics", "prevalence_baseline", "best_loss"]


@pytest.mark.parametrize("key", OPTIONAL)
def test_what_was_not_evaluated_may_be_missing(key: str, tmp_path: Path):
    assert "TRIPOD+AI" in render(read_run(write_run(tmp_path / "run", {key: None})), patients=True)


def test_a_run_without_evaluation(tmp_path: Path):
    nothing = dict.fromkeys(OPTIONAL) | {"conclusion": "not_evaluated"}
    run = write_run(tmp_path / "run", nothing)
    text = words(render(read_run(run), patients=True))
    assert "Not evaluated Ranking Not scored. Risks Not examined." in text
    assert "no comparison with simple baselines" in text
    assert "Not examined in this run: repeated cross-validation" in text


def test_what_was_not_examined_is_a_limit(tmp_path: Path):
    text = words(render(read_run(write_run(tmp_path / "run", dict.fromkeys(FULL))), patients=False))
    assert "Not examined in this run: bootstrap optimism, instability of predictions, other definitions" in text


def _break(name: str, content: str) -> Callable[[Path], object]:
    return lambda run: (run / name).write_text(content, encoding="utf-8")


def _change(**changes: Any) -> Callable[[Path], object]:
    return lambda run: (run / "result.json").write_text(json.dumps(result() | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_break("result.json", "{"), ["result.json"]),
        (_break("result.json", '{"a": 1}'), ["result.json", "schema_version"]),
        (_break("result.json", '{"schema_version": 1}'), ["result.json", "caveats"]),
        (_change(metrics={"test/auroc": 0.9}), ["result.json", "metrics.test/auroc"]),
        (_change(comparison=[{"model": "sacnn"}]), ["result.json", "comparison.0.is_model"]),
        (_change(thresholds={"rule": 1}), ["result.json", "thresholds"]),
        (_change(calibration={"cv": 1}), ["result.json", "calibration.cv"]),
        (_change(label_sensitivity=[3]), ["result.json", "label_sensitivity.0"]),
        (_change(caveats=3), ["result.json", "caveats"]),
        (_change(num_test="many"), ["result.json", "num_test"]),
        (_break("quality.csv", ""), ["quality.csv", "table"]),
        (_break("characteristics.csv", "variable,overall\nage,3\n"), ["characteristics.csv", "no expansion", "SMD"]),
        (
            _break("decision_curve.csv", "strategy,threshold,net_benefit\na,0.1,much\n"),
            ["row 2", "net_benefit", "much"],
        ),
        (_break("figures/roc.png", "no picture"), ["roc.png", "PNG"]),
        (_break("splits.json", "[1]"), ["splits.json"]),
        (_break(".hydra/overrides.yaml", "a: 1"), ["overrides.yaml", "list"]),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, spoil: Callable[[Path], object], said: list[str]):
    run = write_run(tmp_path / "run")
    spoil(run)
    with pytest.raises(UserError) as refusal:
        render(read_run(run), patients=False)
    assert all(word in str(refusal.value) for word in said), refusal.value


def test_the_job_leaves_one_file_and_touches_no_other(tmp_path: Path):
    run = write_run(tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    cfg = load_config(ReportConfig, [f"run_dir={run}"])
    page = report(cfg, tmp_path / "out")
    first = page.read_text(encoding="utf-8")
    report(cfg, tmp_path / "out")
    assert page.read_text(encoding="utf-8") == first
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path != page} == before


def test_mistakes_are_refused(tmp_path: Path):
    for overrides, said in (
        ([], "run_dir is not set"),
        ([f"run_dir={tmp_path}"], "result.json"),
        ([f"sweep_dir={tmp_path}"], "sweep"),
    ):
        with pytest.raises(UserError, match=said):
            load_config(ReportConfig, overrides)


@pytest.mark.slow
def test_the_command(run_command: Any, tmp_path: Path):
    run = write_run(tmp_path / "run")
    done = run_command("report.py", f"run_dir={run}")
    assert done.returncode == 0, done.stderr
    assert "Conclusion: worse than a baseline" in done.stdout
    assert (run / "report.html").is_file()
    assert sorted(path.name for path in next(tmp_path.glob("outputs/report/*")).iterdir()) == [".hydra", "report.log"]
    (run / "quality.csv").write_text("", encoding="utf-8")
    inside = run_command("report.py", f"run_dir={run}", f"output_dir={run / 'x'}")
    broken = run_command("report.py", f"run_dir={run}")
    sweep = run_command("report.py", f"sweep_dir={run}")
    assert [done.returncode for done in (inside, broken, sweep)] == [2, 2, 2]
    assert "quality.csv" in broken.stderr
    assert "Traceback" not in inside.stderr + broken.stderr + sweep.stderr
    assert not (run / "x").exists()
