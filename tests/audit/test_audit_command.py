"""audit.py: its files, its continuation, its refusals, and its numbers on the real cohort."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hemexp.audit.run import SCORES, run_audit
from hemexp.commands.audit import MODELS, _choose_protocols, audit, load_audit_data
from hemexp.config import AuditConfig, TrainConfig
from hemexp.config.compose import load_config, load_protocols
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.errors import UserError
from hemexp.evaluation.folds import find_leak
from hemexp.report.audit import build_content
from hemexp.report.blocks import load_texts
from hemexp.report.markdown import to_markdown

COLUMNS = [
    "protocol", "leak", "model", "accuracy", "accuracy_sd", "auroc", "auroc_sd", "majority_accuracy", "inflation",
    "num_seeds",
]  # fmt: skip
FEW = ["num_seeds=2", "trainer.max_epochs=3", "trainer.progress_bar=false"]


def config(*overrides: str, root: str = "data.num_patients=60") -> AuditConfig:
    given = ["data=synthetic", root] if root.startswith("data.num") else [root]
    return load_config(AuditConfig, [*given, *FEW, *overrides])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("audit") / "a"
    audit(config("only=[honest_60_40,train_includes_test,best_epoch_on_test]"), directory)
    return directory


def test_the_files_hold_every_protocol_and_no_patient(done: Path):
    table = pd.read_csv(done / "audit.csv")
    assert list(table) == COLUMNS
    assert set(table["protocol"]) == {"honest_60_40", "train_includes_test", "best_epoch_on_test"}
    assert table["num_seeds"].eq(2).all()
    leaky = table[(table["protocol"] == "train_includes_test") & (table["model"] == "random_forest")].iloc[0]
    honest = table[(table["protocol"] == "honest_60_40") & (table["model"] == "random_forest")].iloc[0]
    assert leaky["auroc"] == 1.0
    assert np.isclose(leaky["inflation"], leaky["auroc"] - honest["auroc"])
    page, text = (done / "audit.html").read_text(), (done / "audit.md").read_text()
    for words in ("train_includes_test", "Ten questions", "How to see it in a paper"):
        assert words in page
        assert words in text
    first = re.sub("<[^>]*>", " ", page[page.index('<header class="answer') : page.index("</header>")])
    assert "Audit: which mistake makes which number" in first
    assert "Trained honestly Accuracy 0." in " ".join(first.split())
    assert len(first.split()) <= 60
    assert text.startswith("# Audit: which mistake makes which number\n\n**")
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "sub0" not in page + text


def test_an_audit_continues_with_the_seeds_that_are_missing(done: Path, tmp_path: Path):
    scores = pd.read_csv(done / SCORES)
    expected = pd.read_csv(done / "audit.csv")
    kept = scores[scores["seed"] == 0].copy()
    for name in ("audit.json", ".hydra"):
        if (done / name).is_file():
            (tmp_path / name).write_bytes((done / name).read_bytes())
    kept.to_csv(tmp_path / SCORES, index=False)
    audit(config("only=[honest_60_40,train_includes_test,best_epoch_on_test]"), tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "audit.csv"), expected)
    before = (tmp_path / SCORES).stat().st_mtime_ns
    audit(config("only=[honest_60_40,train_includes_test,best_epoch_on_test]"), tmp_path)
    assert (tmp_path / SCORES).stat().st_mtime_ns == before  # nothing was fitted again


def test_other_settings_or_another_cohort_are_refused(done: Path):
    for other in (
        config("only=honest_60_40", "label=onset_24h"),
        config("only=honest_60_40", root="data.num_patients=70"),
    ):
        with pytest.raises(UserError, match="holds an audit of another cohort or other settings"):
            audit(other, done)


@pytest.mark.parametrize("only", ["only=nonsense", "only=[honest_60_40,nonsense]"])
def test_a_name_that_is_no_protocol_is_refused_with_the_names(only: str, tmp_path: Path):
    with pytest.raises(UserError, match=r"only=nonsense: there is no such protocol; rule: one of .*paper_claim"):
        audit(config(only), tmp_path)


def test_only_must_be_names():
    with pytest.raises(UserError, match="only"):
        config("only=3")


def test_every_question_is_about_protocols_that_there_are():
    questions = load_texts("audit_questions")
    assert len(questions) == 10
    assert {name for each in questions for name in each["protocols"]} <= set(load_protocols())


def test_a_fit_on_all_patients_carries_its_leak():
    for overrides, leak in ((["experiment=paper_claim"], "train_includes_test"), ([], None)):
        cfg = load_config(TrainConfig, ["data=synthetic", *overrides])
        data = ExpansionDataModule.from_config(cfg)
        data.setup()
        assert find_leak(cfg, data) == leak
        assert ("test" in data.learned_roles) == (leak is None)


@pytest.mark.slow
def test_on_the_real_cohort_the_order_of_the_protocols_comes_out(real_cohort: Path, tmp_path: Path):
    root = f"data.root={real_cohort}"
    names = [
        "honest_60_40", "random_60_40", "train_includes_test", "scan_rows_random", "scan_rows_grouped",
        "duplicated_positives_3", "smote_before_split", "smote_inside", "select_on_all", "select_inside",
        "followup_delta", "wrong_units",
    ]  # fmt: skip
    found = audit(config("num_seeds=5", f"only=[{','.join(names)}]", root=root), tmp_path)
    auroc = {row.protocol.name: row.mean("auroc") for row in found.rows if row.model == "logistic"}
    accuracy = {row.protocol.name: row.mean("accuracy") for row in found.rows if row.model == "logistic"}
    assert accuracy["train_includes_test"] == 39 / 40
    assert auroc["train_includes_test"] == 1.0
    assert accuracy["honest_60_40"] <= 0.725
    for leaky, control in (
        ("scan_rows_random", "scan_rows_grouped"), ("duplicated_positives_3", "random_60_40"),
        ("smote_before_split", "smote_inside"), ("select_on_all", "select_inside"), ("followup_delta", "honest_60_40"),
    ):  # fmt: skip
        assert auroc[leaky] > auroc[control] + 0.1, leaky
    assert max(auroc[name] for name in ("smote_inside", "select_inside", "random_60_40")) < 0.65
    outcomes = next(row for row in found.rows if row.protocol.name == "wrong_units").scores[0]
    assert outcomes.majority_accuracy <= 0.65  # 58 of 100 are positive


@pytest.mark.slow
def test_the_claim_comes_out_when_the_network_has_learned_from_everybody(real_cohort: Path, tmp_path: Path):
    root = f"data.root={real_cohort}"
    overrides = ["num_seeds=8", "trainer.max_epochs=150", "only=paper_claim"]
    (row,) = audit(config(*overrides, root=root), tmp_path).rows
    assert row.mean("accuracy") >= 0.95
    assert row.mean("auroc") > 0.99


def test_a_protocol_that_the_cohort_cannot_have_is_left_out_or_refused_if_it_was_asked_for(tmp_path: Path):
    rng = np.random.default_rng(0)
    rows = [
        {"patient_id": f"p{i}", "age": 50 + i % 30, "hours_from_onset": hours, "hematoma_volume_ml": round(volume, 1)}
        for i in range(40)
        for hours, volume in ((2 + i % 5, 20.0 + i % 7), (20 + i % 5, 20.0 + i % 7 + (12.0 if i % 3 else rng.random())))
    ]
    table = tmp_path / "scans.csv"
    pd.DataFrame(rows).to_csv(table, index=False)

    def tidy(only: str) -> AuditConfig:
        return load_config(AuditConfig, [f"data.root={table}", "features=available", *FEW, f"only={only}"])

    rule = "only=outcome_inputs: the cohort has no mRS after 90 days .*; leave this protocol out of only="
    with pytest.raises(UserError, match=rule):
        audit(tidy("outcome_inputs"), tmp_path / "a")
    everything = load_protocols()
    kept = [everything[name] for name in ("honest_60_40", "outcome_inputs", "edema_label")]
    cfg = tidy("null")
    found = run_audit(load_audit_data(cfg), kept, MODELS[:1], cfg.trainer, 1, tmp_path / "b")
    assert [row.protocol.name for row in found.rows] == ["honest_60_40"]
    assert set(found.skipped) == {"outcome_inputs", "edema_label"}
    content = build_content(found, None, None, load_audit_data(cfg), {})
    assert "## Protocols that this cohort cannot have" in to_markdown(content)


def copy_audit(done: Path, target: Path) -> Path:
    shutil.copytree(done, target)
    return target


def test_a_refused_command_leaves_the_finished_audit(done: Path, tmp_path: Path):
    copied = copy_audit(done, tmp_path / "a")
    before = (copied / "audit.csv").read_bytes()
    for other in (config("only=nonsense"), config("label=onset_24h", "only=honest_60_40")):
        with pytest.raises(UserError):
            audit(other, copied)
        assert (copied / "audit.csv").read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("0.", "5.", 1),
        lambda text: text[:-20],
        lambda text: text + text.splitlines()[1] + "\n",
        lambda text: text.replace("hits", "right"),
        lambda text: "",
        lambda text: "\0\1\2",
    ],
    ids=["impossible", "cut", "twice", "column", "empty", "binary"],
)
def test_damaged_scores_are_refused_by_name(damage: Callable[[str], str], done: Path, tmp_path: Path):
    copied = copy_audit(done, tmp_path / "a")
    (copied / SCORES).write_text(damage((copied / SCORES).read_text()))
    with pytest.raises(UserError, match=r"scores\.csv: cannot be used .*remove it to start again"):
        audit(config("only=[honest_60_40,train_includes_test,best_epoch_on_test]"), copied)


def test_a_name_given_twice_is_run_once(tmp_path: Path):
    found = audit(config("only=[zero_init,zero_init]"), tmp_path)
    assert [row.protocol.name for row in found.rows] == ["zero_init"]


def test_an_input_that_holds_the_outcome_is_refused(tmp_path: Path):
    rng = np.random.default_rng(0)
    grows = rng.random(60) < 0.4
    rows = [
        {"patient_id": f"p{i}", "age": 50 + i % 30, "hours_from_onset": hours, "hematoma_volume_ml": volume, "kappa": k}
        for i, k in enumerate(grows.astype(int))
        for hours, volume in ((2 + i % 5, 20.0 + i % 7), (20 + i % 5, 20.0 + i % 7 + (12.0 if k else rng.random())))
    ]
    table = tmp_path / "scans.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    inputs = ["features=columns", "features.columns=[age,kappa]"]
    with pytest.raises(UserError, match=r"the input kappa agrees with .* \(leak .*remove it from the inputs"):
        audit(load_config(AuditConfig, [f"data.root={table}", *FEW, *inputs, "only=honest_60_40"]), tmp_path / "a")


def test_all_models_are_run_where_they_can_be():
    chosen = {each.name: each.models for each in _choose_protocols(config("models=all"))}
    assert chosen["zero_init"] == chosen["label_shopping"] == ["logistic", "random_forest", "sacnn"]
    assert chosen["best_split"] == ["logistic", "sacnn"]
    assert chosen["tuning_on_test"] == chosen["best_epoch_on_test"] == ["sacnn"]


@pytest.mark.slow
def test_every_protocol_runs_with_all_models(tmp_path: Path):
    found = audit(
        config("models=all", "num_seeds=1", "only=[paper_claim,zero_init,tuning_on_test,best_split]"), tmp_path
    )
    assert len(found.rows) == 3 + 3 + 1 + 2
