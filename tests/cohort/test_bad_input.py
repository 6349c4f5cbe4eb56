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


def warnings(books, problem: str) -> list[Finding]:
    return [finding for finding in books.load().findings.rows if finding.problem == problem]


@pytest.mark.parametrize("prefix", [CLINICAL, RADIOMICS, TIMES])
def test_a_missing_workbook_is_one_warning(books, prefix: str):
    books.path(prefix).unlink()
    (finding,) = warnings(books, "file_missing")
    assert finding.file == f"{prefix}*.xlsx"


def test_the_workbook_with_the_volumes_cannot_be_left_out(books):
    books.path(IMAGING).unlink()
    finding = single_error(books)
    assert (finding.problem, finding.file) == ("file_missing", f"{IMAGING}*.xlsx")


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
def test_a_missing_sheet_is_a_warning_that_names_it(books, name: str):
    with books.edit(RADIOMICS) as book:
        del book[name]
    (finding,) = warnings(books, "sheet_missing")
    assert repr(name) in finding.message
    assert finding.file == books.path(RADIOMICS).name


@pytest.mark.parametrize(
    ("prefix", "sheet", "text", "name"),
    [
        (CLINICAL, None, "年龄", "age"),
        (CLINICAL, None, "血压", "systolic"),
        (CLINICAL, None, "性别", "sex"),
        (RADIOMICS, "ED", "NCCT_original_firstorder_Mean", "ED_NCCT_original_firstorder_Mean"),
    ],
)
def test_a_missing_column_is_one_warning_and_is_left_out(
    books, header: Callable, prefix: str, sheet: str | None, text: str, name: str
):
    with books.sheet(prefix, sheet) as table:
        table.delete_cols(header(table, text))
    (finding,) = warnings(books, "column_missing")
    assert (finding.file[: len(prefix)], finding.row) == (prefix, 1)
    assert text in finding.message
    assert name not in books.load().scans


def test_a_column_that_is_not_known_is_one_warning(books):
    with books.sheet(CLINICAL) as table:
        table.cell(1, table.max_column + 1).value = "备注"
        table.cell(2, table.max_column).value = "x"
    (finding,) = warnings(books, "unknown_column")
    assert "'备注'" in finding.message


@pytest.mark.parametrize(
    ("prefix", "sheet", "text", "rule"),
    [
        (CLINICAL, None, None, "the first column holds the patient ids"),
        (IMAGING, None, "ID", "the column ID holds the patient ids"),
        (IMAGING, None, "ED_volume", "scan 1 has no column ED_volume"),
        (IMAGING, None, "HM_volume", "scan 1 has no column HM_volume"),
        (IMAGING, None, "首次检查流水号", "scan 1 has no column scan_serial"),
        (RADIOMICS, "Hemo", "流水号", "the column 流水号 of each sheet holds the scan serials"),
        (TIMES, None, "随访1流水号", "scan 2 has no column scan_serial"),
        (TIMES, None, "随访1时间点", "scan 2 has no column scan_time"),
    ],
)
def test_a_column_without_which_values_are_lost_is_an_error(
    books, header: Callable, prefix: str, sheet: str | None, text: str | None, rule: str
):
    with books.sheet(prefix, sheet) as table:
        table.delete_cols(header(table, text))
    finding = errors(books)[0]
    assert (finding.problem, finding.file[: len(prefix)]) == ("column_missing", prefix)
    assert rule in finding.message


def test_table_2_without_volumes_is_an_error(books):
    with books.sheet(IMAGING) as table:
        for cell in table[1]:
            cell.value = cell.value.replace("HM_volume", "note") if cell.value else None
    assert "every scan has a column HM_volume" in single_error(books).message


def test_a_deleted_column_of_a_follow_up_is_reported_at_its_scan(books):
    with books.sheet(IMAGING) as table:
        table.delete_cols(FIRST_FOLLOW_UP + 2)
    finding = single_error(books)
    assert (finding.problem, finding.column) == ("column_missing", "Y")
    assert "scan 2 has no column HM_ACA_R_Ratio" in finding.message


def test_a_header_that_occurs_twice_is_an_error(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        table.cell(1, header(table, "饮酒史")).value = "吸烟史"
    finding = single_error(books)
    assert (finding.problem, finding.column) == ("column_doubled", "N")
    assert "'吸烟史' occurs twice: M, N" in finding.message


def test_a_follow_up_without_its_serial_header_does_not_replace_the_scan_before(books):
    with books.sheet(IMAGING) as table:
        table.cell(1, FIRST_FOLLOW_UP).value = "note"
    finding = single_error(books)
    assert (finding.problem, finding.column) == ("column_doubled", "Z")
    assert "once for each scan, after its serial" in finding.message


@pytest.mark.parametrize("value", ["seventy", "7O", "70 kg", "inf", "6_3", "1e300"])
def test_text_in_a_number_column_is_an_error_that_names_cell_value_and_patient(books, header: Callable, value: str):
    with books.sheet(CLINICAL) as table:
        table.cell(3, header(table, "年龄")).value = value
    finding = single_error(books)
    assert (finding.problem, finding.row, finding.column) == ("not_a_number", 3, "E")
    assert finding.value == value
    assert finding.patient_id == "sub002"


@pytest.mark.parametrize(("text", "age"), [("70 岁", 70), ("70岁", 70), ("12,5", 12.5), ("７０", 70)])
def test_a_number_is_read_as_people_write_it(books, header: Callable, text: str, age: float):
    with books.sheet(CLINICAL) as table:
        table.cell(3, header(table, "年龄")).value = text
    assert books.load().patients["age"].iloc[1] == age


@pytest.mark.parametrize("text", ["NA", "nan", "不详", "?"])
def test_a_text_for_a_missing_value_is_a_warning(books, header: Callable, text: str):
    with books.sheet(CLINICAL) as table:
        table.cell(3, header(table, "年龄")).value = text
    (finding,) = warnings(books, "missing_text")
    assert (finding.row, finding.column, finding.value, finding.patient_id) == (3, "E", text, "sub002")
    assert books.load().patients["age"].isna().tolist()[:3] == [False, True, False]


def test_a_number_stored_as_text_is_read_as_a_number(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        table.cell(3, header(table, "年龄")).value = " 71 "
    assert books.load().patients["age"].iloc[1] == 71


def test_text_in_a_number_column_is_an_error_in_every_table(books):
    with books.sheet(IMAGING) as table:
        table.cell(2, FIRST_FOLLOW_UP + 1).value = "large"
    with books.sheet(RADIOMICS, "ED") as table:
        table.cell(5, 7).value = "small"
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
    ("text", "value", "problem"), [("性别", "x", "unknown_sex"), ("血压", "high", "blood_pressure")]
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


def test_header_errors_of_all_tables_are_reported_together(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        table.cell(1, header(table, "年龄")).value = "性别"
    with books.sheet(RADIOMICS, "ED") as table:
        table.cell(1, header(table, "流水号")).value = "?"
    with books.sheet(TIMES) as table:
        table["E1"].value = "?"
    assert {f.file[:2] for f in errors(books)} == {"表1", "表3", "附表"}


def test_an_unknown_value_of_dataset_part_is_a_warning(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        table.cell(2, header(table, "数据集划分")).value = "train"
    findings = [f for f in books.load().findings.rows if f.problem == "dataset_part"]
    assert [(f.patient_id, f.value) for f in findings] == [("sub001", "train")]


def test_marks_that_say_nothing_to_us_are_named(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        column = header(table, "数据集划分")
        for row in range(2, table.max_row + 1):
            table.cell(row, column).value = "??"
    (finding,) = warnings(books, "dataset_part")
    assert finding.count > 1
    assert "not used" in finding.message


@pytest.mark.parametrize(
    "value",
    ["yesterday", "03/01/2031 05:00", "2031-01-01 05:00:00+08:00", "2031-01-01T05:00:00Z", 44927.5],
)
def test_an_invalid_or_ambiguous_time_is_an_error(books, value: object):
    with books.sheet(TIMES) as table:
        table["C2"].value = value
        table["C2"].number_format = "General"
    finding = errors(books)[0]
    assert (finding.problem, finding.column, finding.row) == ("not_a_time", "C", 2)


def test_a_scan_with_a_date_but_no_time_of_day_is_named_and_its_hours_are_unknown(books):
    with books.sheet(TIMES) as table:
        table["E2"].value = "2031-01-01"
    first = warnings(books, "hours_unknown")[0]
    assert (first.severity, first.row, first.column, first.value) == ("warning", 2, "E", "2031-01-01")
    scans = books.load().scans
    unknown = scans[scans["hours_from_onset"].isna()]
    assert unknown[["patient_id", "scan_index"]].to_numpy().tolist() == [["sub001", 1]]


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


TABLES = [(CLINICAL, "患者信息"), (IMAGING, "Data"), (RADIOMICS, "Hemo"), (RADIOMICS, "ED"), (TIMES, "Sheet1")]


@pytest.mark.parametrize(("prefix", "sheet"), TABLES)
@pytest.mark.parametrize("rows", [(2, 1000), (1, 1)], ids=["header only", "no header"])
def test_a_sheet_without_a_header_or_without_rows_is_an_error(books, prefix: str, sheet: str, rows: tuple[int, int]):
    with books.sheet(prefix, sheet) as table:
        table.delete_rows(*rows)
    finding = single_error(books)
    assert (finding.problem, finding.file, finding.sheet) == ("empty_table", books.path(prefix).name, sheet)
    assert "a row of headers and at least one row below" in finding.message


def test_ids_that_differ_in_leading_zeros_are_different_ids(books):
    with books.sheet(CLINICAL) as table:
        for row in range(2, table.max_row + 1):
            table.cell(row, 1).value = int(table.cell(row, 1).value.removeprefix("sub"))
    with books.sheet(IMAGING) as table:
        for row in range(2, table.max_row + 1):
            table.cell(row, 1).value = table.cell(row, 1).value.removeprefix("sub")
    missing = {finding.problem: finding for finding in errors(books)}
    assert {name: finding.count for name, finding in missing.items()} == {
        "patient_without_imaging": 45,
        "patient_without_clinical": 45,
    }
    for finding in missing.values():
        assert "1 and 001 are different ids" in finding.message


def test_long_serials_that_excel_may_have_rounded_are_named(books):
    with books.sheet(TIMES) as table:
        for row in range(2, table.max_row + 1):
            table.cell(row, 4).value = f"{table.cell(row, 4).value}4"
    with books.sheet(IMAGING) as table:
        for row in range(2, table.max_row + 1):
            table.cell(row, 2).value = int(f"{table.cell(row, 2).value}0")
    finding = single_error(books)
    assert finding.problem == "scan_without_time"
    assert "Excel keeps 15 digits of a number: export the serials as text" in finding.message


def test_many_cells_of_a_column_with_the_same_error_are_one_finding(books, header: Callable):
    with books.sheet(CLINICAL) as table:
        for row in range(2, 17):
            table.cell(row, header(table, "年龄")).value = "old"
    finding = single_error(books)
    assert (finding.count, finding.row, finding.column) == (15, 2, "E")
    assert "15 cells (E2, E3, E4, E5, E6, ...): age is 'old' (15)" in finding.message


def test_the_message_lists_ten_errors_and_counts_the_others(books):
    with books.sheet(IMAGING) as table:
        for column in range(4, 19):
            table.cell(2, column).value = "large"
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
    with books.sheet(IMAGING) as table:
        row = next(r for r in range(2, table.max_row) if table.cell(r, 48).value is not None)
        for column in range(25, 48):  # the second scan and the third one
            first, second = table.cell(row, column), table.cell(row, column + 23)
            first.value, second.value = second.value, first.value
    assert books.load().findings.counts()["follow_up_order"] == 1


def test_ids_pasted_one_row_off_are_an_error_because_the_first_scans_are_other_patients(books):
    with books.sheet(IMAGING) as table:
        ids = [cell.value for cell in table["A"][1:]]
        for cell, name in zip(table["A"][1:], [ids[-1], *ids[:-1]], strict=True):
            cell.value = name
    conflict = next(finding for finding in errors(books) if finding.problem == "first_serial_conflict")
    assert "of 45 patients are other patients' in Table 2; rule: the same scan in both tables" in conflict.message


def test_a_serial_that_is_in_another_row_of_the_table_of_times_is_an_error(books):
    with books.sheet(TIMES) as table:
        rows = [row for row in range(2, table.max_row) if table.cell(row, 6).value is not None][:2]
        cells = [table.cell(row, column) for row in rows for column in (5, 6)]
        values = [cell.value for cell in cells]
        for cell, value in zip(cells, [*values[2:], *values[:2]], strict=True):
            cell.value = value
    found = [finding for finding in errors(books) if finding.problem == "serial_in_other_row"]
    assert len(found) == 2
    assert "the scans of a patient are in one row" in found[0].message


def test_times_of_another_year_than_all_serials_are_one_warning(books):
    with books.sheet(TIMES) as table:
        for row in table.iter_rows(min_row=2):
            for cell in row:
                if isinstance(cell.value, dt.datetime):
                    cell.value -= dt.timedelta(days=365)
    (finding,) = warnings(books, "serial_date")
    assert finding.count == len(books.load().scans)
    assert "365 days earlier; rule: both have the date of the scan" in finding.message
