"""Single kinds of damage that hospitals' files have and that no rule of `damage.damages` makes."""

import csv
import datetime as dt
import gzip
import io
import re
from collections.abc import Callable
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from damage.cohorts import get_cohort
from damage.folder import Book, Change, Folder, Grid, write_book
from damage.redundancy import ALONE, ONE_VALUE, WHOLE
from openpyxl.comments import Comment
from openpyxl.styles import Font, PatternFill
from openpyxl.workbook.defined_name import DefinedName

Make = Callable[[Folder], list[Change]]
HANDMADE: dict[str, tuple[str, Make]] = {}


def kind(cohort: str, name: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        HANDMADE[name] = (cohort, make)
        return make

    return add


def make_handmade(name: str) -> tuple[str, Folder, list[Change]]:
    """Return the cohort's name, the damaged cohort and the changes."""
    cohort, make = HANDMADE[name]
    folder = get_cohort(cohort).copy()
    return cohort, folder, make(folder)


def find(folder: Folder, prefix: str, sheet: str | None = None) -> tuple[str, str, Grid]:
    """Return the file that begins with a text, and one of its sheets."""
    file = next(name for name in folder.books if name.startswith(prefix))
    name = sheet if sheet is not None else next(iter(folder.books[file].sheets))
    return file, name, folder.books[file].sheets[name]


def at(grid: Grid, header: str) -> int:
    return grid.header.index(header)


def edit_book(folder: Folder, file: str, edit: Callable[[openpyxl.Workbook], object]) -> list[Change]:
    """Edit a workbook after it was written; the cells stay as they are."""

    def change(content: bytes) -> bytes:
        book = openpyxl.load_workbook(io.BytesIO(content))
        edit(book)
        buffer = io.BytesIO()
        book.save(buffer)
        return buffer.getvalue()

    folder.byte_changes.append((file, change))
    return [Change(file)]


def edit_part(folder: Folder, file: str, part: str, edit: Callable[[str], str]) -> list[Change]:
    """Edit one part of the archive that a workbook is."""

    def change(content: bytes) -> bytes:
        buffer = io.BytesIO()
        with ZipFile(io.BytesIO(content)) as old, ZipFile(buffer, "w", ZIP_DEFLATED) as new:
            for name in old.namelist():
                text = old.read(name).decode()
                new.writestr(name, edit(text) if re.fullmatch(part, name) else text)
        return buffer.getvalue()

    folder.byte_changes.append((file, change))
    return [Change(file)]


def edit_text(folder: Folder, edit: Callable[[str], str | bytes]) -> list[Change]:
    """Edit the only text file of a cohort."""
    (file,) = folder.books

    def change(content: bytes) -> bytes:
        text = edit(content.decode())
        return text if isinstance(text, bytes) else text.encode()

    folder.byte_changes.append((file, change))
    return [Change(file)]


def map_cells(
    folder: Folder,
    place: tuple[str, str, Grid],
    header: str,
    new: Callable[[object], object],
    rows: slice | None = None,
) -> list[Change]:
    """Change the cells of a column, or some of them."""
    file, sheet, grid = place
    grid.pad()
    j, records = at(grid, header), list(grid.records)[rows or slice(None)]
    change = folder.change(file, sheet, records if rows else [], [j])
    for i in records:
        if grid.rows[i][j] is not None:
            grid.rows[i][j] = new(grid.rows[i][j])
    return [change]


def replace_rows(folder: Folder, keep: Callable[[int, list[object]], bool], reason: str = WHOLE) -> list[Change]:
    """Keep some of the rows of every table."""
    changes = []
    for file, sheet, grid in folder.grids():
        changes.append(folder.change(file, sheet))
        changes[-1].unknowable = reason
        grid.rows[1:] = [row for i, row in enumerate(grid.rows[1:]) if keep(i, row)]
    return changes


INDEX, CLINICAL, VOLUMES, SHAPES = "附表1", "表1", "表2", "表3"
LONG, LONG_CSV, LONG_TSV = "long_table xlsx", "long_table csv", "long_table tsv"

# the parts of a workbook that a screen does not show


@kind("published", "the workbook counts days from 1904")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    edit_part(folder, file, r"xl/workbook\.xml", lambda text: text.replace("<workbookPr", '<workbookPr date1904="1"'))
    return [folder.change(file, sheet, columns=[j for j, text in enumerate(grid.header) if "时间点" in str(text)])]


@kind("published", "formulas that hold their values")
def _(folder: Folder) -> list[Change]:
    file, *_ = find(folder, VOLUMES)
    pattern = r'<c r="([A-Z]+\d+)"( s="\d+")?><v>([\d.]+)</v></c>'
    formula = r'<c r="\1"\2><f>1*\3</f><v>\3</v></c>'
    return edit_part(folder, file, r"xl/worksheets/.*", lambda text: re.sub(pattern, formula, text))


@kind("published", "formulas with an old value of another cell")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    j = at(grid, "HM_volume")
    change = folder.change(file, sheet, [3], [j])
    old, grid.rows[3][j] = grid.rows[3][j], grid.rows[4][j] * 20
    change.unknowable = "" if grid.rows[3][j] > 8 * old else ONE_VALUE
    return [change]


@kind("published", "a protected sheet")
def _(folder: Folder) -> list[Change]:
    return edit_book(folder, find(folder, VOLUMES)[0], lambda book: book.active.protection.enable())


@kind("published", "notes at cells")
def _(folder: Folder) -> list[Change]:
    def edit(book: openpyxl.Workbook) -> None:
        for row in (1, 2, 3):
            book.active.cell(row, 1).comment = Comment("excluded?", "reader")

    return edit_book(folder, find(folder, CLINICAL)[0], edit)


@kind("published", "rows that are struck through and gray")
def _(folder: Folder) -> list[Change]:
    def edit(book: openpyxl.Workbook) -> None:
        for cell in book.active[5]:
            cell.font, cell.fill = Font(strike=True), PatternFill("solid", fgColor="888888")

    return edit_book(folder, find(folder, CLINICAL)[0], edit)


@kind("published", "defined names and a link to another workbook")
def _(folder: Folder) -> list[Change]:
    def edit(book: openpyxl.Workbook) -> None:
        book.defined_names["Old"] = DefinedName("Old", attr_text="'[C:\\old.xlsx]Data'!$A$1", hidden=True)

    return edit_book(folder, find(folder, VOLUMES)[0], edit)


@kind("published", "a chart sheet in front")
def _(folder: Folder) -> list[Change]:
    return edit_book(folder, find(folder, VOLUMES)[0], lambda book: book.create_chartsheet("Chart", 0))


@kind("published", "an older copy in a very hidden sheet in front")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    old = Grid([list(row) for row in grid.rows])
    for row in old.rows[1:]:
        row[at(grid, "HM_volume")] *= 2
    folder.books[file].sheets = {"Old": old, sheet: grid}

    def edit(book: openpyxl.Workbook) -> None:
        book.active = 1
        book["Old"].sheet_state = "veryHidden"

    edit_book(folder, file, edit)
    return [Change(file, "Old")]


@kind("published", "a workbook without its styles")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    edit_part(folder, file, r"xl/styles\.xml", lambda text: re.sub(r"<numFmts.*?</numFmts>|numFmtId=\"\d+\"", "", text))
    return [folder.change(file, sheet, columns=[j for j, text in enumerate(grid.header) if "时间点" in str(text)])]


@kind("published", "a dimension that names one cell")
def _(folder: Folder) -> list[Change]:
    file = find(folder, VOLUMES)[0]
    return edit_part(
        folder, file, r"xl/worksheets/.*", lambda text: re.sub(r'<dimension ref="[^"]*"', '<dimension ref="A1"', text)
    )


@kind("published", "a dimension of the whole sheet")
def _(folder: Folder) -> list[Change]:
    file = find(folder, VOLUMES)[0]
    return edit_part(
        folder,
        file,
        r"xl/worksheets/.*",
        lambda text: re.sub(r'<dimension ref="[^"]*"', '<dimension ref="A1:XFD1048576"', text),
    )


@kind("published", "cells without an address")
def _(folder: Folder) -> list[Change]:
    file = find(folder, CLINICAL)[0]
    return edit_part(folder, file, r"xl/worksheets/.*", lambda text: re.sub(r'<(c|row) r="[^"]*"', r"<\1", text))


@kind("published", "shared texts that are gone")
def _(folder: Folder) -> list[Change]:
    file = find(folder, CLINICAL)[0]
    return edit_part(folder, file, r"xl/sharedStrings\.xml", lambda text: re.sub(r"<si>.*</si>", "", text))


@kind("published", "texts with pronunciation marks and several fonts")
def _(folder: Folder) -> list[Change]:
    file = find(folder, CLINICAL)[0]
    rich = r'<si><r><t>\1</t></r><rPh sb="0" eb="1"><t>zz</t></rPh></si>'
    return edit_part(
        folder, file, r"xl/sharedStrings\.xml", lambda text: re.sub(r"<si><t>([^<]*)</t></si>", rich, text)
    )


@kind("published", "a filter that hides rows")
def _(folder: Folder) -> list[Change]:
    def edit(book: openpyxl.Workbook) -> None:
        book.active.auto_filter.ref = book.active.dimensions
        for row in range(5, 12):
            book.active.row_dimensions[row].hidden = True

    return edit_book(folder, find(folder, CLINICAL)[0], edit)


@kind("published", "collapsed groups of columns")
def _(folder: Folder) -> list[Change]:
    return edit_book(
        folder, find(folder, VOLUMES)[0], lambda book: book.active.column_dimensions.group("C", "H", hidden=True)
    )


@kind("published", "ratios shown as percent")
def _(folder: Folder) -> list[Change]:
    def edit(book: openpyxl.Workbook) -> None:
        for row in range(2, 20):
            book.active.cell(row, 4).number_format = "0%"

    return edit_book(folder, find(folder, VOLUMES)[0], edit)


for _number, _form in enumerate(
    ['yyyy"年"m"月"d"日" h"时"mm"分"', "[$-409]d\\-mmm\\-yy h:mm AM/PM;@", "General", "0.00", '"on "dd/mm/yyyy', "@"]
):

    @kind("published", f"times in the number format {_form}")
    def _(folder: Folder, form: str = _form) -> list[Change]:
        file, sheet, grid = find(folder, INDEX)

        def edit(book: openpyxl.Workbook) -> None:
            for row in range(2, 12):
                book.active.cell(row, 3).number_format = form

        edit_book(folder, file, edit)
        return [folder.change(file, sheet, list(range(1, 11)), [2])]


# cells


@kind("published", "some volumes with mL behind them")
def _(folder: Folder) -> list[Change]:
    place = find(folder, VOLUMES)
    return map_cells(folder, place, "HM_volume", lambda cell: f"{cell / 1000} mL", slice(2, 6))


@kind("published", "numbers as text in one block")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    grid.pad()
    for row in grid.rows[1:]:
        row[24:48] = [None if cell is None else str(cell) for cell in row[24:48]]
    return [folder.change(file, sheet)]


@kind("published", "percent texts among the ratios")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, VOLUMES), "HM_ACA_R_Ratio", lambda cell: f"{100 * cell:.6f}%", slice(0, 8))


@kind("published", "numbers in scientific notation as text")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, VOLUMES), "HM_volume", lambda cell: f"{cell:.9E}", slice(0, 8))


@kind("published", "serials in scientific notation")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, SHAPES), "流水号", lambda cell: f"{cell:.5E}")


@kind("published", "serials with a space after the date")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, SHAPES, "Hemo"), "流水号", lambda cell: f"{str(cell)[:8]} {str(cell)[8:]}")


@kind("published", "serials that end with .0")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, SHAPES, "Hemo"), "流水号", lambda cell: f"{cell}.0")


@kind("published", "serials whose last two digits a float has lost")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, SHAPES, "Hemo"), "流水号", lambda cell: cell // 100 * 100)


@kind("published", "histories as TRUE and FALSE")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "高血压病史", bool)


@kind("published", "histories as 1 and 2")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "高血压病史", lambda cell: cell + 1)


@kind("published", "a history the other way round")
def _(folder: Folder) -> list[Change]:
    (change,) = map_cells(folder, find(folder, CLINICAL), "饮酒史", lambda cell: 1 - cell)
    change.unknowable = ALONE
    return [change]


@kind("published", "sex as 0 and 1")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "性别", lambda cell: int(cell == "男"))


@kind("published", "ages in months")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "年龄", lambda cell: cell * 12)


@kind("published", "years of birth as ages")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "年龄", lambda cell: 2031 - cell)


@kind("published", "hours from onset in minutes")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "发病到首次影像检查时间间隔", lambda cell: cell * 60)


@kind("published", "hours from onset in days")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "发病到首次影像检查时间间隔", lambda cell: cell / 24)


@kind("published", "hours from onset as clock times")
def _(folder: Folder) -> list[Change]:
    return map_cells(
        folder,
        find(folder, CLINICAL),
        "发病到首次影像检查时间间隔",
        lambda cell: dt.datetime(1899, 12, 31) + dt.timedelta(hours=cell),
    )


@kind("published", "blood pressure in kPa")
def _(folder: Folder) -> list[Change]:
    def convert(cell: object) -> str:
        high, low = (float(text) for text in str(cell).split("/"))
        return f"{high / 7.5:.0f}/{low / 7.5:.0f}"

    return map_cells(folder, find(folder, CLINICAL), "血压", convert)


@kind("published", "diastolic before systolic")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "血压", lambda cell: "/".join(str(cell).split("/")[::-1]))


@kind("published", "blood pressures that a spreadsheet took for dates")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "血压", lambda _: dt.datetime(2031, 5, 4), slice(0, 3))


@kind("published", "edema in mL beside hematoma in 10^-3 mL")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    columns = [j for j, text in enumerate(grid.header) if text == "ED_volume"]
    for row in grid.rows[1:]:
        for j in columns:
            if j < len(row) and row[j] is not None:
                row[j] /= 1000
    return [folder.change(file, sheet, columns=columns)]


@kind("published", "one follow-up block in mL")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    j = [j for j, text in enumerate(grid.header) if text == "HM_volume"][1]
    change = folder.change(file, sheet, columns=[j])
    for row in grid.rows[1:]:
        if j < len(row) and row[j] is not None:
            row[j] /= 1000
    return [change]


@kind("published", "a volume of minus zero")
def _(folder: Folder) -> list[Change]:
    (change,) = map_cells(folder, find(folder, VOLUMES), "HM_volume", lambda _: -0.0, slice(4, 5))
    return [change]


@kind("published", "all times at midnight")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    for row in grid.rows[1:]:
        row[:] = [
            dt.datetime(cell.year, cell.month, cell.day) if isinstance(cell, dt.datetime) else cell for cell in row
        ]
    return [folder.change(file, sheet, columns=[j for j, text in enumerate(grid.header) if "时间点" in str(text)])]


@kind("published", "day and month exchanged where both are possible")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    for row in grid.rows[1:]:
        row[:] = [
            cell.replace(month=cell.day, day=cell.month) if isinstance(cell, dt.datetime) and cell.day <= 12 else cell
            for cell in row
        ]
    return [folder.change(file, sheet, columns=[j for j, text in enumerate(grid.header) if "时间点" in str(text)])]


@kind("published", "the year of all times wrong by one")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    for row in grid.rows[1:]:
        row[:] = [cell.replace(year=2030) if isinstance(cell, dt.datetime) else cell for cell in row]
    change = folder.change(file, sheet, columns=[j for j, text in enumerate(grid.header) if "时间点" in str(text)])
    return [change]


for _id in (
    "1e5",
    "2031-05-04",
    "TRUE",
    "nan",
    "None",
    "inf",
    "=1+1",
    "@x",
    "[/red]",
    "a\nb",
    "a/b",
    "<b>x</b>",
    "007",
    "7.0",
    "x" * 300,
    "，",
    "1,5",
    "\u202eabc",
    "\U0001f9e0",
):

    @kind(LONG, f"a patient called {_id[:20]!r}")
    def _(folder: Folder, new: str = _id) -> list[Change]:
        file, sheet, grid = find(folder, "export")
        rows = [i for i in grid.records if grid.rows[i][0] == "P003"]
        change = folder.change(file, sheet, rows, [0])
        change.unknowable = "a hospital may write an id in this way"
        change.row_words.add(new)
        for i in rows:
            grid.rows[i][0] = new
        return [change]


# tables


@kind("published", "a header of two rows")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    grid.insert_row(0, [None if j % 23 != 1 else f"第{j // 23 + 1}次" for j in range(grid.width)])
    return [folder.change(file, sheet)]


@kind("published", "the header in row 7")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, CLINICAL)
    for text in ("某医院", "脑出血患者信息表", None, "导出日期 2031-05-04", None, None):
        grid.insert_row(0, [text])
    grid.pad()
    return [folder.change(file, sheet)]


@kind("published", "twenty blank columns in front")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    for row in grid.rows:
        row[:0] = [None] * 20
    return [folder.change(file, sheet)]


@kind(LONG, "a pivot table beneath")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    first = len(grid.rows) + 3
    grid.rows += [
        [None],
        [None],
        [None],
        ["Row labels", "Count of scans", "Mean of Age"],
        ["F", 30, 66.2],
        ["M", 34, 63.0],
        ["Grand total", 64, 64.5],
    ]
    grid.pad()
    return [folder.change(file, sheet, list(range(first, first + 4)))]


@kind(LONG, "a pivot table beside")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    width = grid.width
    for i, cells in enumerate([["Row labels", "Count"], ["F", 30], ["M", 34]]):
        grid.rows[i] += [None, None, *cells]
    grid.pad()
    change = folder.change(file, sheet, columns=[width + 2, width + 3])
    return [change]


@kind(LONG, "a second table beneath with its own header")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    rows = [list(row) for row in grid.rows]
    grid.rows[40:] = []
    first = len(grid.rows) + 1
    grid.rows += [[None], [*rows[0][:8][::-1], *rows[0][8:]]] + [[*row[:8][::-1], *row[8:]] for row in rows[40:]]
    grid.pad()
    return [folder.change(file, sheet, list(range(first, len(grid.rows))))]


@kind("published", "rows below an empty row")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, CLINICAL)
    for _ in range(3):
        grid.insert_row(10, [None] * grid.width)
    return [folder.change(file, sheet)]


@kind("published", "a row of spaces")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    grid.insert_row(10, [" ", "\u3000", "\u00a0"] * 5)
    return [folder.change(file, sheet, [10])]


@kind("published", "the last scan copied as a new scan")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    grid.pad()
    blocks = list(range(1, grid.width, 23))
    i, k = next(
        (i, k) for i in grid.records for k in range(1, len(blocks) - 1)
        if grid.rows[i][blocks[k]] is not None and grid.rows[i][blocks[k + 1]] is None
    )  # fmt: skip
    change = folder.change(file, sheet, [i], list(range(blocks[k + 1], blocks[k + 1] + 23)))
    grid.rows[i][blocks[k + 1] : blocks[k + 1] + 23] = grid.rows[i][blocks[k] : blocks[k] + 23]
    grid.rows[i][blocks[k + 1]] = int(grid.rows[i][blocks[k + 1]]) + 1
    change.row_words.add(str(grid.rows[i][blocks[k + 1]]))
    return [change]


@kind("published", "a follow-up block pasted twice under the next number")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    grid.pad()
    width = grid.width
    last = re.sub(r"\d", lambda match: str(int(match[0]) + 1), str(grid.header[width - 23]))
    for row in grid.rows:
        row += row[-23:]
    grid.header[width] = last
    return [folder.change(file, sheet, columns=list(range(width, width + 23)))]


@kind("published", "the sheets ED and Hemo under each other's name")
def _(folder: Folder) -> list[Change]:
    file, *_ = find(folder, SHAPES)
    sheets = folder.books[file].sheets
    folder.books[file].sheets = {"ED": sheets["Hemo"], "Hemo": sheets["ED"]}
    change = Change(file)
    change.column_words = {"Hemo", "ED"}
    return [change]


@kind("published", "two workbooks under each other's name")
def _(folder: Folder) -> list[Change]:
    (a, *_), (b, *_) = find(folder, CLINICAL), find(folder, SHAPES)
    folder.books[a], folder.books[b] = folder.books[b], folder.books[a]
    return [Change(a)]


@kind("published", "the shape features of another cohort")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, SHAPES, "Hemo")
    columns = range(2, grid.width)
    values = [row[2:] for row in grid.rows[1:]]
    for row, other in zip(grid.rows[1:], values[7:] + values[:7], strict=True):
        row[2:] = other
    change = folder.change(file, sheet, columns=list(columns))
    change.column_words |= {"HM_volume"}
    return [change]


@kind("published", "the index cut after ten patients")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    change = folder.change(file, sheet, list(range(11, len(grid.rows))))
    del grid.rows[11:]
    change.rows.clear()
    return [change]


@kind("published", "the index sorted by time below its ids")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    change = folder.change(file, sheet, columns=[0])
    ids = [row[0] for row in grid.rows[1:]][::-1]
    for row, name in zip(grid.rows[1:], ids, strict=True):
        row[0] = name
    return [change]


@kind("published", "the ids of Table 2 against its rows")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    change = folder.change(file, sheet, columns=[0])
    ids = [row[0] for row in grid.rows[1:]]
    for row, name in zip(grid.rows[1:], [ids[-1], *ids[:-1]], strict=True):
        row[0] = name
    return [change]


@kind("published", "two times of a patient exchanged in the index")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    i = next(i for i in grid.records if grid.rows[i][4] is not None)
    change = folder.change(file, sheet, [i], [2, 4])
    grid.rows[i][2], grid.rows[i][4] = grid.rows[i][4], grid.rows[i][2]
    return [change]


@kind("published", "two scans of a patient exchanged in the index")
def _(folder: Folder) -> list[Change]:
    """Time and serial move together: nothing is lost."""
    file, sheet, grid = find(folder, INDEX)
    i = next(i for i in grid.records if grid.rows[i][4] is not None)
    change = folder.change(file, sheet, [i])
    grid.rows[i][2:4], grid.rows[i][4:6] = grid.rows[i][4:6], grid.rows[i][2:4]
    return [change]


@kind(LONG, "the rows of two patients interleaved")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    grid.rows[1:] = sorted(grid.rows[1:], key=lambda row: row[1])
    return [folder.change(file, sheet)]


@kind(LONG, "two readers measured every scan")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    j = at(grid, "Hematoma volume (mL)")
    grid.rows[1:] = [each for row in grid.rows[1:] for each in (row, [*row[:j], row[j] + 0.7, *row[j + 1 :]])]
    return [folder.change(file, sheet)]


@kind(LONG, "the patient id only in the first of a patient's rows")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    seen: set[object] = set()
    for row in grid.rows[1:]:
        row[0] = seen.add(row[0]) or row[0] if row[0] not in seen else None
    return [folder.change(file, sheet, columns=[0])]


@kind(LONG, "ages as dates of birth")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, "export"), "Age", lambda cell: dt.datetime(2031 - int(str(cell)), 5, 4))


@kind(LONG, "a second column of volumes")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    j = at(grid, "Hematoma volume (mL)")
    grid.insert_column(j, ["ABC/2 volume (mL)", *(row[j] * 1.3 for row in grid.rows[1:])])
    return [folder.change(file, sheet, columns=[j])]


@kind(LONG, "one patient")
def _(folder: Folder) -> list[Change]:
    return replace_rows(folder, lambda _, row: row[0] == "P001")


@kind(LONG, "one row")
def _(folder: Folder) -> list[Change]:
    return replace_rows(folder, lambda i, _: i == 0)


@kind(LONG, "a header without rows")
def _(folder: Folder) -> list[Change]:
    return replace_rows(folder, lambda *_: False, "")


@kind(LONG, "no patient has a follow-up")
def _(folder: Folder) -> list[Change]:
    seen: set[object] = set()
    return replace_rows(folder, lambda _, row: not (row[0] in seen or seen.add(row[0])))


@kind("published", "no follow-up in Table 2")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    grid.pad()
    change = folder.change(file, sheet, columns=list(range(24, grid.width)))
    grid.rows = [row[:24] for row in grid.rows]
    change.columns.clear()
    return [change]


@kind(LONG, "three header cells with the same text")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    change = folder.change(file, sheet, columns=[5, 6, 7])
    grid.header[5:8] = ["SBP"] * 3
    return [change]


@kind(LONG, "an export with the row numbers of pandas")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    grid.insert_column(0, [None, *range(len(grid.rows) - 1)])
    change = folder.change(file, sheet, columns=[0])
    return [change]


# text files


@kind(LONG_CSV, "a byte-order mark in the middle")
def _(folder: Folder) -> list[Change]:
    return edit_text(
        folder, lambda text: text[: text.index("\n", 900) + 1] + "\ufeff" + text[text.index("\n", 900) + 1 :]
    )


@kind(LONG_CSV, "lines that end with CR LF, CR and LF")
def _(folder: Folder) -> list[Change]:
    return edit_text(
        folder, lambda text: "".join(line + ["\r\n", "\n", "\r"][i % 3] for i, line in enumerate(text.splitlines()))
    )


@kind(LONG_CSV, "NUL bytes between the letters of a part")
def _(folder: Folder) -> list[Change]:
    return edit_text(
        folder, lambda text: text[:800].encode() + text[800:1200].encode("utf-16-le") + text[1200:].encode()
    )


@kind(LONG_CSV, "a quotation mark that is not closed")
def _(folder: Folder) -> list[Change]:
    return edit_text(folder, lambda text: text.replace("P005,", '"P005,', 1))


@kind(LONG_CSV, "marks around the whole line")
def _(folder: Folder) -> list[Change]:
    return edit_text(folder, lambda text: "".join(f'"{line}"\n' for line in text.splitlines()))


@kind(LONG_CSV, "rows shown as ####")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, "export"), "Scan date/time", lambda _: "########", slice(3, 9))


@kind(LONG_CSV, "dates in two orders, half and half")
def _(folder: Folder) -> list[Change]:
    def exchange(cell: object) -> str:
        day, month, rest = str(cell).split("/")
        return f"{month}/{day}/{rest}"

    return map_cells(folder, find(folder, "export"), "Scan date/time", exchange, slice(30, None))


@kind(LONG_CSV, "some times with a time zone")
def _(folder: Folder) -> list[Change]:
    (change,) = map_cells(folder, find(folder, "export"), "Scan date/time", lambda cell: f"{cell}+08:00", slice(5, 20))
    return [change]


@kind(LONG_CSV, "a packed file under the name of a table")
def _(folder: Folder) -> list[Change]:
    return edit_text(folder, lambda text: gzip.compress(text.encode()))


@kind(LONG_CSV, "lines of notes in front")
def _(folder: Folder) -> list[Change]:
    return edit_text(folder, lambda text: f"# export, 2031\n# volumes by hand\n{text}")


@kind(LONG_CSV, "a page header every twenty lines")
def _(folder: Folder) -> list[Change]:
    def edit(text: str) -> str:
        lines = text.splitlines()
        return "\n".join(
            each for i, line in enumerate(lines) for each in ([lines[0], line] if i and i % 20 == 0 else [line])
        )

    file, sheet, _grid = find(folder, "export")
    edit_text(folder, edit)
    return [folder.change(file, sheet, [20, 41])]


@kind(LONG_CSV, "columns of fixed width")
def _(folder: Folder) -> list[Change]:
    def edit(text: str) -> str:
        return "\n".join("".join(f"{cell:<26}" for cell in row) for row in csv.reader(io.StringIO(text)))

    return edit_text(folder, edit)


@kind(LONG_CSV, "JSON under the name of a table")
def _(folder: Folder) -> list[Change]:
    return edit_text(folder, lambda text: "\n".join('{"id": "%s"}' % line[:4] for line in text.splitlines()))


@kind(LONG_TSV, "decimal commas and points in one file")
def _(folder: Folder) -> list[Change]:
    return map_cells(
        folder, find(folder, "export"), "Hematoma volume (mL)", lambda cell: str(cell).replace(".", ","), slice(10, 30)
    )


@kind(LONG_TSV, "thousands and decimals in the German form")
def _(folder: Folder) -> list[Change]:
    return map_cells(
        folder, find(folder, "export"), "Hematoma volume (mL)", lambda cell: f"{cell:.3f}".replace(".", ",")
    )


@kind(LONG_TSV, "volumes with a point for thousands")
def _(folder: Folder) -> list[Change]:
    return map_cells(
        folder, find(folder, "export"), "Hematoma volume (mL)", lambda cell: f"{1000 * cell:,.0f}".replace(",", ".")
    )


@kind("linked_tables csv", "zeros of the ids lost in one of two files")
def _(folder: Folder) -> list[Change]:
    for prefix, new in (("patients", lambda text: text[1:]), ("scans", lambda text: str(int(text[1:])))):
        file, sheet, grid = find(folder, prefix)
        for row in grid.rows[1:]:
            row[0] = new(row[0])
    return [Change(file)]


# Parquet and OpenDocument


def _parquet(name: str, make: Callable[[pa.Table], pa.Table]) -> None:
    @kind("long_table parquet", name)
    def _(folder: Folder) -> list[Change]:
        def change(content: bytes) -> bytes:
            sink = pa.BufferOutputStream()
            pq.write_table(make(pq.read_table(pa.BufferReader(content))), sink)
            return bytes(sink.getvalue())

        folder.byte_changes.append(("export.parquet", change))
        return [Change("export.parquet")]


def _cast(column: str, to: Callable[[pa.ChunkedArray], pa.Array | pa.ChunkedArray]) -> Callable[[pa.Table], pa.Table]:
    def make(table: pa.Table) -> pa.Table:
        position = table.schema.get_field_index(column)
        return table.set_column(position, column, to(table.column(position)))

    return make


_parquet("ids as bytes", _cast("Patient ID", lambda cells: cells.cast(pa.binary())))
_parquet("ids as categories", _cast("Patient ID", lambda cells: cells.dictionary_encode()))
_parquet("ids as large texts", _cast("Patient ID", lambda cells: cells.cast(pa.large_string())))
_parquet(
    "ages as small numbers with gaps", _cast("Age", lambda cells: pa.array([None, *cells.to_pylist()[1:]], pa.int8()))
)
_parquet("ages as decimals", _cast("Age", lambda cells: cells.cast(pa.decimal128(12, 2))))
_parquet(
    "volumes with not-a-number",
    _cast("Hematoma volume (mL)", lambda cells: pa.array([float("nan"), *cells.to_pylist()[1:]])),
)
_parquet(
    "volumes with infinity",
    _cast("Hematoma volume (mL)", lambda cells: pa.array([float("inf"), *cells.to_pylist()[1:]])),
)
_parquet("histories as true and false", _cast("Hypertension", lambda cells: cells.cast(pa.bool_())))
_parquet("a column of lists", _cast("GCS", lambda cells: pa.array([[cell] for cell in cells.to_pylist()])))
_parquet("a column of records", _cast("GCS", lambda cells: pa.array([{"a": cell} for cell in cells.to_pylist()])))
_parquet(
    "times in nanoseconds with a zone",
    _cast("Scan date/time", lambda cells: cells.cast(pa.timestamp("ns", "Asia/Shanghai"))),
)
_parquet("times of day as onset", _cast("Onset time", lambda cells: cells.cast(pa.time64("us"))))
_parquet("durations as ages", _cast("Age", lambda cells: pa.array(cells.to_pylist(), pa.duration("s"))))
_parquet("a column twice", lambda table: table.append_column("Age", table.column("GCS")))
_parquet("no rows", lambda table: table.slice(0, 0))
_parquet("an index of pandas", lambda table: table.append_column("__index_level_0__", pa.array(range(len(table)))))


@kind("long_table ods", "blank rows and cells repeated to the end of the sheet")
def _(folder: Folder) -> list[Change]:
    blank = '<table:table-row table:number-rows-repeated="1048000"><table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
    return edit_part(
        folder, "export.ods", r"content\.xml", lambda text: text.replace("</table:table>", f"{blank}</table:table>")
    )


@kind("long_table ods", "a value repeated over three cells")
def _(folder: Folder) -> list[Change]:
    """A row of equal cells is written once with a count; here it is a row of text in columns that exist."""
    return edit_part(
        folder,
        "export.ods",
        r"content\.xml",
        lambda text: text.replace("<table:table-cell/>", '<table:table-cell table:number-columns-repeated="1"/>'),
    )


# folders


for _name, _content in {
    "表1 [draft].xlsx": b"", "~$notes.docx": b"x", "a\nb.csv": b"x,y\n1,2\n", "表4-其他.xlsx": None, "读我.txt": b"readme",
    "scans.csv.gz": b"\x1f\x8b", "data.numbers": b"PK\x03\x04", "表2.csv": b"ID,HM_volume\nsub001,5\n",
}.items():  # fmt: skip

    @kind("published", f"a file {_name!r} in the folder")
    def _(folder: Folder, name: str = _name, content: bytes | None = _content) -> list[Change]:
        grid = Grid([["ID", "Score"], ["sub001", 5], ["sub002", 6]])
        folder.others[name] = write_book("a.xlsx", Book({"S": grid})) if content is None else content
        return [Change(name)]
