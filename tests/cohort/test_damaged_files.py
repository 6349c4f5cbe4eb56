"""Damaged, cut or unusual files: each is read in full, named, or refused with the reason."""

import datetime as dt
import os
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from zipfile import ZipFile

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohort.hospital import load

from hemexp.cohort.findings import CohortError, Finding, Findings
from hemexp.cohort.tables.files import find_files, read_sheets
from hemexp.cohort.tables.sheet import Sheet

ROWS = [["id", "sex", "volume"], ["P1", "M", 12.5], ["P2", "F", 30]]
SCANS = pd.DataFrame(
    [
        ("P1", "A1", "2031-05-04 13:00", "2031-05-04 11:00", 20.5),
        ("P1", "A2", "2031-05-05 01:00", "2031-05-04 11:00", 30.25),
        ("P2", "B1", "2031-06-01 08:00", "2031-06-01 07:30", 10.5),
    ],
    columns=["Patient ID", "Scan serial", "Scan time", "Onset time", "Hematoma volume (mL)"],
)


def read(*paths: Path) -> tuple[list[Sheet], list[Finding]]:
    findings = Findings()
    return read_sheets(list(paths), lambda header: header == "id", findings), findings.rows


def error(*paths: Path) -> str:
    with pytest.raises(CohortError) as caught:
        read(*paths)
    (finding,) = (each for each in caught.value.findings.rows if each.severity == "error")
    return finding.message


def write_book(path: Path, rows: list[list[object]], **cells: object) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for address, value in cells.items():
        book.active[address] = value
    book.save(path)
    return path


def write_parquet(path: Path, **columns: pa.Array) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def change_part(path: Path, name: str, change: Callable[[bytes], bytes | None]) -> Path:
    """Change the bytes of a file in an archive; None removes it."""
    with ZipFile(path) as book:
        parts = {part: book.read(part) for part in book.namelist()}
    with ZipFile(path, "w") as book:
        for part, content in parts.items():
            changed = change(content) if part == name else content
            if changed is not None:
                book.writestr(part, changed)
    return path


def write_ods(path: Path, rows: str, columns: str = "", manifest: str = "<manifest/>") -> Path:
    names = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    sheet = f'<table:table table:name="Scans">{columns}{rows}</table:table>'
    body = f"<office:body><office:spreadsheet>{sheet}</office:spreadsheet></office:body>"
    with ZipFile(path, "w") as book:
        book.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        book.writestr("META-INF/manifest.xml", manifest)
        book.writestr("content.xml", f"<office:document-content {names}>{body}</office:document-content>")
    return path


def ods_row(*texts: str, attributes: str = "") -> str:
    cells = "".join(
        f'<table:table-cell office:value-type="string"><text:p>{text}</text:p></table:table-cell>' for text in texts
    )
    return f"<table:table-row {attributes}>{cells}</table:table-row>"


# the extent of the cells


@pytest.mark.parametrize("address", ["XFD1048576", "C1048576"])
def test_a_single_cell_far_away_is_refused_before_all_cells_between_fill_the_memory(tmp_path: Path, address: str):
    rows = [[f"h{i}" for i in range(40)], *[[1] * 40] * 3]
    assert f"reach to {address}" in error(write_book(tmp_path / "a.xlsx", rows, **{address: "x"}))


def test_empty_cells_with_a_color_and_a_wrong_dimension_change_nothing(tmp_path: Path):
    path = write_book(tmp_path / "a.xlsx", ROWS)
    book = openpyxl.load_workbook(path)
    book.active["XFD1048576"].font = openpyxl.styles.Font(bold=True)
    book.save(path)
    change_part(path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"A1:XFD1048576", b"A1:A1"))
    (sheet,), findings = read(path)
    assert (sheet.num_records, findings) == (2, [])


def test_a_far_cell_of_an_opendocument_sheet_is_refused(tmp_path: Path):
    blank = '<table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>'
    far = '<table:table-cell table:number-columns-repeated="16000"/>'
    rows = ods_row("id", "sex") + ods_row("P1", "M") + blank + ods_row("x").replace("><", f">{far}<", 1)
    assert "reach to WQK1048003" in error(write_ods(tmp_path / "a.ods", rows))


# hidden rows and columns


def test_hidden_rows_and_columns_of_an_opendocument_sheet_are_named(tmp_path: Path):
    rows = ods_row("id", "sex") + ods_row("P1", "M") + ods_row("P2", "F", attributes='table:visibility="filter"')
    rows += ods_row("P3", "F", attributes='table:visibility="collapse"')
    columns = '<table:table-column/><table:table-column table:visibility="collapse"/>'
    (sheet,), findings = read(write_ods(tmp_path / "a.ods", rows, columns))
    assert sheet.num_records == 3
    assert [finding.problem for finding in findings] == ["hidden_rows", "hidden_columns"]
    assert "2 rows are hidden by a filter or by hand (3, 4)" in findings[0].message


def test_rows_of_no_height_count_as_hidden_also_where_rows_have_no_number(tmp_path: Path):
    path = write_book(tmp_path / "a.xlsx", ROWS)
    part = "xl/worksheets/sheet1.xml"
    change_part(path, part, lambda xml: xml.replace(b'<row r="3"', b'<row ht="0" customHeight="1"'))
    _, (finding,) = read(path)
    assert (finding.problem, finding.row) == ("hidden_rows", 3)


# damaged archives


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("xl/worksheets/sheet1.xml", lambda xml: xml[: len(xml) // 2]),
        ("xl/worksheets/sheet1.xml", lambda xml: None),
        ("xl/workbook.xml", lambda xml: xml[:100]),
        ("xl/_rels/workbook.xml.rels", lambda xml: None),
    ],
)
def test_a_workbook_with_a_damaged_or_lost_part_is_an_error(tmp_path: Path, part: str, change: Callable):
    assert "cannot be read" in error(change_part(write_book(tmp_path / "a.xlsx", ROWS), part, change))


def test_an_encrypted_opendocument_sheet_says_so(tmp_path: Path):
    path = write_ods(tmp_path / "a.ods", ods_row("id"), manifest="<manifest><encryption-data/></manifest>")
    assert "encrypted with a password" in error(path)


# text files that are cut off


@pytest.mark.parametrize(
    ("cells", "last", "is_cut"),
    [
        (["12.50", "9.25"], "30.75", False),  # two decimals, as everywhere
        (["12.50", "9.25"], "30.7", True),
        (["12.50", "9.25"], "30.", True),
        (["12.5", "9.25"], "30.7", True),  # nothing shows how many decimals there are
        (["1204", "3310"], "2201", False),
        (["12044", "3310"], "2201", True),
        (["0", "1", "1"], "1", False),  # a code
        (["10", "1", "11"], "1", True),  # perhaps the beginning of 10
        (["M", "F"], "F", False),
        (["2031-05-04 13:00", "2031-05-05 01:00"], "2031-06-01 08:0", True),
        (["2031-05-04 13:00", "2031-05-05 01:00"], "2031-06-01 08:00", False),
        (["1", "2"], "", True),
        (["12.5", "9.25"], '"30.7"', False),
    ],
)
def test_a_file_without_a_line_break_at_its_end_may_be_cut(tmp_path: Path, cells: list[str], last: str, is_cut: bool):
    path = tmp_path / "a.csv"
    lines = [f"P{i},{cell}" for i, cell in enumerate([*cells, last])]
    path.write_text("\n".join(["id,volume", *lines]))
    _, findings = read(path)
    assert [finding.problem for finding in findings] == ["file_end"] * is_cut
    path.write_text("\n".join(["id,volume", *lines, ""]))
    assert read(path)[1] == []


def test_a_file_that_ends_within_a_character_is_cut(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes("id,性别\nP1,男\nP2,女".encode()[:-1])
    assert "in the middle of a character" in error(tmp_path / "a.csv")


# Parquet


def test_ids_of_every_type_of_parquet_keep_all_digits(tmp_path: Path):
    number = 2023000000000000001
    path = write_parquet(
        tmp_path / "a.parquet",
        id=pa.array([Decimal(number), None], pa.decimal128(19, 0)),
        bytes=pa.array([b"P1", None]),
        uuid=pa.array([uuid.UUID(int=7).bytes, None], pa.uuid()),
        volume=pa.array([Decimal("12.50"), None], pa.decimal128(6, 2)),
        onset=pa.array([dt.timedelta(hours=2), None]),
    )
    (sheet,), _ = read(path)
    firsts = [column.iloc[0] for column in sheet.columns]
    assert firsts == [str(number), "P1", str(uuid.UUID(int=7)), 12.5, dt.timedelta(hours=2)]
    assert sheet.num_records == 1


def test_two_columns_of_one_name_in_parquet_keep_their_own_values(tmp_path: Path):
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), tmp_path / "a.parquet")
    (sheet,), _ = read(tmp_path / "a.parquet")
    assert [column.tolist() for column in sheet.columns] == [[1], [2]]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (pa.array([[1.0, 2.0]]), "holds list<"),
        (pa.array([{"a": 1}]), "holds struct<"),
        (pa.array([b"\xff"]), "bytes that are not text"),
    ],
)
def test_a_column_of_parquet_that_is_not_one_value_in_a_cell_is_refused_by_name(tmp_path: Path, cells, message: str):
    found = error(write_parquet(tmp_path / "a.parquet", id=pa.array(["P1"]), volume=cells))
    assert "column 'volume' (B)" in found
    assert message in found


def test_columns_with_different_time_zones_become_utc_with_a_warning(tmp_path: Path):
    noon = dt.datetime(2031, 5, 4, 12, tzinfo=dt.UTC)
    path = write_parquet(
        tmp_path / "a.parquet",
        scan=pa.array([noon], pa.timestamp("us", "UTC")),
        onset=pa.array([noon], pa.timestamp("us", "Asia/Shanghai")),
    )
    (sheet,), findings = read(path)
    assert [column[0] for column in sheet.columns] == [pd.Timestamp("2031-05-04 12:00")] * 2
    assert all("UTC is used" in finding.message for finding in findings)


# names, markup and control characters


def test_control_characters_are_not_part_of_a_header_and_visible_in_a_message(tmp_path: Path):
    (tmp_path / "a\x1b[31m.csv").write_text("id,\x1b[31mvolume\u202e\nP1,1,2\n")
    assert "volume" in load_header(tmp_path / "b.csv", "id,\x1b\u202evolume\nP1,1\n")
    with pytest.raises(CohortError, match=r"a\\x1b\[31m\.csv") as caught:
        read(tmp_path / "a\x1b[31m.csv")
    assert "\x1b" not in str(caught.value)


def test_a_file_name_that_is_not_text_is_an_error_that_shows_the_name(tmp_path: Path):
    path = tmp_path / os.fsdecode(b"t\xe4ble.csv")
    path.write_text("id,volume\nP1,1\n")
    assert "rename the file" in error(path)


def load_header(path: Path, text: str) -> list[str]:
    path.write_text(text)
    (sheet,), _ = read(path)
    return sheet.header


@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
def test_ids_like_formulas_stay_as_they_are_with_a_warning(tmp_path: Path, sign: str):
    table = SCANS.assign(**{"Patient ID": [f"{sign}5", f"{sign}5", f"{sign}6"]})
    (tmp_path / "export").mkdir()
    table.to_csv(tmp_path / "export" / "scans_of_ct.csv", index=False)
    cohort = load(tmp_path / "export")
    assert cohort.patients["patient_id"].tolist() == [f"{sign}5", f"{sign}6"]
    assert "id_like_formula" in [finding.problem for finding in cohort.findings.rows]


# files and sheets that are not read


def test_tables_that_are_not_read_are_named(tmp_path: Path):
    for name in ("表2-a.XLSX", "old 表2-a.xlsx", "scores.csv", "~$表2-a.XLSX", "表2-a.xlsx.bak", ".hidden.csv", "a.md"):
        (tmp_path / name).touch()
    (tmp_path / "2022").mkdir()
    (tmp_path / "2022" / "表2-b.xlsx").touch()
    findings = Findings()
    assert [path.name for path in find_files(tmp_path, "workbook", findings)] == ["表2-a.XLSX"]
    (finding,) = findings.rows
    assert finding.message.startswith("not read: old 表2-a.xlsx, scores.csv, 2022/表2-b.xlsx; rule")


def test_a_table_without_known_columns_is_named(tmp_path: Path):
    (tmp_path / "export").mkdir()
    SCANS.to_csv(tmp_path / "export" / "ct.csv", index=False)
    (tmp_path / "export" / "phones.csv").write_text("room,phone\n1,2\n")
    found = [f for f in load(tmp_path / "export").findings.rows if f.problem == "unknown_sheet"]
    assert [finding.file for finding in found] == ["phones.csv"]


def test_a_column_that_nothing_uses_is_named(tmp_path: Path):
    (tmp_path / "export").mkdir()
    SCANS.assign(Agee=[1, 2, 3]).to_csv(tmp_path / "export" / "ct.csv", index=False)
    (finding,) = load(tmp_path / "export").findings.rows
    assert (finding.problem, finding.column) == ("unknown_column", "F")
    assert "'Agee'" in finding.message


# two candidates for one table


def test_two_tables_that_disagree_are_named_and_a_table_that_adds_nothing_is_an_error(tmp_path: Path):
    (tmp_path / "export").mkdir()
    SCANS.assign(Age=[70, 70, 60]).to_csv(tmp_path / "export" / "ct.csv", index=False)
    people = pd.DataFrame({"Patient ID": ["P1", "P2"], "Age": [70, 61], "GCS": [15, 9]})
    people.to_csv(tmp_path / "export" / "people.csv", index=False)
    (finding,) = (f for f in load(tmp_path / "export").findings.rows if f.problem == "tables_disagree")
    assert (finding.severity, finding.file, finding.row, finding.column) == ("warning", "people.csv", 3, "B")
    assert "age is also in ct.csv, and differs in 1 of 2 scans; the values of ct.csv are used" in finding.message
    people[["Patient ID", "Age"]].to_csv(tmp_path / "export" / "people.csv", index=False)
    with pytest.raises(CohortError, match="one table for the same columns"):
        load(tmp_path / "export")


def test_an_older_copy_of_the_scans_with_other_volumes_is_an_error(tmp_path: Path):
    (tmp_path / "export").mkdir()
    scans = SCANS.drop(columns="Scan serial")
    scans.to_csv(tmp_path / "export" / "ct.csv", index=False)
    scans["Hematoma volume (mL)"] *= 0.9
    scans.to_csv(tmp_path / "export" / "a_old.csv", index=False)
    with pytest.raises(CohortError, match=r"the same scans are in a_old\.csv and ct\.csv"):
        load(tmp_path / "export")


@pytest.mark.parametrize("prefix", ["表1", "附表1", "表3"])
def test_an_older_copy_of_a_published_sheet_is_an_error_that_names_both(books, prefix: str):
    with books.edit(prefix) as book:
        sheet = book.worksheets[0]
        copy = book.copy_worksheet(sheet)
        copy.title = f"old {sheet.title}"
        book.move_sheet(copy, -len(book.sheetnames))
        copy.sheet_state = "veryHidden"
        book.active = 1
    with pytest.raises(CohortError) as caught:
        books.load()
    (finding,) = (each for each in caught.value.findings.rows if each.severity == "error")
    assert finding.problem == "doubled_table"
    assert "hold the same table" in finding.message
    assert {f"sheet {copy.title}" in finding.message, f"sheet {sheet.title} " in finding.message} == {True}
