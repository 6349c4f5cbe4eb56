"""Single kinds of damage that hospitals' files have and that no rule of `damage.damages` makes: the tools."""

import io
import re
from collections.abc import Callable
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
from damage.cohorts import get_cohort
from damage.folder import Change, Folder, Grid
from damage.redundancy import WHOLE

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
