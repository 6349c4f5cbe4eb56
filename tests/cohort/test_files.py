"""A hospital's files as sheets: whatever the program that wrote them, and with a word on what a user does not see."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import openpyxl
import pandas as pd
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from hemexp.cohort.columns import SIMULATED_COMMENT
from hemexp.cohort.findings import CohortError, Finding, Findings
from hemexp.cohort.tables.files import find_files, read_sheets
from hemexp.cohort.tables.sheet import Sheet

ROWS = [["id", "sex", "volume"], ["P1", "M", 12.5], ["P2", "F", 30]]


def is_id(header: str) -> bool:
    return header == "id"


def read(*paths: Path) -> tuple[list[Sheet], list[Finding]]:
    findings = Findings()
    return read_sheets(list(paths), is_id, findings), findings.rows


def read_one(path: Path) -> Sheet:
    (sheet,), findings = read(path)
    assert not findings
    return sheet


def errors(*paths: Path) -> list[Finding]:
    with pytest.raises(CohortError) as caught:
        read(*paths)
    return [finding for finding in caught.value.findings.rows if finding.severity == "error"]


def values(sheet: Sheet) -> dict[str, list[object]]:
    columns = {}
    for header, column in zip(sheet.header, sheet.columns, strict=True):
        columns[header] = [None if pd.isna(value) else value for value in column.tolist()]
    return columns


@pytest.fixture
def write_text(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, encoding: str = "utf-8", name: str = "scans.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.fixture
def write_book(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes rows into the first sheet of a workbook and applies a change to it."""

    def write(rows: list[list[object]], change: Callable[[Worksheet], object] = lambda sheet: None) -> Path:
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        change(book.active)
        book.save(tmp_path / "book.xlsx")
        return tmp_path / "book.xlsx"

    return write


# finding files


def test_every_table_of_a_folder_is_found_but_no_lock_file_and_no_hidden_file(tmp_path: Path):
    for name in ("b.csv", "a.XLSX", "c.parquet", "d.ods", "~$a.XLSX", ".~lock.b.csv#", ".e.csv", "mapping.yaml"):
        (tmp_path / name).touch()
    found = find_files(tmp_path, "mapped", Findings())
    assert [path.name for path in found] == ["a.XLSX", "b.csv", "c.parquet", "d.ods"]


def test_one_file_may_be_given_instead_of_a_folder(tmp_path: Path):
    (tmp_path / "b.csv").touch()
    assert find_files(tmp_path / "b.csv", "mapped", Findings()) == [tmp_path / "b.csv"]


def test_published_workbooks_are_found_by_the_beginning_of_their_names(tmp_path: Path):
    for name in ("表1-a.xlsx", "附表1-b.xls", "表2.csv", "other.xlsx"):
        (tmp_path / name).touch()
    found = find_files(tmp_path, "workbook", Findings())
    assert [path.name for path in found] == ["表1-a.xlsx", "附表1-b.xls"]


def test_two_workbooks_of_one_name_are_an_error_that_names_both(tmp_path: Path):
    for name in ("表1-a.xlsx", "表1-a - 副本.xlsx"):
        (tmp_path / name).touch()
    findings = Findings()
    find_files(tmp_path, "workbook", findings)
    (finding,) = findings.rows
    assert finding.problem == "file_missing"
    assert "表1-a - 副本.xlsx, 表1-a.xlsx" in finding.message


@pytest.mark.parametrize("kind", ["workbook", "tidy", "mapped"])
def test_a_folder_without_tables_is_an_error(tmp_path: Path, kind: str):
    (tmp_path / "notes.pdf").touch()
    with pytest.raises(CohortError, match="there is no table in"):
        find_files(tmp_path, kind, Findings())


def test_scans_csv_beside_scans_parquet_is_an_error(tmp_path: Path):
    findings = Findings()
    for name in ("scans.csv", "scans.parquet", "labels.csv"):
        (tmp_path / name).touch()
    find_files(tmp_path, "tidy", findings)
    unread, doubled = findings.rows  # an empty labels.csv is not one that prepare.py wrote
    assert unread.problem == "unread_file"
    assert doubled.message.startswith("found: scans.csv, scans.parquet; rule")


# text files


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_chinese_text_file_is_read_in_every_encoding(write_text, encoding: str, separator: str):
    text = "id,性别,血肿体积\nP1,男,12.5\nP2,女,30\n".replace(",", separator)
    expected = {"id": ["P1", "P2"], "性别": ["男", "女"], "血肿体积": [12.5, 30.0]}
    assert values(read_one(write_text(text, encoding))) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_a_western_text_file_with_decimal_commas_is_read_in_every_encoding(write_text, encoding: str):
    text = "id;Geschlecht;Volumen;Größe (µm)\r\nP1;männlich;12,5;1\r\nP2;weiblich;30;\r\n"
    assert values(read_one(write_text(text, encoding))) == {
        "id": ["P1", "P2"],
        "Geschlecht": ["männlich", "weiblich"],
        "Volumen": [12.5, 30.0],
        "Größe (µm)": [1.0, None],
    }


def test_a_comma_that_may_separate_thousands_is_not_read_as_a_decimal_comma(write_text):
    assert values(read_one(write_text("id;volume\nP1;1,234\nP2;5,678\n")))["volume"] == ["1,234", "5,678"]


def test_a_point_in_a_file_with_decimal_commas_is_not_read_as_a_decimal_point(write_text):
    sheet = read_one(write_text("id;volume;hours\nP1;23.456;2,5\nP2;1.234;3,5\n"))
    assert values(sheet) == {"id": ["P1", "P2"], "volume": ["23.456", "1.234"], "hours": [2.5, 3.5]}


def test_excels_line_with_the_separator_and_a_title_above_the_headers_are_skipped(write_text):
    sheet = read_one(write_text("sep=;\nHematoma registry 2031\n\nid;sex;volume\nP1;M;12\n\nP2;F;30\n"))
    assert sheet.header == ["id", "sex", "volume"]
    assert sheet.header_row == 3
    assert sheet.rows.tolist() == [4, 6]
    assert str(sheet.cell(1, 2)) == "scans.csv, cell C7"


def test_quoted_cells_hold_separators_and_line_breaks(write_text):
    sheet = read_one(write_text('id,"scan\ndate",note\nP1,1,"a, b"\nP2,2,"two\nlines"\nP3,3,x\n'))
    assert sheet.header == ["id", "scan date", "note"]
    assert values(sheet)["note"] == ["a, b", "two\nlines", "x"]
    assert sheet.rows.tolist() == [1, 2, 3]


def test_ids_with_leading_zeros_and_long_numbers_stay_text(write_text):
    text = "id,code,serial,count\n1,007,203101013038110,5\n2,010,203101013038111,6\n"
    assert values(read_one(write_text(text))) == {
        "id": ["1", "2"],
        "code": ["007", "010"],
        "serial": ["203101013038110", "203101013038111"],
        "count": [5, 6],
    }


def test_numbers_are_read_exactly_and_blank_cells_are_missing(write_text):
    sheet = read_one(write_text("id,a,b,c,d\nP1,0.1,1, ,\nP2,1e-17,,3,\nP3,-.5,2,4,\n"))
    assert values(sheet) == {
        "id": ["P1", "P2", "P3"],
        "a": [0.1, 1e-17, -0.5],
        "b": [1.0, None, 2.0],
        "c": [None, 3.0, 4.0],
        "d": [None, None, None],
    }
    assert [column.dtype for column in sheet.columns[1:]] == ["float64"] * 4


def test_signs_and_values_that_are_not_finite_stay_text(write_text):
    sheet = read_one(write_text("id,a,b\nP1,+5,1.5\nP2,-1,inf\n"))
    assert values(sheet) == {"id": ["P1", "P2"], "a": ["+5", "-1"], "b": ["1.5", "inf"]}


def test_a_text_far_below_in_a_column_of_numbers_keeps_the_texts_of_the_column(write_text):
    numbers = "".join(f"P{i},{i}.5\n" for i in range(50_000))
    sheet = read_one(write_text(f"id,volume\n{numbers}Q,NA\n"))
    assert sheet.columns[1].iloc[[0, -1]].tolist() == ["0.5", "NA"]


def test_times_become_times_but_dates_without_a_time_stay_text(write_text):
    text = (
        "id,time,date,other\nP1,2031-05-04 13:20:05.25,2031-05-04,2031-02-30 10:00\nP2,2031-05-04T13:20,2031-05-05,\n"
    )
    sheet = read_one(write_text(text))
    assert sheet.columns[1].tolist() == [pd.Timestamp("2031-05-04 13:20:05.25"), pd.Timestamp("2031-05-04 13:20")]
    assert sheet.columns[1].dtype == "datetime64[us]"
    assert values(sheet)["date"] == ["2031-05-04", "2031-05-05"]
    assert values(sheet)["other"] == ["2031-02-30 10:00", None]


def test_a_row_with_too_many_cells_is_an_error_that_names_it(write_text):
    (finding,) = errors(write_text('id,note\nP1,"a\nb"\nP2,12,5\nP3,7\nP4,1,5\n'))
    assert (finding.problem, finding.row, finding.count) == ("file_unreadable", 3, 2)
    assert finding.message.startswith("row 3 has 3 cells and the header 2 (2 such rows); rule: as many in every row")


def test_a_quotation_mark_that_is_not_closed_is_an_error(write_text):
    (finding,) = errors(write_text('id,note\nP1,x\nP2,"5 ml\nP3,y\n'))
    assert (finding.problem, finding.row) == ("file_unreadable", 3)


def test_headers_that_lack_the_first_column_are_an_error(write_text):
    (finding,) = errors(write_text("sex volume\n1 M 12\n2 F 30\n".replace(" ", "\t")))
    assert "row 2 has 3 cells and the header 2" in finding.message


def test_separators_at_the_end_of_every_row_are_ignored(write_text):
    assert values(read_one(write_text("id,sex\nP1,M,\nP2,F,\n"))) == {
        "id": ["P1", "P2"],
        "sex": ["M", "F"],
    }


def test_the_errors_of_formulas_in_a_text_file_are_missing_with_one_warning(write_text):
    (sheet,), (finding,) = read(write_text("id,volume\nP1,12.5\nP2,#DIV/0!\nP3,#REF!\n"))
    assert values(sheet)["volume"] == [12.5, None, None]
    assert (finding.problem, finding.row, finding.column, finding.count) == ("formula_error", 3, "B", 2)


def test_a_text_file_without_a_table_is_named_and_not_read(write_text):
    note, table = write_text("Notes on this folder\n", name="README.txt"), write_text("id,a\nP1,2\n")
    (sheet,), (finding,) = read(note, table)
    assert sheet.file == "scans.csv"
    assert (finding.problem, finding.file) == ("unread_sheet", "README.txt")


def test_a_text_file_under_the_name_of_a_workbook_is_read(write_text):
    sheet = read_one(write_text("id\t性别\nP1\t男\n", "gb18030", "export.xls"))
    assert values(sheet) == {"id": ["P1"], "性别": ["男"]}


# Parquet


def test_parquet_keeps_its_types(tmp_path: Path):
    frame = pd.DataFrame({"id": [1, 2], "code": ["007", "8"], "volume": [12.5, None], "yes": [True, None]})
    frame["time"] = pd.to_datetime(["2031-05-04 13:20", None])
    frame.to_parquet(tmp_path / "scans.parquet")
    sheet = read_one(tmp_path / "scans.parquet")
    time = pd.Timestamp("2031-05-04 13:20")
    assert values(sheet) == {
        "id": ["1", "2"], "code": ["007", "8"], "volume": [12.5, None], "yes": [True, None], "time": [time, None],
    }  # fmt: skip
    assert sheet.columns[4].dtype == "datetime64[us]"


def test_a_time_zone_is_dropped_with_a_warning_and_the_clock_time_kept(tmp_path: Path):
    times = pd.Series(pd.to_datetime(["2031-05-04 13:20"])).dt.tz_localize("Asia/Shanghai")
    pd.DataFrame({"id": ["P1"], "time": times}).to_parquet(tmp_path / "scans.parquet")
    (sheet,), (finding,) = read(tmp_path / "scans.parquet")
    assert sheet.columns[1].tolist() == [pd.Timestamp("2031-05-04 13:20")]
    assert (finding.problem, finding.value, finding.column) == ("time_zone", "Asia/Shanghai", "B")


# workbooks


def test_the_cells_of_a_workbook_keep_their_types(write_book):
    time, clock, span = dt.datetime(2031, 5, 4, 13, 20), dt.time(13, 20), dt.timedelta(hours=30)
    rows = [
        ["id", "number", "whole", "time", "mixed"],
        [7, 1.5, 1, time, "a"],
        [8, None, 2, None, 3],
        [9, 2, 3, dt.date(2031, 5, 5), True],
        [10, 3, 4, None, clock],
        [11, 4, 5, None, span],
        [12, 5, 6, None, " "],
    ]
    sheet = read_one(write_book(rows))
    assert [str(column.dtype) for column in sheet.columns] == ["int64", "float64", "int64", "datetime64[us]", "object"]
    assert sheet.columns[3].dropna().tolist() == [pd.Timestamp(time), pd.Timestamp("2031-05-05")]
    assert sheet.columns[4].tolist() == ["a", 3, True, clock, span, None]
    assert type(sheet.columns[4][1]) is int


def test_the_dates_of_a_workbook_that_counts_from_1904_are_right(write_book):
    time = dt.datetime(2031, 5, 4, 13, 20)

    def count_from_1904(sheet: Worksheet) -> None:
        sheet.parent.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
        sheet["B2"] = time

    assert read_one(write_book([["id", "time"], ["P1"]], count_from_1904)).columns[1].tolist() == [pd.Timestamp(time)]


def test_blank_rows_and_a_blank_column_around_the_table_are_skipped(write_book):
    rows = [[], [], *([None, *row] for row in ROWS[:2]), [], [None, *ROWS[2]]]
    sheet = read_one(write_book(rows))
    assert sheet.header == ["", "id", "sex", "volume"]
    assert (sheet.header_row, sheet.rows.tolist()) == (2, [3, 5])
    assert str(sheet.cell(1, 3)) == "book.xlsx, sheet Sheet, cell D6"


@pytest.mark.parametrize("merge", ["A1:C1", None])
def test_a_title_above_the_headers_is_skipped(write_book, merge: str | None):
    sheet = read_one(write_book([["Hospital A"], *ROWS], lambda sheet: merge and sheet.merge_cells(merge)))
    assert (sheet.header, sheet.header_row) == (ROWS[0], 1)


def test_a_table_of_texts_whose_first_header_is_blank_has_its_headers_in_the_first_row(write_book):
    sheet = read_one(write_book([[None, "sex", "smoking"], ["P1", "M", "yes"], ["P2", "F", "no"]]))
    assert values(sheet) == {"": ["P1", "P2"], "sex": ["M", "F"], "smoking": ["yes", "no"]}


def test_headers_lose_line_breaks_and_invisible_characters_and_numbers_become_text(write_book):
    sheet = read_one(
        write_book([["id", " scan\n date\u200b ", "volume  (mL)", 24, dt.datetime(2031, 5, 4)], ["P1", 1, 2, 3, 4]])
    )
    assert sheet.header == ["id", "scan date", "volume (mL)", "24", "2031-05-04"]


@pytest.mark.parametrize(
    ("rows", "merged"),
    [
        ([["id", "Demographics", None, "Baseline", None, "Follow-up", None],
          [None, "age", "sex", "volume", "time", "volume", "time"]], ["A1:A2", "B1:C1", "D1:E1", "F1:G1"]),
        ([[None, "Demographics", None, "Baseline", None, "Follow-up", None],
          ["id", "age", "sex", "volume", "time", "volume", "time"]], ["B1:C1", "D1:E1", "F1:G1"]),
    ],
)  # fmt: skip
def test_headers_of_two_rows_are_joined_where_the_upper_one_says_which_scan(write_book, rows, merged: list[str]):
    def merge(sheet: Worksheet) -> None:
        for cells in merged:
            sheet.merge_cells(cells)

    sheet = read_one(write_book([*rows, ["P1", 70, "M", 12, 2.5, 20, 24]], merge))
    volumes = ["Baseline volume", "Baseline time", "Follow-up volume", "Follow-up time"]
    assert sheet.header == ["id", "age", "sex", *volumes]
    assert sheet.rows.tolist() == [2]


def test_a_first_record_of_texts_below_a_merged_header_is_not_taken_for_headers(write_book):
    rows = [["id", "sex", "history", None], ["P1", "M", "stroke", "diabetes"], ["P2", "F", "none", "none"]]
    (sheet,), _ = read(write_book(rows, lambda sheet: sheet.merge_cells("C1:D1")))
    assert sheet.num_records == 2


def test_notes_above_the_table_are_not_joined_with_repeated_headers(write_text):
    sheet = read_one(write_text("Exported,2031-05-04,,\nid,volume,time,volume\nP1,12,2.5,20\n"))
    assert sheet.header == ["id", "volume", "time", "volume"]


def test_headers_of_two_rows_are_joined_in_a_text_file(write_text):
    sheet = read_one(write_text(",,Baseline,,Follow-up,\nid,age,volume,time,volume,time\nP1,70,12,2.5,20,24\n"))
    assert sheet.header[2:] == ["Baseline volume", "Baseline time", "Follow-up volume", "Follow-up time"]


def test_sheets_without_a_table_are_named_in_one_warning_and_empty_ones_are_not(write_book):
    def add_sheets(sheet: Worksheet) -> None:
        book = sheet.parent
        book.create_sheet("说明", 0)["A1"] = "本表说明"
        book.create_sheet("cache", 0)["A1"] = "x"
        book["cache"].sheet_state = "hidden"
        book.create_sheet("Sheet3")

    (sheet,), (finding,) = read(write_book(ROWS, add_sheets))
    assert sheet.name == "Sheet"
    assert (finding.problem, finding.value) == ("unread_sheet", "'cache', '说明'")


def test_a_hidden_sheet_with_a_table_is_read_with_a_warning(write_book):
    def add_copy(sheet: Worksheet) -> None:
        sheet.parent.copy_worksheet(sheet).sheet_state = "hidden"

    (first, second), (finding,) = read(write_book(ROWS, add_copy))
    assert values(first) == values(second)
    assert (finding.problem, finding.sheet) == ("hidden_sheet", "Sheet Copy")


def test_hidden_rows_and_columns_are_read_with_one_warning_each(write_book):
    def hide(sheet: Worksheet) -> None:
        for row in (2, 3, 7):
            sheet.row_dimensions[row].hidden = True
        sheet.column_dimensions["B"].hidden = True

    (sheet,), findings = read(write_book(ROWS, hide))
    assert sheet.num_records == 2
    assert [(finding.problem, finding.count) for finding in findings] == [("hidden_rows", 2), ("hidden_columns", 1)]
    assert "(2, 3)" in findings[0].message
    assert "B 'sex'" in findings[1].message


def test_a_row_of_units_belongs_to_the_headers(write_book):
    (sheet,), _ = read(write_book([["id", "age", "volume"], [None, "years", "mL"], ["P1", 67, 12.5], ["P2", 71, 30]]))
    assert sheet.header == ["id", "age (years)", "volume (mL)"]
    assert values(sheet)["volume (mL)"] == [12.5, 30]


def test_merged_cells_in_the_table_are_named(write_book):
    (sheet,), (finding,) = read(write_book(ROWS, lambda sheet: sheet.merge_cells("B2:B3")))
    assert values(sheet)["sex"] == ["M", None]
    assert (finding.problem, finding.row, finding.column) == ("merged_cells", 2, "B")
    assert "B2:B3" in finding.message


def test_formulas_without_values_are_one_error_for_the_column(write_book):
    path = write_book([["id", "sex", "volume"], ["P1", "M", "=4*3"], ["P2", "F", "=C2*2"]])
    (sheet,), (finding,) = read(path)
    assert sheet.uncalculated == {2: 2}
    assert (finding.severity, finding.problem, finding.count) == ("error", "formula_not_calculated", 2)
    assert "open the file in Excel and save it" in finding.message


def test_a_formula_whose_value_is_an_empty_text_is_calculated(write_book, tmp_path: Path):
    path = write_book([["id", "note"], ["P1", '=""'], ["P2", "x"]])
    part = "xl/worksheets/sheet1.xml"
    with ZipFile(path) as book, ZipFile(tmp_path / "new.xlsx", "w") as copy:
        for name in book.namelist():
            content = book.read(name)
            if name == part:
                content = content.replace(b'<c r="B2"><f>""</f><v /></c>', b'<c r="B2" t="str"><f>""</f><v></v></c>')
                assert b't="str"' in content
            copy.writestr(name, content)
    assert values(read_one(tmp_path / "new.xlsx"))["note"] == [None, "x"]


def test_the_errors_of_formulas_are_missing_with_one_warning_for_the_column(write_book):
    def fail(sheet: Worksheet) -> None:
        for cell, error in {"C2": "#DIV/0!", "C3": "#REF!"}.items():
            sheet[cell], sheet[cell].data_type = error, "e"

    (sheet,), (finding,) = read(write_book([*ROWS, ["P3", "M", 5]], fail))
    assert values(sheet)["volume"] == [None, None, 5.0]
    assert (finding.problem, finding.count) == ("formula_error", 2)
    assert "'volume': 2 cells (C2, C3)" in finding.message


def test_cells_beside_the_table_are_not_read_with_one_warning(write_book):
    def add_notes(sheet: Worksheet) -> None:
        sheet["E2"] = "M = male"
        sheet["E9"] = "F = female"

    (sheet,), (finding,) = read(write_book(ROWS, add_notes))
    assert sheet.num_records == 2
    assert list(values(sheet)) == ["id", "sex", "volume"]
    assert (finding.problem, finding.count) == ("stray_cells", 2)
    assert "2 cells (E2, E9)" in finding.message


def test_an_opendocument_sheet_is_read(tmp_path: Path):
    def cell(value: object) -> str:
        kind = f'"float" office:value="{value}"' if isinstance(value, int | float) else '"string"'
        return f"<table:table-cell office:value-type={kind}><text:p>{value}</text:p></table:table-cell>"

    rows = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in ROWS)
    names = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    sheet = f'<table:table table:name="Scans">{rows}</table:table>'
    body = f"<office:body><office:spreadsheet>{sheet}</office:spreadsheet></office:body>"
    with ZipFile(tmp_path / "book.ods", "w") as book:
        book.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        book.writestr("META-INF/manifest.xml", "<manifest/>")
        book.writestr("content.xml", f"<office:document-content {names}>{body}</office:document-content>")
    assert values(read_one(tmp_path / "book.ods")) == {"id": ["P1", "P2"], "sex": ["M", "F"], "volume": [12.5, 30.0]}


# simulated patients


def test_simulated_patients_are_known_by_the_workbooks_comment_or_by_the_column(write_book, write_text):
    def mark(sheet: Worksheet) -> None:
        sheet.parent.properties.description = SIMULATED_COMMENT

    assert read_one(write_book(ROWS, mark)).simulated
    assert read_one(write_text("id,simulated\nP1,1\n")).simulated
    assert not read_one(write_text("id,sex\nP1,M\n")).simulated


# files that cannot be read


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"", "is empty"),
        ("a.csv", b"\xef\xbb\xbf\n", "is empty"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(4096), "encrypted with a password"),
        ("a.xls", b"<html><table><tr><td>id</td></tr></table></html>", "a web page or XML"),
        ("a.xlsx", b"not a workbook", "is not .xlsx"),
        ("a.parquet", b"id,sex\nP1,M\n", "is not .parquet"),
        ("a.parquet", b"PAR1 and nothing else", "cannot be read"),
        ("a.xlsx", b"PK\x03\x04 and nothing else", "cut off"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_that_says_why(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    (finding,) = errors(tmp_path / name)
    assert (finding.problem, finding.file) == ("file_unreadable", name)
    assert message in finding.message


def test_all_files_that_cannot_be_read_are_reported_together(tmp_path: Path, write_book):
    book, cut, other = write_book(ROWS), tmp_path / "cut.xlsx", tmp_path / "other.zip.xlsx"
    cut.write_bytes(book.read_bytes()[:3000])
    with ZipFile(other, "w") as archive:
        archive.writestr("a.txt", "a")
    found = errors(book, cut, other)
    assert [finding.file for finding in found] == ["cut.xlsx", "other.zip.xlsx"]
    assert "cut off" in found[0].message


def test_files_without_any_table_are_an_error(write_text):
    (finding,) = errors(write_text("Only a note\n"))
    assert finding.problem == "empty_table"


def test_the_published_layout_is_read_without_findings(workbooks: Path):
    findings = Findings()
    sheets = read_sheets(find_files(workbooks, "workbook", findings), lambda header: False, findings)
    assert [sheet.name for sheet in sheets] == ["患者信息", "Data", "ED", "Hemo", "Sheet1"]
    assert all(sheet.simulated for sheet in sheets)
    assert not findings.rows
