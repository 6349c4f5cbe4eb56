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
        ("hours_from_onset", "999", "hours_disagree"),
        ("scan_time", "2031-12-01 00:00:00", "hours_disagree"),
        ("hours_from_first_scan", "-1", "follow_up_before_first"),
        ("HM_volume", "NA", "out_of_range"),
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


def test_hours_that_the_file_does_not_state_are_worked_out(tidy: Path):
    source = read(tidy)
    table = pd.read_csv(tidy / "scans.csv", dtype=str, keep_default_na=False)
    table.loc[1, ["hours_from_first_scan", "hours_from_onset"]] = ""
    table.to_csv(tidy / "scans.csv", index=False)
    assert read(tidy).data_hash == source.data_hash
    derived = ["scan_serial", "scan_index", "hours_from_first_scan", "hours_from_onset"]
    table.drop(columns=derived).sample(frac=1, random_state=0).to_csv(tidy / "scans.csv", index=False)
    scans = read(tidy).scans.set_index(["patient_id", "scan_index"])
    expected = source.scans.set_index(["patient_id", "scan_index"]).loc[scans.index]
    pd.testing.assert_frame_equal(scans[["HM_volume", *derived[2:]]], expected[["HM_volume", *derived[2:]]])


def test_a_scan_without_a_time_is_read_where_the_hours_are_given(tidy: Path):
    table = pd.read_csv(tidy / "scans.csv", dtype=str, keep_default_na=False)
    table.assign(scan_time="").to_csv(tidy / "scans.csv", index=False)
    cohort = read(tidy)
    assert cohort.scans["scan_time"].isna().all()
    assert cohort.scans["hours_from_onset"].notna().all()
    assert "hours_unknown" not in cohort.findings.counts()


@pytest.mark.parametrize(
    ("separator", "decimal", "encoding"), [(";", ",", "utf-8"), ("\t", ".", "utf-16"), (",", ".", "gbk")]
)
def test_any_usual_separator_and_encoding_is_read(tidy: Path, separator: str, decimal: str, encoding: str):
    source = read(tidy)
    table = source.scans
    table.to_csv(tidy / "scans.csv", index=False, sep=separator, decimal=decimal, encoding=encoding)
    assert read(tidy).data_hash == source.data_hash


def test_a_column_that_occurs_twice_is_an_error(tidy: Path):
    text = (tidy / "scans.csv").read_text()
    (tidy / "scans.csv").write_text(text.replace(",sex,", ",age,", 1))
    with pytest.raises(CohortError, match="'age' occurs twice: G, H"):
        read(tidy)


def test_a_column_with_our_own_name_is_preferred_to_one_that_means_the_same(tidy: Path):
    source = read(tidy)
    table = pd.read_csv(tidy / "scans.csv", dtype=str, keep_default_na=False)
    table.assign(**{"Age at onset": 1.0}).to_csv(tidy / "scans.csv", index=False)
    cohort = read(tidy)
    assert cohort.scans["age"].equals(source.scans["age"])
    assert cohort.findings.counts()["unknown_column"] == 1


def test_unknown_columns_are_one_warning_and_missing_columns_are_left_out(tidy: Path):
    table = pd.read_csv(tidy / "scans.csv", dtype=str, keep_default_na=False)
    known = read(tidy).findings.counts()
    table.assign(note="x", score=range(len(table))).to_csv(tidy / "scans.csv", index=False)
    (finding,) = [f for f in read(tidy).findings.rows if f.problem == "unknown_column"]
    assert "2 columns are not known" in finding.message
    assert "'note', 'score'" in finding.message
    table[["patient_id", "scan_time", "HM_volume", "onset_to_first_scan"]].to_csv(tidy / "scans.csv", index=False)
    cohort = read(tidy)
    assert "age" not in cohort.scans
    assert set(cohort.findings.counts()) <= {*known, "volume_jump"}  # no radiomics confirm the volumes


def test_a_table_without_a_volume_is_a_warning(tidy: Path):
    table = pd.read_csv(tidy / "scans.csv", dtype=str, keep_default_na=False)
    table.drop(columns="HM_volume").to_csv(tidy / "scans.csv", index=False)
    (finding,) = [f for f in read(tidy).findings.rows if f.problem == "no_volume"]
    assert finding.severity == "warning"
    assert "label=column" in finding.message


def test_a_table_without_scans_is_an_error(tidy: Path):
    header = (tidy / "scans.csv").read_text().splitlines()[0]
    (tidy / "scans.csv").write_text(header + "\n")
    with pytest.raises(CohortError, match="rule: a row of headers and rows below it"):
        read(tidy)
    (tidy / "scans.csv").write_text("")
    with pytest.raises(CohortError, match="cannot be read: the file is empty"):
        read(tidy)


def test_scan_numbers_that_are_texts_are_an_error(tidy: Path):
    table = pd.read_csv(tidy / "scans.csv")
    table.rename(columns={"patient_id": "scan_index", "scan_index": "patient_id"}).to_csv(
        tidy / "scans.csv", index=False
    )
    with pytest.raises(CohortError, match=r"scan_index is 'sub003'.*rule: a number"):
        read(tidy)
