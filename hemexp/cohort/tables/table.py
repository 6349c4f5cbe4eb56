"""Find the table in a grid of cells: the row of its headers, the header texts and the records."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.findings import Cell, Findings, column_letter
from hemexp.cohort.headers import INVISIBLE, read_header, read_unit
from hemexp.cohort.tables.sheet import Sheet
from hemexp.formatting import plural

FIRST_ROWS = 20  # the headers are in one of these
SHOWN = 5  # cells in a message
FORMULA_ERRORS = (
    "#DIV/0!",
    "#N/A",
    "#NAME?",
    "#NULL!",
    "#NUM!",
    "#REF!",
    "#VALUE!",
    "#SPILL!",
    "#CALC!",
    "#GETTING_DATA",
)
_SHARE = 0.6  # of the columns that have a text in the row of headers; titles and notes above have fewer
Range = tuple[tuple[int, int], tuple[int, int]]  # first and last cell of merged cells, each (row, column)


def find_header(rows: Sequence[Sequence[object]], merged: Sequence[Range] = ()) -> tuple[int, list[str]] | None:
    """Find the row of headers: the first one with texts in most columns of the table and something below.

    Headers of two rows, such as ``Baseline`` above ``Volume`` and ``Time``, become one text where the upper one says
    what the lower one does not: which scan, or which of two equal texts. A row of units below belongs to the headers.

    Args:
        rows: the first rows of the sheet, at least `FIRST_ROWS` + 2 where there are as many.
        merged: ranges of merged cells.

    Returns:
        The 0-based row and the header texts; None if the sheet does not hold a table.
    """
    grid = [[header_text(cell) for cell in row] for row in rows]
    labels = [list(map(_is_label, row)) for row in rows]
    width = max((sum(map(bool, texts)) for texts in grid), default=0)
    for i in range(min(len(grid) - 1, FIRST_ROWS)):
        if sum(labels[i]) >= max(2, _SHARE * width):
            break
    else:
        return None
    if _continues_below(i, grid, labels, merged):
        i += 1
    if not any(any(texts) for texts in grid[i + 1 :]):
        return None
    header = _join_levels(i, grid, merged) if i else grid[i]
    units = grid[i + 1]
    if any(units) and all(map(read_unit, filter(None, units))) and any(any(texts) for texts in grid[i + 2 :]):
        return i + 1, [f"{text} ({unit})" if text and unit else text for text, unit in zip(header, units, strict=True)]
    return i, header


def header_text(cell: object) -> str:
    """Return a cell as text on one line, without characters that are not visible."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, dt.datetime) and cell.time() == dt.time():
        cell = cell.date()
    return " ".join(str(cell).translate(INVISIBLE).split())


def _is_label(cell: object) -> bool:
    """Return whether a cell is a text with a letter."""
    return isinstance(cell, str) and bool(re.search(r"[^\W\d_]", cell))


def _spans(row: int, merged: Sequence[Range]) -> list[tuple[int, int]]:
    """Return first and last column of the merged cells that begin in a row and span columns."""
    return [(left, right) for (top, left), (_, right) in merged if top == row and right > left]


def _continues_below(i: int, grid: list[list[str]], labels: list[list[bool]], merged: Sequence[Range]) -> bool:
    """Return whether the row below holds the second level of the headers in a row, and is not the first record."""
    if i + 2 >= len(grid) or any(text and not label for text, label in zip(grid[i + 1], labels[i + 1], strict=True)):
        return False
    above, below, columns = grid[i], grid[i + 1], range(len(grid[i]))
    differs = any(below[j] and grid[i + 2][j] and not labels[i + 2][j] for j in columns)  # numbers follow
    if spans := _spans(i, merged):
        spanned = {j for left, right in spans for j in range(left, right + 1)}
        is_complement = not any(below[j] for j in columns if j not in spanned)
        return all(below[j] for j in spanned) and (is_complement or differs)
    first = next(j for j in columns if above[j])
    blank = [j for j in columns if j > first and not above[j] and any(row[j] for row in grid)]
    return bool(blank) and all(below[j] for j in blank) and any(above[j] and not below[j] for j in columns) and differs


def _join_levels(i: int, grid: list[list[str]], merged: Sequence[Range]) -> list[str]:
    """Return the headers of a row, each with the text above it where that says which scan or which of equal texts."""
    lower, above = grid[i], grid[i - 1]
    repeated = {text for text in lower if text and lower.count(text) > 1}
    spans, upper = _spans(i - 1, merged), list(above)
    for left, right in spans:
        upper[left : right + 1] = [above[left]] * (right - left + 1)
    if not spans:  # a text file, or texts centered over columns
        for j, text in enumerate(upper):
            upper[j] = text or (upper[j - 1] if j else "")
    is_title = len(set(upper) - {""}) < 2 and all(upper[j] for j, text in enumerate(lower) if text)
    if is_title or not (spans or repeated):
        return lower
    joined = [
        f"{group} {text}".strip() if text in repeated or read_header(group).occasion else text
        for group, text in zip(upper, lower, strict=True)
    ]
    if not spans and len(set(filter(None, joined))) < len(list(filter(None, joined))):
        return lower  # notes above the table
    return [header or text for header, text in zip(joined, above, strict=True)]


def build_sheet(
    file: str,
    name: str,
    header: list[str],
    columns: list[pd.Series],
    header_row: int,
    findings: Findings,
    simulated: bool = False,
) -> Sheet:
    """Return a table without its blank rows; cells in columns without a header are not read, with a warning.

    Columns without a header that follow the last header are left out.

    A first column without a header is kept where it has a value in most rows: it may hold the patient ids.

    Args:
        file: the file's name.
        name: of the worksheet.
        header: the header texts, one for each column.
        columns: the cells below the header row.
        header_row: the 0-based row of the header.
        findings: receives the warning.
        simulated: whether the file is marked as made of simulated patients.
    """
    filled = _filled_rows(columns)
    first = next((j for j, column in enumerate(columns) if header[j] or column.notna().any()), 0)
    may_be_id = columns[first].notna().sum() >= 0.5 * filled.sum()
    width = 1 + max((j for j, text in enumerate(header) if text), default=first)
    stray: list[Cell] = []
    for j, column in enumerate(columns):
        if not header[j] and not (j == first and may_be_id):
            rows = np.flatnonzero(column.notna())
            stray += [Cell(file, name, header_row + 2 + int(row), column_letter(j)) for row in rows]
            if j < width:
                columns[j] = pd.Series(np.nan, index=column.index)
    header, columns = header[:width], columns[:width]  # a stray cell may be in the last column of the program
    if stray:
        message = f"{count_cells(stray)} in columns without a header are not read; rule: every column has a header"
        findings.add("warning", "stray_cells", stray[0], f"{message}; add the headers", others=stray[1:])
        filled = _filled_rows(columns)
    if not filled.all():
        columns = [column[filled].reset_index(drop=True) for column in columns]
    return Sheet(file, name, header, columns, header_row + 1 + np.flatnonzero(filled), header_row, simulated)


def _filled_rows(columns: list[pd.Series]) -> np.ndarray[Any, Any]:
    """Return which rows have a value."""
    filled = np.zeros(len(columns[0]), dtype=bool)
    for column in columns:
        filled |= column.notna().to_numpy()
        if filled.all():
            break
    return filled


def count_cells(cells: Sequence[Cell]) -> str:
    """Return the number of cells, with the addresses of the first ones."""
    shown = ", ".join(f"{cell.column}{cell.row}" for cell in cells[:SHOWN]) + (", ..." if len(cells) > SHOWN else "")
    return f"{plural(len(cells), 'cell')} ({shown})"


def warn_of_formula_errors(sheet: Cell, header: str, column: int, rows: Sequence[int], findings: Findings) -> None:
    """Warn of formulas of a column that failed; their cells are read as empty."""
    cells = [Cell(sheet.file, sheet.sheet, row + 1, column_letter(column)) for row in rows]
    message = f"column {header!r}: {count_cells(cells)} hold the error of a formula, such as #DIV/0!; read as empty"
    findings.add("warning", "formula_error", cells[0], f"{message}; correct the formulas", others=cells[1:])
