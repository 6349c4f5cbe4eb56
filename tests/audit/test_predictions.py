"""audit.py predictions=FILE: tables of many forms, their scores against other software, and refusals."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from hemexp.audit.predictions import Predictions, read_predictions
from hemexp.audit.published import Published, _subtract, score_table
from hemexp.audit.run import SCORES
from hemexp.audit.table import AuditData
from hemexp.cohort.synthetic import write_workbooks
from hemexp.commands.audit import _choose_protocols, audit, load_audit_data
from hemexp.config import AuditConfig, SyntheticDataConfig
from hemexp.config.compose import load_config
from hemexp.data.features import input_table
from hemexp.errors import UserError
from hemexp.evaluation.comparison import delong_test
from hemexp.evaluation.metrics import auroc_interval, score_predictions
from hemexp.files.result import Score
from hemexp.report.audit_predictions import conclude

NUM_TRAINING = 60


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    cohort = SyntheticDataConfig("synthetic", num_patients=120, num_unlabelled=10, prevalence=0.3, signal=0)
    write_workbooks(cohort, folder)
    return folder


def config(root: Path, *overrides: str) -> AuditConfig:
    given = [f"data.root={root}", "num_seeds=2", "trainer.max_epochs=3", "trainer.progress_bar=false"]
    return load_config(AuditConfig, [*given, *overrides])


@pytest.fixture(scope="module")
def data(root: Path) -> AuditData:
    return load_audit_data(config(root))


@pytest.fixture(scope="module")
def outcomes(data: AuditData) -> np.ndarray:
    return data.outcomes(data.label)


@pytest.fixture(scope="module")
def overfit(data: AuditData, outcomes: np.ndarray) -> pd.DataFrame:
    """The table of a forest that has memorized the first patients of a cohort whose outcomes are random."""
    inputs = np.nan_to_num(input_table(data.cohort.patients, data.names).to_numpy())
    forest = RandomForestClassifier(100, random_state=0).fit(inputs[:NUM_TRAINING], outcomes[:NUM_TRAINING])
    in_training = (np.arange(len(inputs)) < NUM_TRAINING).astype(int)
    risks = forest.predict_proba(inputs)[:, 1].round(3)
    ids = data.cohort.patients["patient_id"]
    return pd.DataFrame({"patient_id": ids, "probability": risks, "in_training": in_training})


@pytest.fixture
def read(tmp_path: Path, data: AuditData) -> Callable[[str], Predictions]:
    """Read a table that is given as text."""

    def read_text(text: str, name: str = "table.csv") -> Predictions:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_predictions(tmp_path / name, data.cohort)

    return read_text


def to_predictions(table: pd.DataFrame) -> Predictions:
    risks = table["probability"].to_numpy()
    return Predictions(np.arange(len(table)), risks, (risks > 0.5).astype(float), table["in_training"].to_numpy() == 1)


@pytest.fixture(scope="module")
def scored(overfit: pd.DataFrame, data: AuditData) -> Published:
    return score_table(to_predictions(overfit), data)


@pytest.fixture(scope="module")
def done(overfit: pd.DataFrame, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    overfit.to_csv(folder / "table.csv", index=False)
    only = "only=[honest_60_40,train_includes_test,apparent,scale_impute_on_all]"
    audit(config(root, f"predictions={folder / 'table.csv'}", only), folder / "a")
    return folder / "a"


def test_a_memorizing_table_is_shown_with_its_gap_and_the_protocols_like_it(done: Path):
    frame = pd.read_csv(done / "audit.csv")
    assert list(frame["protocol"][:2]) == ["predictions_training", "predictions_outside"]
    assert list(frame["leak"][:2]) == [1, 0]
    assert frame["auroc"][0] > 0.99
    assert frame["auroc"][1] < 0.65
    assert np.isclose(frame["inflation"][0], frame["auroc"][0] - frame["auroc"][1])
    text, page = (done / "audit.md").read_text(), (done / "audit.html").read_text()
    assert text.startswith(
        "# Audit of a published table of predictions\n\n**Outside of its training part, the table is "
    )
    assert text[text.index("## ") :].startswith("## What the published table is worth\n\nOutside")
    assert "better than giving every patient" in text.splitlines()[2]
    similar = next(line for line in text.splitlines() if line.startswith("- Protocols with an inflation"))
    assert "train_includes_test" in similar
    assert "apparent" in similar
    assert "scale_impute_on_all" not in similar
    assert page.index("<h2>What the published table is worth") < page.index("<h2>The claim of Yu")
    assert "one among several" in page
    assert "sub0" not in page + text


def test_another_table_in_the_same_directory_needs_no_new_fit(done: Path, overfit: pd.DataFrame, root: Path):
    before = (done / SCORES).stat().st_mtime_ns
    other = done.parent / "other.csv"
    overfit.drop(columns="in_training").to_csv(other, index=False)
    only = "only=[honest_60_40,train_includes_test,apparent,scale_impute_on_all]"
    audit(config(root, f"predictions={other}", only), done)
    assert (done / SCORES).stat().st_mtime_ns == before
    frame = pd.read_csv(done / "audit.csv")
    assert frame["protocol"][0] == "predictions_all"
    assert np.isnan(frame["leak"][0])
    assert np.isnan(frame["inflation"][0])
    assert "Add a column in_training" in (done / "audit.md").read_text()


def test_the_scores_are_those_of_other_software(scored: Published, overfit: pd.DataFrame, outcomes: np.ndarray):
    training, outside = scored.parts
    assert (training.num_patients, outside.num_patients, scored.num_unknown) == (NUM_TRAINING, 60, 10)
    y, p = outcomes[NUM_TRAINING:120].astype(int), overfit["probability"].to_numpy()[NUM_TRAINING:120]
    expected = {"auroc": roc_auc_score(y, p), "brier": brier_score_loss(y, p), "log_loss": log_loss(y, p)}
    expected |= {"accuracy": np.mean((p > 0.5) == y), "observed": y.mean()}
    for name, value in expected.items():
        assert np.isclose(outside.scores[name].value, value), name
    interval = binomtest(int(((p > 0.5) == y).sum()), len(y)).proportion_ci(method="exact")
    assert np.allclose((outside.scores["accuracy"].low, outside.scores["accuracy"].high), interval)
    share = outcomes[:NUM_TRAINING].mean()
    reference = brier_score_loss(y, np.full(len(y), share))
    assert np.isclose(scored.skill.value, 1 - expected["brier"] / reference)
    assert outside.scores["sensitivity"].value == np.mean(p[y == 1] > 0.5)
    assert outside.scores["specificity"].value == np.mean(p[y == 0] <= 0.5)


def test_the_gap_has_about_the_interval_of_a_bootstrap_and_of_delong():
    rng = np.random.default_rng(0)
    parts = []
    for signal in (1.5, 0.3):
        y = np.repeat([0, 1], [140, 60])
        parts.append((y, rng.normal(size=200) + signal * y))

    def resample(y: np.ndarray, p: np.ndarray) -> float:
        rows = np.concatenate([rng.choice(np.flatnonzero(y == outcome), (y == outcome).sum()) for outcome in (0, 1)])
        return roc_auc_score(y[rows], p[rows])

    values = [resample(*parts[0]) - resample(*parts[1]) for _ in range(2000)]
    scores = [score_predictions(y, p, 0, prefix="")["auroc"] for y, p in parts]
    gap = _subtract(*scores)
    assert np.isclose(gap.value, roc_auc_score(*parts[0]) - roc_auc_score(*parts[1]))
    assert np.allclose((gap.low, gap.high), np.quantile(values, [0.025, 0.975]), atol=0.02)
    against_chance = [delong_test(y, p, np.zeros(200)) for y, p in parts]  # equal risks have no variance
    spread = np.hypot(*((each.high - each.low) / 2 for each in against_chance))
    assert np.allclose((gap.low, gap.high), (gap.value - spread, gap.value + spread), atol=0.02)


def test_the_gap_from_a_perfect_score_keeps_its_uncertainty():
    gap = _subtract(Score(value=1.0, low=0.9, high=1.0), Score(value=0.5, low=0.4, high=0.6))
    assert np.allclose((gap.low, gap.high), (0.5 - np.hypot(0.1, 0.1), 0.6))


def test_the_gap_interval_covers_the_true_gap():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):  # both parts by chance: the true gap is 0
        y = np.repeat([0, 1], [45, 15])
        values = [roc_auc_score(y, rng.random(60)) for _ in range(2)]
        scores = [Score(value=v, low=(ends := auroc_interval(v, 15, 45))[0], high=ends[1]) for v in values]
        gap = _subtract(*scores)
        hits += gap.low <= 0 <= gap.high
    assert hits / 200 >= 0.91


def test_a_random_table_shows_no_gap(data: AuditData, overfit: pd.DataFrame):
    table = overfit.assign(probability=np.random.default_rng(3).random(len(overfit)))
    published = score_table(to_predictions(table), data)
    assert published.gap.low < 0 < published.gap.high
    assert "better than giving every patient" in conclude(published)
    assert not conclude(published).startswith("Outside of its training part, the table is better")


def test_an_honest_good_table_beats_the_prevalence_and_the_brain_score(
    data: AuditData, overfit: pd.DataFrame, outcomes: np.ndarray
):
    risks = np.clip(0.1 + 0.6 * np.nan_to_num(outcomes) + 0.2 * np.random.default_rng(0).random(len(outcomes)), 0, 1)
    published = score_table(to_predictions(overfit.assign(probability=risks)), data)
    assert conclude(published).startswith("Outside of its training part, the table is better than giving every")
    assert published.brain.test_auroc_difference.low > 0
    assert published.brain.num_patients <= published.judged.num_patients


def test_a_table_of_classes_has_shares_only(data: AuditData, overfit: pd.DataFrame, tmp_path: Path):
    words = overfit.assign(prediction=np.where(overfit["probability"] > 0.5, "yes", "no")).drop(columns="probability")
    words.to_csv(tmp_path / "table.csv", index=False)
    published = score_table(read_predictions(tmp_path / "table.csv", data.cohort), data)
    assert published.measure == "accuracy"
    for part in published.parts:
        assert part.scores["accuracy"].value is not None
        assert all(part.scores[name].value is None for name in ("auroc", "auprc", "brier", "log_loss"))
        assert part.calibration is None
    assert published.brain is None
    assert conclude(published).endswith("always answering the more frequent outcome")


@pytest.mark.parametrize(
    "text",
    [
        "patient_id,probability,in_training\nsub001,0.25,1\nsub002,0.5,0\n",
        "patient_id;risk;train\nsub001;0,25;yes\nsub002;0,5;no\n",
        "patient\tp\tset\nsub001\t0.25\ttraining\nsub002\t0.5\ttest\n",
        "患者编号,预测概率,数据集\nsub001,0.25,训练集\nsub002,0.5,测试集\n",
        "ID,概率,是否训练\nsub001,0.25,是\nsub002,0.5,否\n",
        "id,risk (%),Split\nsub001,25,Train\nsub002,50,validation\n",
        "id,risk,part\nsub001,25%,train\nsub002,50 %,outside\n",
        ",prediction,set\nsub001,0.25,train\nsub002,0.5,holdout\n",
        "patient_id,role,label,probability,recognized_by,run_patient\nsub001,train,0,0.25,id,sub001\nsub002,test,1,.5,,\n",
        "patient_id,role,label,probability\nsub001,val,0,0.25\nsub002,unlabelled,,0.5\n",
        "序号,患者,概率,数据集,%\n1,sub001,0.25,训练,x\n2,sub002,0.5,验证,x\n",
    ],
)
def test_tables_of_many_forms_say_the_same(text: str, read: Callable[..., Predictions], data: AuditData):
    found = read(text)
    assert list(data.cohort.patients["patient_id"].iloc[found.patients]) == ["sub001", "sub002"]
    assert np.allclose(found.probability, [0.25, 0.5])
    assert list(found.predicted) == [0, 0]
    assert list(found.in_training) == [True, False]


def test_workbooks_and_old_encodings_are_read(overfit: pd.DataFrame, data: AuditData, tmp_path: Path):
    expected = overfit["probability"].to_numpy()
    overfit.to_excel(tmp_path / "table.xlsx", index=False)
    chinese = overfit.rename(columns={"patient_id": "患者", "probability": "血肿扩张预测概率", "in_training": "训练集"})
    chinese.rename(columns={"训练集": "是否训练集"}).to_csv(tmp_path / "table.csv", index=False, encoding="gb18030")
    for name in ("table.xlsx", "table.csv"):
        found = read_predictions(tmp_path / name, data.cohort)
        assert np.allclose(found.probability, expected), name
        assert found.in_training.sum() == NUM_TRAINING, name


def test_a_label_beside_a_probability_is_not_a_prediction(read: Callable[..., Predictions]):
    assert list(read("id,probability,label\nsub001,0.2,1\nsub002,0.9,0\n").predicted) == [0, 1]
    assert list(read("id,label\nsub001,1\nsub002,0\n").predicted) == [1, 0]
    both = read("id,probability,class\nsub001,0.2,1\nsub002,0.9,0\n")  # a threshold of the table's own
    assert list(both.predicted) == [1, 0]


def test_who_was_in_training_is_found_by_the_cells_and_unread_columns_are_named(
    read: Callable[..., Predictions], caplog: pytest.LogCaptureFixture
):
    assert list(read("id,p,训练集\nsub001,.1,1\nsub002,.2,0\n").in_training) == [True, False]
    assert list(read("id,p,group\nsub001,.1,train\nsub002,.2,val\n").in_training) == [True, False]
    assert not caplog.records
    assert read("id,p,fold\nsub001,.1,1\nsub002,.2,0\n").in_training is None
    assert "not read: fold" in caplog.text
    assert list(read("patient_id,y_true,y_prob\nsub001,1,.1\nsub002,0,.2\n").probability) == [0.1, 0.2]


def test_classes_that_no_threshold_gives_are_named(read: Callable[..., Predictions], caplog: pytest.LogCaptureFixture):
    read("id,p,class\nsub001,.1,0\nsub002,.2,1\n")
    assert not caplog.records
    read("id,p,class\nsub001,.2,0\nsub002,.1,1\n")
    assert "some patients of class 0 have a higher probability" in caplog.text


def test_a_table_of_outcomes_is_not_praised(data: AuditData, overfit: pd.DataFrame, outcomes: np.ndarray):
    copied = overfit.assign(probability=np.where(np.isfinite(outcomes), outcomes, 0.0))
    assert conclude(score_table(to_predictions(copied), data)).startswith("The table repeats every outcome")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,p\nsub001,0.1\nsub999,0.2\n", r"cell A3: the cohort has no such patient; rule: .*correct or remove"),
        ("id,p\nx1,0.1\nx2,0.2\n", r"none of its patients is in the cohort; rule: .*data.root"),
        ("id,p\nsub001,0.1\nsub002,0.1\nsub001,0.2\n", r"cell A4: the patient has a row above; rule: one row"),
        ("id,p\nsub001,0.1\nsub002,\n", r"cell B3: p is missing; rule: a value in every row"),
        ("id,p\nsub001,0.1\n,0.3\n", r"cell A3: no patient; rule: an id in every row"),
        ("id,p\nsub001,0.1\nsub002,37\n", r"cell B3: p is not a probability; rule: 0 to 1; .*'p %'"),
        ("id,p\nsub001,0.1\nsub002,-0.1\n", r"cell B3: p is not a probability; rule: 0 to 1"),
        ("id,p\nsub001,0.1\nsub002,high\n", r"cell B3: p is 'high'; rule: a number"),
        ("id,p (%)\nsub001,0.1\nsub002,0.3\n", r"cell B2: no value of p \(%\) is above 1; rule: percent is 0 to 100"),
        ("id,p\nsub001,10%\nsub002,0.3\n", r"cell B3: no % sign; rule: in every cell or in none"),
        ("id,class\nsub001,1\nsub002,2\n", r"cell B3: class is '2'; rule: 0 or 1, yes or no"),
        ("id,p,set\nsub001,.1,train\nsub002,.2,1\n", r"cell C3: set is '1'; rule: train or test; .*in_training"),
        ("id,p,train\nsub001,.1,1\nsub002,.2,\n", r"cell C3: train is missing"),
        ("id,p,risk\nsub001,.1,.1\nsub002,.2,.2\n", r"p and risk hold the same thing; rule: one column each"),
        ("id,p,train,set\nsub001,.1,1,train\nsub002,.2,0,test\n", r"set and train hold the same thing"),
        ("id,age\nsub001,50\nsub002,60\n", r"has no column of patients or of predictions; columns: id, age; rule:"),
        ("", r"the file is empty"),
    ],
)
def test_a_table_with_a_mistake_is_refused_with_its_cell(text: str, message: str, read: Callable[..., Predictions]):
    with pytest.raises(UserError, match=rf"(?s)predictions=.*table\.csv: .*{message}"):
        read(text)


def test_a_part_with_one_outcome_is_refused(data: AuditData, overfit: pd.DataFrame, outcomes: np.ndarray):
    table = overfit.assign(in_training=(np.arange(len(outcomes)) < 60) | (outcomes == 1))
    with pytest.raises(
        UserError, match=r"outside part: 0 of \d+ patients with a known outcome have expansion; rule: both"
    ):
        score_table(to_predictions(table), data)


def test_without_known_outcomes_outside_the_training_part_is_scored_and_judged_as_such(
    data: AuditData, overfit: pd.DataFrame, outcomes: np.ndarray
):
    published = score_table(to_predictions(overfit.assign(in_training=np.isfinite(outcomes).astype(int))), data)
    assert [part.name for part in published.parts] == ["training"]
    assert published.gap is None
    assert "every patient with a known outcome was in training" in conclude(published).lower()


def test_a_patient_with_two_ids_in_both_parts_is_counted(data: AuditData, overfit: pd.DataFrame):
    cohort = copy.copy(data.cohort)
    cohort.same_patients = ((0, 1), (2, 100), (101, 102))
    published = score_table(to_predictions(overfit), replace(data, cohort=cohort))
    assert published.num_twins == 1


def test_the_same_risk_for_everybody_is_not_better_than_the_prevalence(
    data: AuditData, overfit: pd.DataFrame, outcomes: np.ndarray
):
    share = outcomes[:NUM_TRAINING].mean()
    published = score_table(to_predictions(overfit.assign(probability=share)), data)
    assert published.skill.value == 0
    assert "not shown to be better" in conclude(published)


def test_pseudonyms_hide_the_patients_of_the_table_too(root: Path, overfit: pd.DataFrame, tmp_path: Path):
    key = tmp_path / "secret.key"
    key.write_bytes(bytes(range(32)))
    overrides = [f"privacy.pseudonymize={key}", "only=honest_60_40"]
    plain, hidden = tmp_path / "plain.csv", tmp_path / "hidden.csv"
    overfit.to_csv(plain, index=False)
    names = load_audit_data(config(root, *overrides)).cohort.patients["patient_id"]
    overfit.assign(patient_id=names.to_numpy()).to_csv(hidden, index=False)
    results = []
    for path in (plain, hidden):
        audit(config(root, f"predictions={path}", *overrides), tmp_path / path.stem)
        results.append((tmp_path / path.stem / "audit.csv").read_text())
    assert results[0] == results[1]
    overfit.assign(patient_id=overfit["patient_id"].replace("sub002", "sub998")).to_csv(plain, index=False)
    plain.write_text(plain.read_text().replace("sub003", "sub0​03"))
    with pytest.raises(UserError, match="cell A3: the cohort has no such patient") as error:
        audit(config(root, f"predictions={plain}", *overrides), tmp_path / "c")
    plain.write_text("patient_id,sub001,sub002\nprobability,0.1,0.2\n")
    with pytest.raises(UserError, match="columns: hidden") as other:
        audit(config(root, f"predictions={plain}", *overrides), tmp_path / "c")
    assert "sub" not in str(error.value) + str(other.value)


def test_a_refused_table_ends_the_command_with_2(run_command: Callable[..., CompletedProcess[str]], root: Path):
    arguments = (f"data.root={root}", "output_dir=out", "num_seeds=1")
    missing = run_command("audit.py", *arguments, "predictions=nothing.csv")
    assert missing.returncode == 2
    assert "predictions=nothing.csv: there is no such file" in missing.stderr
    table = root.parent / "wrong.csv"
    table.write_text("id,p\nsub001,0.1\nsub002,7\n")
    wrong = run_command("audit.py", *arguments, f"predictions={table}")
    assert wrong.returncode == 2
    assert "cell B3: p is not a probability" in wrong.stderr + wrong.stdout
    assert "Traceback" not in wrong.stderr + wrong.stdout


def test_the_comparison_runs_with_logistic_regression_alone(root: Path):
    table = root.parent / "any.csv"
    table.write_text("id,p\nsub001,0.1\nsub002,0.7\n")
    given = f"predictions={table}"
    assert {tuple(each.models) for each in _choose_protocols(config(root, given))} == {("logistic",)}
    (claim,) = _choose_protocols(config(root, given, "only=paper_claim"))
    assert claim.models == ["sacnn"]
