"""Errors in a hospital's files: each is a finding that names file, sheet, cell, value and rule."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from hemexp.cohort.findings import CohortError, Finding
from hemexp.cohort.load import load_cohort
from hemexp.config import DataConfig

CLINICAL, IMAGING, RADIOMICS, TIMES = "表1", "表2", "表3", "附表1"
FIRST_FOLLOW_UP = 25  # 1-based column of 随访1流水号 in Table 2


def errors(books) -> list[Finding]:
    with pytest.raises(CohortError) as caught:
        books.load()
    result = [finding for finding in caught.value.findings.rows if finding.severity == "error"]
    for finding in result[:10]:
        assert finding.message in str(caught.value)
    return result


def single_error(books) -> Finding:
    (finding,) = errors(books)
    return finding


@pytest.mark.parametrize("prefix", [CLINICAL, IMAGING, RADIOMICS, TIMES])
def test_a_missing_workbook_is_an_error(books, prefix: str):
    books.path(prefix).unlink()
    finding = single_error(books)
    assert finding.problem == "file_missing"
    assert finding.file == f"{prefix}*.xlsx"


def test_two_files_with_the_same_prefix_are_an_error_that_names_both(books):
    (books.root / "表1-copy.xlsx").write_bytes(books.path(CLINICAL).read_bytes())
    assert "表1-copy.xlsx" in single_error(books).message


def test_the_lock_file_of_excel_is_ignored(books):
    (books.root / f"~${books.path(CLINICAL).name}").write_bytes(b"\x05user")
    books.load()


def test_a_file_that_is_not_a_workbook_is_an_error(books):
    books.path(IMAGING).write_text("not a workbook")
    finding = single_error(books)
    assert finding.problem == "file_unreadable"
    assert finding.file.startswith(IMAGING)


@pytest.mark.parametrize("name", ["Hemo", "ED"])
def test_a_missing_sheet_is_an_error_that_names_it(books, name: str):
    with books.edit(RADIOMICS) as book:
        del book[name]
    finding = single_error(books)
    assert finding.problem == "sheet_missing"
    assert repr(name) in finding.message


@pytest.mark.parametrize(
    ("prefix", "sheet", "text"),
    [
        (CLINICAL, None, "年龄"),
        (CLINICAL, None, "血压"),
        (CLINICAL, None, "性别"),
        (IMAGING, None, "ED_volume"),
        (IMAGING, None, "首次检查流水号"),
        (RADIOMICS, "Hemo", "流水号"),
        (RADIOMICS, "ED", "NCCT_original_firstorder_Mean"),
        (TIMES, None, "ID"),
    ],
)
def test_a_missing_column_is_an_error_in_row_1(books, header: Callable, prefix: str, sheet: str | None, text: str):
    with books.sheet(prefix, sheet) as table:
        table.cell(1, header(table, text)).value = "something else"
    findings = errors(books)
    assert {finding.problem for finding in findings} == {"column_missing"}
    assert findings[0].file.startswith(prefix)
    assert findings[0].row == 1


def test_a_deleted_column_of_table_2_is_reported_at_its_position(books):
    with books.sheet(IMAGING) as table:
        table.delete_cols(4)
    finding = errors(books)[0]
    assert (finding.problem, finding.column) == ("column_missing", "D")
    assert "HM_ACA_R_Ratio" in finding.message


def test_a_header_that_occurs_twice_is_an_error(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        table.cell(1, header(table, "饮酒史")).value = "吸烟史"
    assert {finding.problem for finding in errors(books)} == {"column_doubled", "column_missing"}


@pytest.mark.parametrize("value", ["seventy", "70 岁", "7O", "12,5", "NA", "nan", "inf", "6_3", "1e300"])
def test_text_in_a_number_column_is_an_error_that_names_cell_value_and_patient(books, header: Callable, value: str):
    with books.sheet(CLINICAL) as table:
        table.cell(3, header(table, "年龄")).value = value
    finding = single_error(books)
    assert (finding.problem, finding.row, finding.column) == ("not_a_number", 3, "E")
    assert finding.value == value
    assert finding.patient_id == "sub002"


def test_a_number_stored_as_text_is_read_as_a_number(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        table.cell(3, header(table, "年龄")).value = " 71 "
    assert books.load().patients["age"].iloc[1] == 71


def test_text_in_a_number_column_is_an_error_in_every_table(books):
    with books.sheet(IMAGING) as table:
        table.cell(2, FIRST_FOLLOW_UP + 1).value = "large"
    with books.sheet(RADIOMICS, "ED") as table:
        table.cell(5, 7).value = "?"
    cells = {(f.problem, f.sheet, f.row, f.column) for f in errors(books)}
    assert cells == {("not_a_number", "Data", 2, "Z"), ("not_a_number", "ED", 5, "G")}


@pytest.mark.parametrize(
    ("text", "value", "rule"),
    [
        ("年龄", 430, "0 to 120"),
        ("高血压病史", 2, "0 or 1"),
        ("脑出血前mRS评分", 7, "0 or 1"),
        ("90天mRS", 9, "0 or 1"),
    ],
)
def test_a_clinical_value_out_of_range_is_an_error_that_states_the_range(
    books, header: Callable, text: str, value: float, rule: str
):
    with books.sheet(CLINICAL) as table:
        table.cell(4, header(table, text)).value = value
    finding = single_error(books)
    assert (finding.problem, finding.row, finding.patient_id) == ("out_of_range", 4, "sub003")
    assert rule in finding.message
    assert str(value) in finding.message


def test_a_negative_volume_is_an_error(books):
    with books.sheet(IMAGING) as table:
        table.cell(2, FIRST_FOLLOW_UP + 1).value = -5
    finding = single_error(books)
    assert (finding.problem, finding.column, finding.row, finding.value) == ("out_of_range", "Z", 2, "-5")
    assert "0 to 2000 mL" in finding.message


def test_a_missing_volume_is_an_error_and_not_imputed(books):
    with books.sheet(IMAGING) as table:
        table.cell(2, 3).value = None
    finding = single_error(books)
    assert "HM_volume is empty" in finding.message


def test_a_ratio_above_one_is_an_error(books):
    with books.sheet(IMAGING) as table:
        table.cell(2, 4).value = 1.5
    assert "0 to 1" in single_error(books).message


@pytest.mark.parametrize(
    ("text", "value", "problem"), [("性别", "?", "unknown_sex"), ("血压", "high", "blood_pressure")]
)
def test_an_unreadable_sex_or_blood_pressure_is_an_error(books, header: Callable, text: str, value: str, problem: str):
    with books.sheet(CLINICAL) as table:
        table.cell(2, header(table, text)).value = value
    finding = single_error(books)
    assert (finding.problem, finding.value, finding.patient_id) == (problem, value, "sub001")


@pytest.mark.parametrize("prefix", [CLINICAL, IMAGING])
def test_a_patient_id_that_occurs_twice_is_an_error_that_names_both_rows(books, prefix: str):
    with books.sheet(prefix) as table:
        table.cell(3, 1).value = "sub001"
    findings = [f for f in errors(books) if f.problem == "duplicate_patient"]
    assert [(f.row, f.column, f.patient_id) for f in findings] == [(3, "A", "sub001")]
    assert "row 2" in findings[0].message


def test_a_serial_that_occurs_twice_in_table_2_is_an_error(books):
    with books.sheet(IMAGING) as table:
        table.cell(3, 2).value = table.cell(2, 2).value
    findings = [f for f in errors(books) if f.problem == "duplicate_serial"]
    assert [(f.row, f.column) for f in findings] == [(3, "B")]
    assert "B2" in findings[0].message


@pytest.mark.parametrize(("prefix", "sheet", "column"), [(RADIOMICS, "Hemo", "B"), (TIMES, None, "D")])
def test_a_serial_that_occurs_twice_in_another_table_is_an_error(books, prefix: str, sheet: str | None, column: str):
    with books.sheet(prefix, sheet) as table:
        table[f"{column}3"].value = table[f"{column}2"].value
    assert ("duplicate_serial", column, 3) in [(f.problem, f.column, f.row) for f in errors(books)]


@pytest.mark.parametrize("value", ["2.03101E+13", 2.5, "20310101000000.5"])
def test_a_serial_that_lost_digits_is_an_error(books, value: object):
    with books.sheet(IMAGING) as table:
        table.cell(2, 2).value = value
    findings = errors(books)
    assert (findings[0].problem, findings[0].row, findings[0].column) == ("serial_unreadable", 2, "B")


def test_a_serial_stored_as_text_or_float_is_the_same_serial(books, workbooks: Path):
    with books.sheet(IMAGING) as table:
        table.cell(2, 2).value = str(table.cell(2, 2).value)
        table.cell(3, 2).value = float(table.cell(3, 2).value)
    cohort = books.load()
    assert cohort.data_hash == load_cohort(DataConfig("workbook", str(workbooks))).data_hash


def test_a_follow_up_before_the_first_scan_is_an_error(books):
    with books.sheet(TIMES) as table:
        table["E2"].value = table["C2"].value.replace(year=2030)
    finding = single_error(books)
    assert (finding.problem, finding.file[:3], finding.column, finding.row) == (
        "follow_up_before_first",
        "附表1",
        "E",
        2,
    )
    assert finding.patient_id == "sub001"


def test_a_scan_without_a_time_gives_one_error(books):
    with books.sheet(TIMES) as table:
        table["C2"].value = None
    finding = single_error(books)
    assert (finding.problem, finding.column, finding.row) == ("time_missing", "C", 2)
    with books.sheet(TIMES) as table:
        table["D2"].value = None
    finding = single_error(books)
    assert finding.problem == "scan_without_time"
    assert finding.file.startswith(IMAGING)


@pytest.mark.parametrize("sheet", ["ED", "Hemo"])
def test_a_radiomics_sheet_without_scans_is_an_error(books, sheet: str):
    with books.sheet(RADIOMICS, sheet) as table:
        table.delete_rows(2, table.max_row)
    assert [(f.problem, f.sheet) for f in errors(books)] == [("empty_table", sheet)]


def test_header_errors_of_all_tables_are_reported_together(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        table.cell(1, header(table, "年龄")).value = "age"
    with books.sheet(RADIOMICS, "ED") as table:
        table.cell(1, 3).value = "?"
    with books.sheet(TIMES) as table:
        table["A1"].value = "?"
    assert {f.file[:2] for f in errors(books)} == {"表1", "表3", "附表"}


def test_an_unknown_value_of_dataset_part_is_a_warning(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        table.cell(2, header(table, "数据集划分")).value = "train"
    findings = [f for f in books.load().findings.rows if f.problem == "dataset_part"]
    assert [(f.patient_id, f.value) for f in findings] == [("sub001", "train")]


@pytest.mark.parametrize(
    "value",
    ["yesterday", "03/01/2031 05:00", "2031-01-01", "2031-01-01 05:00:00+08:00", "2031-01-01T05:00:00Z", 44927.5],
)
def test_an_invalid_or_ambiguous_time_is_an_error(books, value: object):
    with books.sheet(TIMES) as table:
        table["C2"].value = value
        table["C2"].number_format = "General"
    finding = errors(books)[0]
    assert (finding.problem, finding.column, finding.row) == ("not_a_time", "C", 2)


def test_a_time_stored_as_text_is_read_as_a_time(books, workbooks: Path):
    with books.sheet(TIMES) as table:
        table["C2"].value = f"{table['C2'].value:%Y/%m/%d %H:%M:%S}"
    cohort = books.load()
    assert cohort.data_hash == load_cohort(DataConfig("workbook", str(workbooks))).data_hash


@pytest.mark.parametrize("value", [True, dt.datetime(2031, 5, 1), dt.timedelta(hours=3)])
def test_a_boolean_a_date_or_a_duration_is_not_read_as_a_number(books, value: object):
    with books.sheet(IMAGING) as table:
        table.cell(2, 3).value = value
    finding = single_error(books)
    assert (finding.problem, finding.row, finding.column) == ("not_a_number", 2, "C")


def test_a_systolic_pressure_below_the_diastolic_is_an_error(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        table.cell(2, header(table, "血压")).value = "82/162"
    finding = single_error(books)
    assert (finding.problem, finding.value, finding.patient_id) == ("blood_pressure", "82/162", "sub001")


def test_cell_errors_of_several_tables_are_reported_together(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        table.cell(2, header(table, "年龄")).value = "old"
        table.cell(3, header(table, "血压")).value = "high"
    with books.sheet(IMAGING) as table:
        table.cell(4, 3).value = -5
    assert {f.column for f in errors(books)} == {"E", "P", "C"}


def test_imaging_values_without_a_serial_are_an_error(books):
    with books.sheet(IMAGING) as table:
        table.cell(2, FIRST_FOLLOW_UP).value = None
    findings = [f for f in errors(books) if f.problem == "serial_missing"]
    assert [(f.row, f.column) for f in findings] == [(2, "Y")]


@pytest.mark.parametrize(
    ("prefix", "problem"), [(CLINICAL, "patient_without_clinical"), (IMAGING, "patient_without_imaging")]
)
def test_a_patient_who_is_missing_in_one_table_is_an_error(books, prefix: str, problem: str):
    with books.sheet(prefix) as table:
        table.delete_rows(5)
    finding = single_error(books)
    assert (finding.problem, finding.patient_id) == (problem, "sub004")


@pytest.mark.parametrize("prefix", [CLINICAL, IMAGING])
def test_a_table_without_patients_is_an_error(books, prefix: str):
    with books.sheet(prefix) as table:
        table.delete_rows(2, table.max_row)
    assert errors(books)[0].problem == "empty_table"


@pytest.mark.parametrize("prefix", [CLINICAL, IMAGING, TIMES])
def test_a_sheet_without_a_header_is_an_error(books, prefix: str):
    with books.sheet(prefix) as table:
        table.delete_rows(1, table.max_row)
    assert errors(books)[0].problem == "column_missing"


def test_the_message_lists_ten_errors_and_counts_the_others(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        for row in range(2, 17):
            table.cell(row, header(table, "年龄")).value = "old"
    with pytest.raises(CohortError) as caught:
        books.load()
    assert "15 error(s)" in str(caught.value)
    assert "and 5 more" in str(caught.value)
    assert len(caught.value.findings.frame()) >= 15


def test_missing_inputs_are_warnings_that_name_the_cell(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        table.cell(3, header(table, "年龄")).value = None
        table.cell(4, header(table, "血压")).value = None
    cohort = books.load()
    cells = {(f.row, f.column) for f in cohort.findings.rows if f.problem == "missing_value"}
    assert cells == {(3, "E"), (4, "P")}
    assert cohort.patients.loc[1, ["age"]].isna().all()
    assert cohort.patients.loc[2, ["systolic", "diastolic"]].isna().all()


def test_a_cohort_with_volumes_in_ml_is_an_error(books):
    with books.sheet(IMAGING) as table:
        for row in range(2, table.max_row + 1):
            for column in range(3, table.max_column + 1):
                if (
                    table.cell(1, column).value in {"HM_volume", "ED_volume"}
                    and table.cell(row, column).value is not None
                ):
                    table.cell(row, column).value /= 1000
    finding = next(f for f in errors(books) if f.problem == "volume_unit")
    assert "10^-3 mL" in finding.message


def test_a_single_volume_in_ml_is_a_warning(books):
    with books.sheet(IMAGING) as table:
        table.cell(5, 3).value /= 1000
    cohort = books.load()
    (finding,) = [f for f in cohort.findings.rows if f.problem == "volume_mismatch"]
    assert (finding.patient_id, finding.row, finding.column) == ("sub004", 5, "C")


def test_follow_ups_out_of_order_are_a_warning(books):
    with books.sheet(TIMES) as table:
        row = next(r for r in range(2, table.max_row) if table.cell(r, 7).value is not None)
        first, second = table.cell(row, 5).value, table.cell(row, 7).value
        table.cell(row, 5).value, table.cell(row, 7).value = second, first
    assert books.load().findings.counts()["follow_up_order"] == 1
