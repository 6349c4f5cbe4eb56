"""prepare.py leaves what a user needs to correct the files and their mapping."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hemexp.cohort import columns as c
from hemexp.cohort.findings import Cell, Findings
from hemexp.cohort.load import Cohort
from hemexp.cohort.mapping.mapping import ColumnMapping, Mapping, OpenQuestions, Question, TableMapping
from hemexp.commands.prepare import MOST_SHOWN, prepare
from hemexp.config import PrepareConfig
from hemexp.config.compose import load_config
from hemexp.errors import UserError

COLUMNS = [
    ColumnMapping(column="No.", means="patient_id", examples=["1", "2"], sure="header"),
    ColumnMapping(column="Vol [1]", means="HM_volume", unit="mL", scan=0, examples=["20.5"], sure="header"),
    ColumnMapping(column="Male", means="sex", values={"0": "female", "1": "male"}),
    ColumnMapping(column="Ward"),
]
TABLES = [
    TableMapping(file="registry.xlsx", sheet="2031", rows="patient", columns=COLUMNS),
    TableMapping(file="registry.xlsx", sheet="notes", columns=[ColumnMapping(column="Remark")]),
]
QUESTION = Question(
    table="registry.xlsx, 2031", column="Male", key="values", question="Which value means male?", examples=["0", "1"],
    candidates=["1 = male, 0 = female", "0 = male, 1 = female"],
)  # fmt: skip
SCANS = pd.DataFrame(
    {
        "patient_id": ["1", "1", "2", "2"],
        "scan_serial": ["1-1", "1-2", "2-1", "2-2"],
        "scan_index": [0, 1, 0, 1],
        "scan_time": pd.NaT,
        "hours_from_onset": [1.0, 20, 2, 30],
        "hours_from_first_scan": [0.0, 19, 0, 28],
        "age": [60.0, np.nan, 71, 71],
        "HM_volume": [20_500.0, 40_000, 9000, 9100],
    }
)
Prepare = Callable[..., "Cohort | None"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Return a function that prepares a cohort of two patients: its result comes from `SCANS`, not from a file."""
    root = tmp_path / "registry.csv"
    root.write_text("No.\n")

    def call(
        *overrides: str,
        scans: pd.DataFrame = SCANS,
        findings: Findings | None = None,
        questions: tuple[Question, ...] = (),
    ) -> Cohort | None:
        mapping = Mapping(tables=TABLES, questions=list(questions))

        def load_cohort(*args: object, **kwargs: object) -> Cohort:
            if questions:
                raise OpenQuestions(mapping)
            cell = Cell("registry.xlsx", "2031", 2, "A")
            return Cohort(scans, findings or Findings(), lambda row, name: cell, mapping=mapping)

        monkeypatch.setattr("hemexp.commands.prepare.load_cohort", load_cohort)
        return prepare(load_config(PrepareConfig, [f"data.root={root}", *overrides]), tmp_path / "out")

    return call


def test_the_mapping_is_printed_and_written(run: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run()
    output = " ".join(capsys.readouterr().out.split())
    assert "registry.xlsx, 2031: a row is a patient" in output
    for text in ("Hematoma volume, scan 1", "Vol [1]", "20.5", "unused"):
        assert all(word in output for word in text.split())
    assert "registry.xlsx, notes: not used; no column is recognized" in output
    assert (tmp_path / "out" / "mapping.yaml").read_text() == Mapping(tables=TABLES).to_yaml()


def test_a_table_with_few_columns_is_labeled_and_completed(run: Prepare, tmp_path: Path):
    run("imputation=previous_three")
    scans, labels, completed = (pd.read_csv(tmp_path / "out" / f"{n}.csv") for n in ("scans", "labels", "completed"))
    assert list(scans.columns) == list(completed.columns) == list(SCANS.columns)
    assert labels["expansion"].tolist() == [1, 0]
    assert completed["age"].tolist() == [60, 60, 71, 71]


def test_a_cohort_without_later_scans_shows_the_outcomes_of_its_files(run: Prepare, capsys: pytest.CaptureFixture[str]):
    run(scans=SCANS[SCANS["scan_index"] == 0].assign(mrs_90d=[3.0, 2.0]).reset_index(drop=True))
    assert "the files hold mrs_90d; to learn it: label=column label.column=mrs_90d" in capsys.readouterr().out


def test_without_volumes_the_tables_are_written_without_labels(run: Prepare, tmp_path: Path, caplog):
    run(scans=SCANS.drop(columns="HM_volume"))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"scans.csv", "patients.csv", "quality.csv", "mapping.yaml"}
    assert "labels.csv is not written: label=onset_48h: needs hematoma volumes" in caplog.text


def test_open_questions_are_written_and_end_the_command(run: Prepare, tmp_path: Path):
    with pytest.raises(UserError, match=r"(?s)Which value means male.*here: data\.mapping=.*mapping\.yaml"):
        run(questions=(QUESTION,))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mapping.yaml"]
    assert "candidates: ['1 = male, 0 = female'" in (tmp_path / "out" / "mapping.yaml").read_text()


def test_the_mapping_of_the_user_is_not_overwritten(run: Prepare, tmp_path: Path):
    mine = tmp_path / "out" / "mapping.yaml"
    mine.parent.mkdir()
    mine.write_text("# my notes\n")
    run(f"data.mapping={mine}")
    assert mine.read_text() == "# my notes\n"


def test_corrections_are_kept_where_the_user_forgot_to_give_them(run: Prepare, tmp_path: Path, caplog):
    mine = tmp_path / "out" / "mapping.yaml"
    mine.parent.mkdir()
    for number in (1, 2):
        mine.write_text(f"# my correction {number}\n")
        run()
        assert mine.read_text() == Mapping(tables=TABLES).to_yaml()
    run()
    kept = [mine.with_name(f"mapping.{number}.yaml") for number in (1, 2)]
    assert [path.read_text() for path in kept] == ["# my correction 1\n", "# my correction 2\n"]
    assert f"the earlier mapping.yaml is now mapping.1.yaml; to use it, give data.mapping={kept[0]}" in caplog.text
    assert not mine.with_name("mapping.3.yaml").exists()


def test_a_warning_about_many_cells_names_them_once(run: Prepare, capsys: pytest.CaptureFixture[str]):
    findings = Findings()
    first, second = (Cell("registry.xlsx", "2031", row, "B") for row in (2, 3))
    findings.add("warning", "missing_value", first, "2 cells (B2, B3): age is empty", patient="7", others=[second])
    findings.add("warning", "time_order", first, "the scan is before the onset", patient="7")
    run(findings=findings)
    output = capsys.readouterr().out
    assert "│ 2 cells (B2, B3): age is empty" in output
    assert "│ 7 B2: the scan is before the onset" in output


def test_the_terminal_shows_ten_kinds_of_warnings_and_the_file_opens_in_excel(
    run: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    findings = Findings()
    for number in range(MOST_SHOWN + 3):
        findings.warn(f"problem_{number}", Cell("登记.xlsx", "", 2, "A"), "the cell [A2] is wrong")
    findings.warn("problem_12", Cell("登记.xlsx", "", 3, "A"), "the cell [A3] is wrong")
    run(findings=findings)
    output = capsys.readouterr().out
    assert output.count("problem_") == MOST_SHOWN
    assert "problem_12" in output  # the most frequent one
    assert "and 3 more kinds; see quality.csv" in output
    assert (tmp_path / "out" / "quality.csv").read_bytes().startswith("\ufeffseverity".encode())
    assert len(pd.read_csv(tmp_path / "out" / "quality.csv")) == MOST_SHOWN + 4


def test_the_mark_of_a_simulated_cohort_is_in_the_tables(tmp_path: Path):
    prepare(load_config(PrepareConfig, ["data.num_patients=10", "data.num_unlabelled=0"]), tmp_path)
    assert (pd.read_csv(tmp_path / "patients.csv")[c.SIMULATED] == 1).all()
