"""Guards: what the audit knows as a leak is refused, or named in the verdict."""

import json
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from cohort.hospital import draw_scans
from small import QUIET
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hemexp.cohort import columns as c
from hemexp.cohort.headers import describe_later
from hemexp.cohort.labels import label_patients
from hemexp.cohort.load import load_cohort
from hemexp.commands.predict import predict
from hemexp.commands.report import report
from hemexp.commands.train import train
from hemexp.config import DataConfig, PredictConfig, ReportConfig, TrainConfig
from hemexp.config.compose import load_config, load_protocols
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.data.leaks import find_leaky_inputs
from hemexp.data.split import draw_validation
from hemexp.errors import UserError
from hemexp.evaluation.folds import find_leak
from hemexp.evaluation.plan import EvaluationPlan, list_definitions
from hemexp.files.result import LEAKS, NO_LEAKAGE, PredictionResult, RunResult
from hemexp.files.writing import write_csv
from hemexp.models.predictor import load_predictor

HEADERS = {
    "patient": "Patient ID", "time": "Scan date/time", "onset": "Onset time", "age": "Age", "sex": "Sex", "sbp": "SBP",
    "dbp": "DBP", "ml": "Hematoma volume (mL)", "edema_ml": "Edema volume (mL)", "gcs": "GCS",
}  # fmt: skip
FITTED = ["model=logistic", "label=onset_48h", *QUIET]
Table = Callable[..., Path]


def by_patient(values: pd.Series) -> pd.Series:
    """Return a value of each patient in all rows of the patient."""
    return draw()["patient"].map(values)


@cache
def draw() -> pd.DataFrame:
    """Return 60 invented patients, each with another growth."""
    scans, rng = draw_scans(60), np.random.default_rng(0)
    later, count = scans["scan"] > 0, len(scans)
    growth = np.where(scans["grows"] == 1, rng.uniform(7, 25, count), rng.uniform(-1, 1, count))
    ml = scans["ml"].where(~later, scans.groupby("patient")["ml"].transform("first") + growth).round(2)
    return scans.assign(ml=ml, edema_ml=(ml * rng.uniform(0.4, 1.2, count)).round(2))


def grouped() -> pd.core.groupby.DataFrameGroupBy:
    return draw().groupby("patient")


LATER = {  # columns that nothing in their header gives away
    "x status": ("outcome_inputs", lambda: by_patient(grouped()["grows"].first())),
    "x group": ("outcome_inputs", lambda: by_patient(grouped()["grows"].first()).map({1: "A", 0: "B"})),
    "x sometimes": (
        "outcome_inputs", lambda: by_patient(grouped()["grows"].first()).where(lambda each: each == 1) * draw()["age"]
    ),
    "x growth": ("followup_delta", lambda: by_patient(grouped()["ml"].last() - grouped()["ml"].first()).round(1)),
    "x clipped": (
        "followup_delta",
        lambda: by_patient((grouped()["ml"].last() - grouped()["ml"].first()).clip(lower=0)).round(1),
    ),
    "x mean": ("followup_delta", lambda: by_patient(grouped()["ml"].mean()).round(2)),
    "x growth share": ("followup_delta", lambda: by_patient(grouped()["ml"].last() / grouped()["ml"].first()).round(3)),
    "x second": ("followup_delta", lambda: by_patient(grouped()["ml"].agg(lambda volumes: volumes.iloc[1]))),
    "x log": ("followup_delta", lambda: np.log(by_patient(grouped()["ml"].last())).round(3)),
    "x scans": ("followup_counts", lambda: by_patient(grouped().size())),
    "x days": (
        "followup_counts",
        lambda: by_patient((grouped()["time"].max() - grouped()["time"].min()).dt.total_seconds() / 86_400).round(2),
    ),
    "x hours": (
        "followup_counts",
        lambda: by_patient((grouped()["time"].max() - grouped()["onset"].min()).dt.total_seconds() / 3600).round(2),
    ),
}  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Write an export of a hospital, a row a scan, with further columns."""

    def write(name: str = "export", **columns: pd.Series) -> Path:
        scans = draw().assign(**columns)
        for each in ("time", "onset"):
            scans[each] = scans[each].dt.strftime("%Y-%m-%d %H:%M")
        path = tmp_path / f"{name}.csv"
        write_csv(scans[[*HEADERS, *columns]].rename(columns=HEADERS), path)
        return path

    return write


def prepared(root: Path, *overrides: str) -> tuple[TrainConfig, ExpansionDataModule]:
    cfg = load_config(TrainConfig, [f"data.root={root}", *FITTED, *overrides])
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    return cfg, data


def leak_of(root: Path, *overrides: str) -> str | None:
    return find_leak(*prepared(root, *overrides))


def columns(*names: str) -> list[str]:
    return ["features=columns", f"features.columns=[{','.join(names)}]"]


def run(directory: Path, *overrides: str) -> RunResult:
    return train(load_config(TrainConfig, [*FITTED, *overrides]), directory)


def mapping(root: Path, path: Path, **meanings: str) -> str:
    """Write the mapping of a file with other meanings of some columns; return the override."""
    found = load_cohort(DataConfig("mapped", str(root))).mapping
    assert found is not None
    content = yaml.safe_load(found.to_yaml())
    for column in content["tables"][0]["columns"]:
        column["means"] = meanings.get(column["column"], column.get("means", "unused"))
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return f"data.mapping={path}"


# Names


def test_every_leak_of_a_run_is_a_protocol_of_the_audit_where_one_fits():
    others = {"same_patient", "label_without_followup", "init_includes_test"}
    assert set(LEAKS) - others <= {name for name, protocol in load_protocols().items() if protocol.leak}


# Inputs from later scans or from the outcome


@pytest.mark.parametrize("name", LATER)
def test_an_input_with_the_values_of_a_later_scan_or_of_the_outcome_is_named(table: Table, name: str):
    leak, build = LATER[name]
    root = table(**{name: build()})
    cfg, data = prepared(root, *columns("Age", f'"{name}"'))
    assert find_leak(cfg, data) == leak
    assert {each.partition("=")[0] for each in data.leaky_inputs} == {name}
    assert leak_of(root, "features=available") is None  # an unknown column is not an input by itself


def test_a_later_value_in_a_column_that_hemexp_knows_is_named(table: Table, tmp_path: Path):
    root = table(glucose=5 + LATER["x growth"][1]())
    assert leak_of(root, "features=available") == "followup_delta"
    root = table("edema", x2=LATER["x second"][1]())
    meant = mapping(root, tmp_path / "mapping.yaml", **{"Edema volume (mL)": "unused", "x2": "ED_volume"})
    assert leak_of(root, meant, "features=available") == "followup_delta"


def test_the_radiomics_of_a_later_scan_under_another_name_are_named():
    cfg, data = prepared_synthetic()
    scans, ids = data.cohort.scans, data.labels["patient_id"]
    last = scans[scans["scan_index"] > 0].groupby("patient_id")["Hemo_original_shape_Sphericity"].last()
    found = find_leaky_inputs(scans, data.labels, ["x shape"], last.reindex(ids).to_numpy()[:, None])
    assert found["x shape"].leak == "followup_delta"
    assert find_leak(cfg, data) is None


def prepared_synthetic() -> tuple[TrainConfig, ExpansionDataModule]:
    cfg = load_config(TrainConfig, ["data=synthetic", *QUIET])
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    return cfg, data


@pytest.mark.parametrize("signal", [0, 20])
def test_strong_inputs_of_the_first_scan_are_no_leak(signal: int):
    for number in (40, 300):
        cfg = load_config(TrainConfig, ["features=all", f"data.signal={signal}", f"data.num_patients={number}", *QUIET])
        data = ExpansionDataModule.from_config(cfg)
        data.setup()
        assert data.leaky_inputs == {}
        assert find_leak(cfg, data) is None


def test_the_real_cohort_has_no_leak_under_any_inputs(real_cohort: Path):
    for features in ("paper", "all", "available"):
        assert leak_of(real_cohort, f"features={features}") is None


def test_an_input_that_repeats_the_first_volume_is_no_leak(table: Table):
    first = by_patient(grouped()["ml"].first())
    root = table(**{"x first": first * 1000, "x noisy": (first * 1.1 + 0.3 * draw()["age"]).round(1)})
    assert leak_of(root, *columns('"x first"', '"x noisy"', "Age", '"Hematoma volume (mL)"')) is None


LATER_HEADERS = [
    "Growth (mL)", "Volume change", "Hematoma growth 24h", "LOS (days)", "Length of stay", "GCS at discharge",
    "GCS 24h", "SBP day 2", "mRS at discharge", "mRS 6 months", "Outcome", "In-hospital mortality group", "n_ct",
    "Follow-up NIHSS", "出院mRS", "住院天数", "血肿增长量", "Entlassung GCS",
    "mRS_disch", "modified Rankin Scale day 90", "三个月mRS评分", "Nachblutung", "再出血",
]  # fmt: skip


@pytest.mark.parametrize("header", LATER_HEADERS)
def test_a_column_whose_header_says_that_it_is_known_later_is_refused(table: Table, tmp_path: Path, header: str):
    values = by_patient(pd.Series(np.arange(60) % 6, index=draw()["patient"].unique()))
    root = table(**{header: values})
    with pytest.raises(
        UserError, match=r"features\.columns: .* known only later.*rule: an input is known at the first"
    ):
        prepared(root, *columns("Age", f'"{header}"'))
    meant = mapping(root, tmp_path / "mapping.yaml", **{header: "input"})
    with pytest.raises(UserError, match=r"data\.mapping: .* means is input, .* known only later"):
        prepared(root, meant, "features=available")


@pytest.mark.parametrize(
    ("header", "means"), [("mRS 90 d", "mrs_before"), ("Expansion", "spot_sign"), ("GCS 24h", "gcs")]
)
def test_a_mapping_that_gives_a_later_column_another_meaning_is_refused(
    table: Table, tmp_path: Path, header: str, means: str
):
    root = table(**{header: by_patient(pd.Series(np.arange(60) % 2 + 3, index=draw()["patient"].unique()))})
    meant = mapping(root, tmp_path / "mapping.yaml", **{header: means, **({"GCS": "unused"} if means == "gcs" else {})})
    if means == "spot_sign":
        write_csv(pd.read_csv(root).assign(Expansion=lambda each: each["Expansion"] - 3), root)
    for inputs in ("features=available", f"features=columns features.columns=[{means}]"):
        with pytest.raises(UserError, match=f"data.mapping: .*'{header}': means is {means}, .* known only later"):
            prepared(root, meant, *inputs.split())


def test_headers_of_first_scan_values_are_not_taken_for_later_ones():
    known = [each for each in c.known_columns().values() if each.known in {"first_scan", "treatment"}]
    names = [text for each in known for text in (each.name, each.meaning, each.chinese, *each.synonyms)]
    own = [
        "Weight", "Score 2", "Feature_2", "Family history of death", "Prior stroke 3 months", "TIA within 30 days",
        "Ventricular enlargement", "脑室扩大", "支气管扩张", "住院号", "入院GCS", "Smoking 10 years",
        "Loss of consciousness", "Growth hormone", "Number of drugs", "Hematoma density", "Hematoma location 2",
        "Troponin 0h", "number of CT slices", "los angeles motor scale", "predicted mortality (APACHE II)",
    ]  # fmt: skip
    assert [text for text in [*names, *own] if describe_later(text)] == []


def test_outcomes_ids_and_scans_side_by_side_are_refused_as_inputs(table: Table):
    for header in ("mRS 90 d", "Expansion", "Death"):
        root = table(**{header: by_patient(grouped()["grows"].first())})
        with pytest.raises(UserError, match="is known only later"):
            prepared(root, *columns(f'"{header}"'))
    with pytest.raises(UserError, match="is an id, or a time of a scan"):
        prepared(root, *columns("hours_from_first_scan"))
    with pytest.raises(UserError, match=r"is the outcome \(label.column\)"):
        prepared(root, *columns("Death"), "label=column", "label.column=Death")


def test_the_outcome_of_the_file_is_not_an_input(table: Table):
    root = table(heart_rate=by_patient(grouped()["grows"].first()) + 60)
    _, data = prepared(root, "features=available", "label=column", "label.column=heart_rate", "label.at_least=61")
    assert "heart_rate" not in data.features
    twice = table("twice", A=by_patient(grouped()["grows"].first()), B=by_patient(grouped()["grows"].first()))
    outcome = ["label=column", "label.column=A"]
    assert leak_of(twice, *columns("Age", "B"), *outcome) == "outcome_inputs"


def test_a_gap_of_the_first_scan_is_not_filled_by_a_later_one(tmp_path: Path):
    scans = draw().copy()
    scans["sbp"] = scans["sbp"] + np.where(scans["scan"] > 0, 1 + scans.index % 7, 0)
    scans["sbp"] = scans["sbp"].mask((scans["scan"] == 0) & scans["patient"].isin(["P001", "P002"]))
    for each in ("time", "onset"):
        scans[each] = scans[each].dt.strftime("%Y-%m-%d %H:%M")
    write_csv(scans[list(HEADERS)].rename(columns=HEADERS), tmp_path / "a.csv")
    cohort = load_cohort(DataConfig("mapped", str(tmp_path / "a.csv")))
    assert cohort.patients["systolic"].isna().tolist() == [True, True, *[False] * 58]
    messages = cohort.findings.frame().query("problem == 'inconsistent_patient'")["message"]
    assert not messages.str.contains("nan").any()


# Parts and folds that share a person


def with_copy(root: Path, folder: Path, serial: str = "9") -> Path:
    """Write the cohort with a patient of the test part again at its beginning, under another id."""
    scans = load_cohort(DataConfig("workbook", str(root))).scans
    patient = scans["patient_id"].unique()[30]
    rows = scans[scans["patient_id"] == patient]
    again = rows.assign(
        patient_id="X" + rows["patient_id"],
        scan_serial=rows["scan_serial"].str[:8] + serial + rows["scan_serial"].str[9:],
        scan_time=rows["scan_time"] + pd.Timedelta(minutes=7),
    )
    folder.mkdir()
    write_csv(pd.concat([again, scans], ignore_index=True), folder / "scans.csv")
    return folder


def test_one_person_in_two_parts_is_named_and_folds_and_samples_never_divide_a_person(workbooks: Path, tmp_path: Path):
    root = with_copy(workbooks, tmp_path / "cohort")
    assert leak_of(root, "features=minimal", "split.fit_on=train") == "same_patient"  # the first 60 % and the rest
    cfg, data = prepared(
        root, "features=minimal", "model=sacnn", "split=stratified", "split.val_fraction=0.3", "evaluation=standard",
        "evaluation.num_repeats=2", "evaluation.num_refits=10", "evaluation.label_repeats=1",
    )  # fmt: skip
    ((first, second),) = data.cohort.same_patients
    assert data.split.parts[first] == data.split.parts[second]
    assert find_leak(cfg, data) is None
    plan = EvaluationPlan(cfg, data, list_definitions(cfg))
    folds = [*plan.folds, *plan.training_folds, *(fold for each in plan.labels for fold in each.folds)]
    assert any(first in fold.test for fold in folds)
    assert any(first in fold.train for fold in folds)
    for fold in folds:
        assert (first in fold.test) == (second in fold.test)
        assert (first in fold.train) == (second in fold.train)
    samples = [sample.tolist() for sample in plan.samples[0]]
    assert len(samples) == 11
    assert all(sample.count(first) == sample.count(second) for sample in samples)
    for fit in plan.fits["folds"]:
        train, val = draw_validation(plan.pipeline.labels, fit.rows, 0.3, fit.seed, data.groups)
        assert (first in train) == (second in train)
        assert (first in val) == (second in val)


def test_two_rows_of_one_id_are_one_patient_in_one_part(table: Table):
    _, data = prepared(table(), "features=available")
    assert len(set(data.split.patients)) == len(data.split.patients) == 60
    for overrides in (["split=stratified"], ["split=kfold", "split.fold=1"], ["split.val_fraction=0.25"]):
        ids = prepared(table(), "features=available", "model=sacnn", *overrides)[1].split.ids()
        assert sum(map(len, ids.values())) == len(set().union(*ids.values())) == 60


# A fit that saw the test part


def changed_test_part(data: ExpansionDataModule) -> None:
    """Exchange the outcomes of the test part, and give its patients absurd inputs."""
    test = data.split.indices("test")
    outcomes = data.labels["expansion"].to_numpy(copy=True)
    outcomes[test] = 1 - outcomes[test]
    raw = data.raw.copy()
    raw[test] = 1e6 * (1 + np.arange(raw.shape[1]))
    data.labels, data.raw = data.labels.assign(expansion=outcomes), raw


NETWORK = ["model=sacnn", "trainer.max_epochs=8", "split.val_fraction=0.25", "trainer.patience=3"]
MODELS = [
    pytest.param(NETWORK, id="sacnn"),
    pytest.param(["model=ridge2"], id="ridge2"),
    pytest.param(["model=logistic"], id="logistic", marks=pytest.mark.slow),
    pytest.param(["model=gradient_boosting"], id="gradient_boosting", marks=pytest.mark.slow),
]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("overrides", MODELS)
def test_the_test_part_changes_no_weight_scale_epoch_or_threshold(
    workbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str]
):
    options = [f"data.root={workbooks}", "features=available", "evaluation=standard", "evaluation.num_repeats=0"]
    options += ["evaluation.threshold_repeats=1", *overrides]
    honest = run(tmp_path / "a", *options)
    setup = ExpansionDataModule.setup

    def setup_changed(data: ExpansionDataModule, stage: str | None = None) -> None:
        split = ExpansionDataModule.build_training_set
        monkeypatch.setattr(
            ExpansionDataModule,
            "build_training_set",
            lambda self, *parts: (changed_test_part(self), split(self, *parts))[1],
        )
        setup(data, stage)
        monkeypatch.setattr(ExpansionDataModule, "build_training_set", split)

    monkeypatch.setattr(ExpansionDataModule, "setup", setup_changed)
    other = run(tmp_path / "b", *options)
    assert honest.metrics["test/auroc"] != other.metrics["test/auroc"]
    assert honest.model_digest == other.model_digest
    assert (honest.best_epoch, honest.best_loss, honest.inputs) == (other.best_epoch, other.best_loss, other.inputs)
    assert honest.uncertainty is not None
    assert other.uncertainty is not None
    assert honest.uncertainty.threshold == other.uncertainty.threshold
    assert honest.thresholds is not None
    assert other.thresholds is not None
    assert [each.threshold for each in honest.thresholds] == [each.threshold for each in other.thresholds]


def test_a_fit_that_saw_a_test_patient_is_named_however_it_came_about(workbooks: Path):
    for overrides in ([], ["split=kfold"], ["split=stratified"]):
        assert leak_of(workbooks, "split.fit_on=all", *overrides) == "train_includes_test"
    cfg, data = prepared(workbooks)
    assert find_leak(cfg, data) is None
    data.fitted_indices = [*data.fitted_indices, data.split.indices("test")[0]]
    assert find_leak(cfg, data) == "train_includes_test"


# A label without follow-up


def test_a_patient_without_a_later_scan_has_no_label_under_any_definition(workbooks: Path):
    scans = load_cohort(DataConfig("workbook", str(workbooks))).scans
    alone = scans["patient_id"].map(scans["patient_id"].value_counts()) == 1
    assert alone.sum() == 5
    for name in ("onset_48h", "baseline_24h", "absolute_3ml"):
        for rule in ("negative", "exclude"):
            label = load_config(TrainConfig, [f"label={name}", f"label.no_scan_in_window={rule}"]).label
            labels = label_patients(scans, label).set_index("patient_id")["expansion"]
            assert labels[scans.loc[alone, "patient_id"]].isna().all()


def test_an_outcome_of_the_file_that_calls_patients_without_a_later_scan_negative_is_named(tmp_path: Path):
    scans = draw().assign(grown=lambda each: each["grows"])
    alone = scans["patient"].isin(["P001", "P005", "P010", "P011"])
    scans = scans[~alone | (scans["scan"] == 0)].assign(grown=scans["grows"].mask(alone, 0))
    for each in ("time", "onset"):
        scans[each] = scans[each].dt.strftime("%Y-%m-%d %H:%M")

    def leak(outcome: str, table: pd.DataFrame) -> str | None:
        path = tmp_path / "a.csv"
        write_csv(table[[*HEADERS, "grown"]].rename(columns={**HEADERS, "grown": outcome}), path)
        return leak_of(path, "features=available", "label=column", f'label.column="{outcome}"')

    for outcome in ("Expansion", "Radiologist growth"):
        assert leak(outcome, scans) == "label_without_followup"
    assert leak("Vomiting", scans) is None  # needs no later scan
    unknown = scans.assign(grown=scans["grown"].astype(float).mask(alone))
    assert leak("Expansion", unknown) is None
    elsewhere = scans.assign(grown=scans["grown"].mask(scans["patient"] == "P001", 1))
    assert leak("Expansion", elsewhere) is None  # the file knows scans that are not in it
    firsts = scans[scans["scan"] == 0]
    assert leak("Expansion", firsts) is None


# A choice made by test scores


@pytest.mark.parametrize("score", ["test/auroc", "test", "auroc_test"])
def test_a_sweep_cannot_be_ranked_by_a_test_score(score: str):
    with pytest.raises(UserError, match=r"search\.score"):
        load_config(TrainConfig, [f"search.score={score}"])


@pytest.mark.slow
def test_a_search_that_goes_beyond_its_report_is_named_with_its_test_score(
    workbooks: Path, tmp_path: Path, run_command: Callable[..., subprocess.CompletedProcess[str]]
):
    settings = [f"data.root={workbooks}", "features=minimal", "model=logistic", "model.C=tag(log,interval(0.01,10))"]
    settings += ["evaluation.num_repeats=1", "evaluation.threshold_repeats=1", "search=random"]
    for number, expected in ((1, False), (2, True)):
        done = run_command(
            "train.py", "-m", *settings, f"search.num_trials={number}", f"hydra.sweep.dir={tmp_path / 's'}"
        )
        assert done.returncode == 0, done.stderr
        assert ("LEAKAGE: tuning_on_test: this is the 2nd report" in " ".join(done.stdout.split())) == expected
        assert run_command("report.py", f"sweep_dir={tmp_path / 's'}").returncode == 0
        page = (tmp_path / "s" / "report.html").read_text(encoding="utf-8")
        assert ("LEAKAGE: tuning_on_test: the search was continued" in page) == expected
        assert not [name for name in pd.read_csv(tmp_path / "s" / "leaderboard.csv") if name.startswith("test/")]


def read_texts(directory: Path) -> str:
    """Return all texts and settings that TensorBoard shows for a run."""
    board = EventAccumulator(str(directory)).Reload()
    texts = [event.tensor_proto.string_val for tag in board.Tags()["tensors"] for event in board.Tensors(tag)]
    plugins = [str(board.summary_metadata[tag].plugin_data.content) for tag in board.summary_metadata]
    return " ".join([*map(str, texts), *plugins])


def leaky_export(table: Table) -> list[str]:
    name = "x growth"
    return [f"data.root={table(**{name: LATER[name][1]()})}", *columns("Age", f'"{name}"'), "label=onset_48h"]


@pytest.mark.slow
@pytest.mark.parametrize("leak", ["train_includes_test", "followup_delta", "same_patient"])
def test_a_leak_is_named_wherever_a_score_is_shown(
    leak: str,
    table: Table,
    workbooks: Path,
    tmp_path: Path,
    run_command: Callable[..., subprocess.CompletedProcess[str]],
):
    verdict = f"LEAKAGE: {leak}"
    if leak == "followup_delta":
        given = leaky_export(table)
    elif leak == "same_patient":
        given = [f"data.root={with_copy(workbooks, tmp_path / 'cohort')}", "features=minimal"]
    else:
        given = [f"data.root={workbooks}", "split.fit_on=all", "features=minimal"]
    few = [
        "trainer.max_epochs=3",
        "trainer.progress_bar=false",
        "evaluation.num_repeats=1",
        "evaluation.threshold_repeats=1",
    ]
    single, sweep, scored = tmp_path / "run", tmp_path / "sweep", tmp_path / "scored"

    done = run_command("train.py", *given, *few, f"output_dir={single}")
    assert done.returncode == 0, done.stderr
    assert f"Verdict: {verdict}: {LEAKS[leak][:40]}" in " ".join(done.stdout.split())
    assert json.loads((single / "result.json").read_text())["verdict"] == verdict
    assert (single / "DONE").read_text().strip() == verdict
    assert json.loads((single / "model" / "model.json").read_text())["verdict"] == verdict
    assert verdict in read_texts(single / "tensorboard")
    assert run_command("report.py", f"run_dir={single}").returncode == 0
    page = (single / "report.html").read_text(encoding="utf-8")
    assert verdict in page
    assert LEAKS[leak][1:40] in page

    root = given[0]
    done = run_command("predict.py", f"run_dir={single}", root, f"output_dir={scored}")
    assert done.returncode == 0, done.stderr
    assert verdict in done.stdout
    assert json.loads((scored / "result.json").read_text())["verdict"] == verdict

    done = run_command("train.py", "-m", *given, *few, "model=sacnn,logistic", f"hydra.sweep.dir={sweep}")
    assert done.returncode == 0, done.stderr
    assert verdict in done.stdout
    assert pd.read_csv(sweep / "leaderboard.csv")["verdict"].tolist() == [verdict, verdict]
    assert verdict in read_texts(next((sweep / "0").rglob("tensorboard")))
    assert run_command("report.py", f"sweep_dir={sweep}").returncode == 0
    page = (sweep / "report.html").read_text(encoding="utf-8")
    assert verdict in page


@pytest.mark.usefixtures("undrawn")
def test_a_leaky_input_is_named_in_the_result_and_on_the_page(table: Table, tmp_path: Path):
    result = run(tmp_path / "run", *leaky_export(table))
    assert result.verdict == "LEAKAGE: followup_delta"
    assert result.leaky_inputs == {"x growth": "the change of HM_volume"}
    report(load_config(ReportConfig, [f"run_dir={tmp_path / 'run'}"]), tmp_path)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "LEAKAGE: followup_delta" in page
    assert "x growth agrees with the change of HM_volume." in page


@pytest.mark.usefixtures("undrawn")
def test_predictions_of_new_patients_name_the_leak_of_their_inputs(table: Table, tmp_path: Path):
    honest = by_patient(pd.Series(np.random.default_rng(1).permutation(60) / 10, index=draw()["patient"].unique()))
    trained = run(tmp_path / "run", f"data.root={table('old', x=honest)}", *columns("Age", "x"))
    assert trained.verdict == NO_LEAKAGE

    def predicted(name: str, values: pd.Series, *overrides: str) -> PredictionResult:
        options = [f"run_dir={tmp_path / 'run'}", f"data.root={table(name, x=values)}", *overrides]
        return predict(load_config(PredictConfig, options), tmp_path / name)

    assert predicted("same", honest).verdict == NO_LEAKAGE
    assert predicted("new", LATER["x growth"][1]()).verdict == "LEAKAGE: followup_delta"
    off = predicted("off", honest, "recognize=off")
    assert off.verdict.startswith("INCOMPLETE: recognize=off: training patients may be scored")


def test_training_patients_are_never_scored_by_predict(workbooks: Path, tmp_path: Path):
    trained = run(tmp_path / "run", f"data.root={workbooks}", "split.fit_on=all")
    cohort = [f"run_dir={tmp_path / 'run'}", f"data.root={workbooks}"]
    again = predict(load_config(PredictConfig, cohort), tmp_path / "out")
    assert again.num_train == trained.num_train + trained.num_test  # the test part was learned, too
    assert again.num_test == 0
    assert load_predictor(tmp_path / "run" / "checkpoints" / "best.ckpt").features
