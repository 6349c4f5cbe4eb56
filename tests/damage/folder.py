"""A hospital's folder in memory: tables that a test damages and then writes as files."""

import copy
import csv
import datetime as dt
import io
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr
from zipfile import ZipFile

import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter

Row = list[object]


@dataclass
class Change:
    """A change of a folder, and the ways in which a finding may name it.

    Attributes:
        file: the file that was changed.
        sheet: the worksheet; empty where the whole file was.
        rows: the 0-based rows; empty where most rows were changed.
        columns: the 0-based columns; empty where whole rows were changed.
        column_words: headers and hemexp's names of the columns.
        row_words: patient ids and serials of the rows.
        unknowable: the reason why the file itself cannot show the change; empty where it can.
        is_lost_file: whether the file is gone, or may not be read under its new name.
        renamed: the old id of each patient who has another one in all of the tables.
    """

    file: str
    sheet: str = ""
    rows: set[int] = field(default_factory=set)
    columns: set[int] = field(default_factory=set)
    column_words: set[str] = field(default_factory=set)
    row_words: set[str] = field(default_factory=set)
    unknowable: str = ""
    is_lost_file: bool = False
    renamed: dict[str, str] = field(default_factory=dict)

    def rename(self, new: str, old: str) -> None:
        """Say that a patient has another id, which may be read without spaces, in half width or without .0."""
        half_width = unicodedata.normalize("NFKC", new)
        self.renamed |= dict.fromkeys((new, new.strip(), half_width.strip(), half_width.removesuffix(".0")), old)


@dataclass
class Grid:
    """The cells of a worksheet or of a text file; the header is row 0 until rows are added above."""

    rows: list[Row]
    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    is_hidden: bool = False
    header_row: int = 0
    changes: list[Change] = field(default_factory=list, compare=False)

    @property
    def header(self) -> Row:
        return self.rows[self.header_row]

    @property
    def width(self) -> int:
        return max(map(len, self.rows))

    @property
    def records(self) -> range:
        """The rows below the header."""
        return range(self.header_row + 1, len(self.rows))

    def pad(self) -> None:
        """Give all rows the same number of cells."""
        width = self.width
        self.rows = [row + [None] * (width - len(row)) for row in self.rows]

    def insert_row(self, at: int, row: Row) -> None:
        self.rows.insert(at, row)
        self.header_row += at <= self.header_row
        for change in self.changes:
            change.rows = {i + (i >= at) for i in change.rows}

    def delete_row(self, at: int) -> Row:
        for change in self.changes:
            change.rows = {i - (i > at) for i in change.rows}
        return self.rows.pop(at)

    def insert_column(self, at: int, cells: Row) -> None:
        self.pad()
        for row, cell in zip(self.rows, cells, strict=True):
            row.insert(at, cell)
        for change in self.changes:
            change.columns = {j + (j >= at) for j in change.columns}

    def delete_column(self, at: int) -> Row:
        self.pad()
        for change in self.changes:
            change.columns = {j - (j > at) for j in change.columns}
        return [row.pop(at) for row in self.rows]


@dataclass
class Book:
    """The sheets of one file; a text file or Parquet has one sheet without a name."""

    sheets: dict[str, Grid]
    separator: str = ","
    encoding: str = "utf-8"


@dataclass
class Folder:
    """The files of a cohort, other files beside them, and changes of the bytes after writing.

    Attributes:
        books: the tables by file name.
        patients: the patient of each id and serial that the tables hold.
        names: hemexp's names of each header.
        others: further files.
        byte_changes: functions of a file's bytes.
        removed: files that are not written.
        is_published: whether the tables are the four workbooks of the published layout.
        undamaged: the folder that this one is a copy of.
    """

    books: dict[str, Book]
    patients: dict[str, str] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)
    others: dict[str, bytes] = field(default_factory=dict)
    byte_changes: list[tuple[str, Callable[[bytes], bytes]]] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    is_published: bool = False
    undamaged: "Folder | None" = None
    contents: dict[str, bytes] = field(default_factory=dict)  # of the undamaged files, written once

    def copy(self) -> "Folder":
        """Return a copy that may be damaged."""
        return replace(copy.deepcopy(replace(self, contents={})), undamaged=self)

    def get_content(self, file: str) -> bytes:
        """Return the bytes of a table."""
        book, origin = self.books[file], self.undamaged
        if origin is None or file not in origin.books or book != origin.books[file]:
            return write_book(file, book)
        if file not in origin.contents:
            origin.contents[file] = write_book(file, book)
        return origin.contents[file]

    def grids(self) -> list[tuple[str, str, Grid]]:
        return [(file, name, grid) for file, book in self.books.items() for name, grid in book.sheets.items()]

    def change(self, file: str, sheet: str, rows: list[int] | None = None, columns: list[int] | None = None) -> Change:
        """Return the description of a change of these rows or columns, before it is made."""
        grid = self.books[file].sheets[sheet]
        rows, columns = rows or [], columns or []
        headers = {str(grid.header[j]) for j in columns if j < len(grid.header) and grid.header[j]}
        column_words = headers | {name for header in headers for name in self.names.get(header, ())}
        words = {str(cell) for i in rows for cell in grid.rows[i] if str(cell) in self.patients}
        row_words = words | {self.patients[word] for word in words}
        change = Change(file, sheet, set(rows), set(columns), column_words, row_words)
        grid.changes.append(change)
        return change

    def write(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        for file in self.books:
            (root / file).write_bytes(self.get_content(file))
        for name, content in self.others.items():
            (root / name).write_bytes(content)
        for name, change in self.byte_changes:
            (root / name).write_bytes(change((root / name).read_bytes()))
        for name in self.removed:
            (root / name).unlink()


def write_book(file: str, book: Book) -> bytes:
    """Return the bytes of a file of the kind that its name says."""
    suffix = Path(file).suffix.lower()
    if suffix in {".csv", ".tsv", ".txt"}:
        return _write_text(next(iter(book.sheets.values())), book)
    if suffix == ".parquet":
        return _write_parquet(next(iter(book.sheets.values())))
    return _write_ods(book) if suffix == ".ods" else _write_xlsx(book)


def _texts(row: Row) -> Iterator[str]:
    for cell in row:
        yield "" if cell is None else f"{cell:%Y-%m-%d %H:%M:%S}" if isinstance(cell, dt.datetime) else str(cell)


def _write_text(grid: Grid, book: Book) -> bytes:
    grid.pad()
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=book.separator, lineterminator="\n").writerows(map(_texts, grid.rows))
    return buffer.getvalue().encode(book.encoding, "replace")


def _write_parquet(grid: Grid) -> bytes:
    """Write each column with the type of its cells, as text where they are of several types."""
    grid.pad()
    arrays, names = [], []
    for j, header in enumerate(grid.header):
        cells = [grid.rows[i][j] for i in grid.records]
        kinds = {type(cell) for cell in cells if cell is not None}
        is_large = kinds == {int} and any(abs(cell) >= 2**63 for cell in cells if isinstance(cell, int))
        if kinds == {int, float} or is_large:
            cells = [None if cell is None else float(cell) for cell in cells]
        elif len(kinds) > 1:
            cells = [None if cell is None else next(_texts([cell])) for cell in cells]
        arrays.append(pa.array(cells))
        names.append("" if header is None else str(header))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, names=names), sink)
    return bytes(sink.getvalue())


def _write_xlsx(book: Book) -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"default_date_format": "yyyy/m/d h:mm:ss"}) as file:
        file.set_properties({"created": dt.datetime(2031, 1, 1)})
        for name, grid in book.sheets.items():
            sheet = file.add_worksheet(name)
            for i, row in enumerate(grid.rows):
                for j, cell in enumerate(row):
                    if isinstance(cell, str):
                        sheet.write_string(i, j, cell)
                    elif cell is not None:
                        sheet.write(i, j, cell)
            for i in grid.hidden_rows:
                sheet.set_row(i, options={"hidden": True})
            for j in grid.hidden_columns:
                sheet.set_column(j, j, options={"hidden": True})
            for top, left, bottom, right in grid.merged:
                sheet.merge_range(top, left, bottom, right, grid.rows[top][left])
            if grid.is_hidden:
                sheet.hide()
    return buffer.getvalue()


def _write_ods(book: Book) -> bytes:
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    sheets = "".join(
        f"<table:table table:name={quoteattr(name)}>{''.join(map(_ods_row, grid.rows))}</table:table>"
        for name, grid in book.sheets.items()
    )
    body = f"<office:body><office:spreadsheet>{sheets}</office:spreadsheet></office:body>"
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        file.writestr("META-INF/manifest.xml", "<manifest/>")
        file.writestr("content.xml", f"<office:document-content {spaces}>{body}</office:document-content>")
    return buffer.getvalue()


def _ods_row(row: Row) -> str:
    return f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>"


def _ods_cell(cell: object) -> str:
    if cell is None:
        return "<table:table-cell/>"
    if isinstance(cell, bool):
        value = f'office:value-type="boolean" office:boolean-value="{str(cell).lower()}"'
    elif isinstance(cell, int | float):
        value = f'office:value-type="float" office:value="{cell!r}"'
    elif isinstance(cell, dt.datetime):
        value = f'office:value-type="date" office:date-value="{cell.isoformat()}"'
    else:
        value = 'office:value-type="string"'
    return f"<table:table-cell {value}><text:p>{escape(str(cell))}</text:p></table:table-cell>"
