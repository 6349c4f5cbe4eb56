from pathlib import Path

import pandas as pd
import pytest

from hemexp.cohort.findings import CohortError
from hemexp.cohort.load import load_cohort
from hemexp.config import DataConfig
from hemexp.files.writing import write_csv


@pytest.fixture
def tidy(workbooks: Path, tmp_path: Path) -> Path:
    write_csv(load_cohort(DataConfig("workbook", str(workbooks))).scans, tmp_path / "scans.csv")
    return tmp_path


def read(root: Path):
    return load_cohort(DataConfig("tidy", str(root)))


def test_the_written_table_is_read_as_the_same_cohort(tidy: Path, workbooks: Path):
    source, back = load_cohort(DataConfig("workbook", str(workbooks))), read(tidy)
    pd.testing.assert_frame_equal(back.scans, source.scans, check_exact=True)
    assert back.data_hash == source.data_hash


def test_a_parquet_file_is_read_as_the_same_cohort(tidy: Path):
    source = read(tidy)
    (tidy / "scans.csv").unlink()
    source.scans.to_parquet(tidy / "scans.parquet")
    pd.testing.assert_frame_equal(read(tidy).scans, source.scans, check_exact=True)


def test_serials_and_whole_numbers_are_written_without_decimals(tidy: Path):
    line = (tidy / "scans.csv").read_text().splitlines()[1].split(",")
    assert line[1].isdigit()
    assert len(line[1]) == 14
    assert "." not in line[6]  # age


def test_other_files_in_the_folder_are_ignored(tidy: Path):
    before = read(tidy).data_hash
    (tidy / "labels.csv").write_text("patient_id,expansion\nsub001,1\n")
    assert read(tidy).data_hash == before


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("HM_volume", "-1", "out_of_range"),
        ("age", "old", "not_a_number"),
        ("scan_serial", "2.03E+13", "serial_unreadable"),
        ("scan_time", "soon", "not_a_time"),
        ("scan_index", "7", "scan_index"),
        ("scan_index", "", "scan_index"),
        ("hours_from_first_scan", "", "out_of_range"),
        ("hours_from_onset", "999", "hours_disagree"),
        ("hours_from_onset", "", "hours_disagree"),
        ("scan_time", "2031-12-01 00:00:00", "hours_disagree"),
        ("scan_time", "", "out_of_range"),
        ("HM_volume", "NA", "not_a_number"),
        ("patient_id", "", "patient_id_missing"),
    ],
)
def test_an_invalid_cell_is_an_error_that_names_it(tidy: Path, column: str, value: str, problem: str):
    table = pd.read_csv(tidy / "scans.csv", dtype=str, keep_default_na=False)
    table.loc[1, column] = value
    table.to_csv(tidy / "scans.csv", index=False)
    with pytest.raises(CohortError) as caught:
        read(tidy)
    finding = next(f for f in caught.value.findings.rows if f.problem == problem)
    assert (finding.file, finding.row) == ("scans.csv", 3)
    assert finding.column


def test_a_patient_with_two_ages_is_an_error(tidy: Path):
    table = pd.read_csv(tidy / "scans.csv", dtype=str, keep_default_na=False)
    table.loc[1, "age"] = "33"
    table.to_csv(tidy / "scans.csv", index=False)
    with pytest.raises(CohortError, match="age is 33"):
        read(tidy)


def test_blank_lines_do_not_change_the_row_numbers_of_findings(tidy: Path):
    lines = (tidy / "scans.csv").read_text().splitlines()
    cells = lines[2].split(",")
    broken = ",".join([*cells[:6], "old", *cells[7:]])
    (tidy / "scans.csv").write_text("\n".join([lines[0], lines[1], "", broken, *lines[3:], ""]))
    with pytest.raises(CohortError) as caught:
        read(tidy)
    assert caught.value.findings.rows[0].row == 4


def test_wrong_separators_and_columns_that_occur_twice_are_errors(tidy: Path):
    text = (tidy / "scans.csv").read_text()
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        (tidy / "scans.csv").write_text(text.replace(",", separator).replace(".", ","))
        with pytest.raises(CohortError, match=name):
            read(tidy)
    (tidy / "scans.csv").write_text(text.replace(",sex,", ",age,", 1))
    with pytest.raises(CohortError, match="'age' occurs twice: G, H"):
        read(tidy)


def test_an_unknown_column_is_a_warning_and_a_missing_one_an_error(tidy: Path):
    table = pd.read_csv(tidy / "scans.csv", dtype=str, keep_default_na=False)
    table.assign(note="x").to_csv(tidy / "scans.csv", index=False)
    assert read(tidy).findings.counts()["unknown_column"] == 1
    table.drop(columns="ED_volume").to_csv(tidy / "scans.csv", index=False)
    with pytest.raises(CohortError, match="no column 'ED_volume'"):
        read(tidy)


def test_a_table_without_scans_is_an_error(tidy: Path):
    header = (tidy / "scans.csv").read_text().splitlines()[0]
    (tidy / "scans.csv").write_text(header + "\n")
    with pytest.raises(CohortError, match="at least one scan"):
        read(tidy)
    (tidy / "scans.csv").write_text("")
    with pytest.raises(CohortError, match="cannot be read"):
        read(tidy)
