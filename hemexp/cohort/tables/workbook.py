"""Read the sheets of a workbook (.xlsx, .xls, .ods), with a warning of everything that a user may not see in them."""

import datetime as dt
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import numpy as np
import pandas as pd
from python_calamine import CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum
from xlsxwriter.utility import xl_rowcol_to_cell

from hemexp.cohort.findings import Cell, Findings, column_letter
from hemexp.cohort.tables import table
from hemexp.cohort.tables.opendocument import inspect_opendocument
from hemexp.cohort.tables.sheet import Sheet
from hemexp.cohort.tables.sheet_xml import SheetXml
from hemexp.cohort.tables.workbook_xml import find_parts, inspect_sheet, is_marked_simulated

_LARGEST_PART = 2**32  # bytes of a part of the archive when it is unpacked
_EXACT = 2**53  # larger whole numbers are not exact as float64


def read_workbook(path: Path, findings: Findings) -> list[Sheet]:
    """Return the worksheets that hold a table; the others are named in one warning."""
    sheets, unread = [], []
    with ExitStack() as stack:
        archive = stack.enter_context(ZipFile(path)) if is_zipfile(path) else None
        inspected = _inspect(archive) if archive else {}
        book = stack.enter_context(CalamineWorkbook.from_filelike(stack.enter_context(path.open("rb"))))
        simulated = archive is not None and is_marked_simulated(archive)
        for metadata in book.sheets_metadata:
            if metadata.typ != SheetTypeEnum.WorkSheet:
                continue
            name = metadata.name
            cells = book.get_sheet_by_name(name)
            sheet = _read_sheet(path.name, cells, inspected.get(name, SheetXml()), simulated, findings)
            if sheet is not None:
                sheets.append(sheet)
                if metadata.visible != SheetVisibleEnum.Visible:
                    message = "the sheet is hidden; it is read; delete it if it is not part of the cohort"
                    findings.warn("hidden_sheet", sheet.place, message)
            elif cells.height:
                unread.append(name)
    if unread:
        names = ", ".join(map(repr, unread))
        message = f"no table in sheet {names}: no row of headers with rows below; not read"
        findings.warn("unread_sheet", Cell(path.name, unread[0]), message, value=names)
    return sheets


def _inspect(archive: ZipFile) -> dict[str, SheetXml]:
    """Return what the XML of each sheet says, by its name.

    Raises:
        ValueError: a sheet is too large, because of single cells far away from the table.
    """
    largest = max(archive.infolist(), key=lambda part: part.file_size, default=None)
    if largest is not None and largest.file_size > _LARGEST_PART:
        raise ValueError(f"{largest.filename} in it unpacks to {largest.file_size / 2**30:.1f} GiB; rule: at most 4")
    parts = find_parts(archive)
    found = {name: inspect_sheet(archive, part) for name, part in parts.items() if part in archive.namelist()}
    found |= inspect_opendocument(archive)
    for name, xml in found.items():
        if xml.is_too_large:
            cells = dict.fromkeys(xl_rowcol_to_cell(*cell) for cell in (xml.lowest, xml.rightmost))
            raise ValueError(
                f"the cells of sheet {name!r} reach to {' and '.join(cells)}; so many do not fit in memory; rule: no "
                "cells far away from the table; delete the rows and columns beyond it"
            )
    return found


def _read_sheet(file: str, cells: CalamineSheet, xml: SheetXml, simulated: bool, findings: Findings) -> Sheet | None:
    rows = cells.to_python(skip_empty_area=False)
    merged = cells.merged_cell_ranges or []
    found = table.find_header(rows[: table.FIRST_ROWS + 2], merged)
    if found is None:
        return None
    header_row, header = found
    place = Cell(file, cells.name)
    columns = []
    for j, values in enumerate(zip(*rows[header_row + 1 :], strict=True)):
        column, errors = _read_column(values)
        failed = [row for row, at in xml.errors if at == j and row > header_row]
        failed += [header_row + 1 + i for i in errors]
        if failed:
            table.warn_of_formula_errors(place, header[j], j, failed, findings)
        columns.append(column)
    sheet = table.build_sheet(file, cells.name, header, columns, header_row, findings, simulated)
    for (top, left), (bottom, _) in merged:
        sheet.merged_with_above.update((row, left) for row in range(top + 1, bottom + 1))
    _report_unseen(sheet, xml, merged, findings)
    return sheet


def _read_column(values: Iterable[Any]) -> tuple[pd.Series, list[int]]:
    """Return the cells of a column, and the positions of cells that hold the text of a formula's error.

    Numbers, and dates, get their own type; in other columns whole numbers are int and dates are datetime.
    """
    values = list(values)
    errors = [i for i, value in enumerate(values) if isinstance(value, str) and value in table.FORMULA_ERRORS]
    for i in errors:
        values[i] = ""
    values = [(value.strip() or None) if isinstance(value, str) else value for value in values]
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {int, float}:
        numbers = np.array(values, dtype=float)
        whole = bool(kinds) and bool(np.all((np.abs(numbers) < _EXACT) & (numbers % 1 == 0)))
        return pd.Series(numbers.astype("int64") if whole else numbers), errors
    values = [_plain(value) for value in values]
    if kinds <= {dt.date, dt.datetime}:
        return pd.Series(values, dtype="datetime64[us]"), errors
    return pd.Series(values, dtype=object), errors


def _plain(value: object) -> object:
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if type(value) is dt.date:
        return dt.datetime(value.year, value.month, value.day)
    return value


def _report_unseen(sheet: Sheet, xml: SheetXml, merged: Iterable[table.Range], findings: Findings) -> None:
    """Report what a user does not see on the screen, each kind once for a sheet."""
    records, names = set(sheet.rows.tolist()), sheet.header

    def cell(row: int, column: int | None = None) -> Cell:
        return Cell(sheet.file, sheet.name, row + 1, "" if column is None else column_letter(column))

    rows = [cell(row) for row in sorted(records.intersection(xml.hidden_rows))]
    if rows:
        shown = ", ".join(str(each.row) for each in rows[: table.SHOWN]) + (", ..." if len(rows) > table.SHOWN else "")
        message = f"{len(rows)} rows are hidden by a filter or by hand ({shown}); they are read"
        advice = "delete the rows that do not belong to the cohort"
        findings.add("warning", "hidden_rows", rows[0], f"{message}; {advice}", others=rows[1:])
    hidden = [j for j in xml.hidden_columns if j < len(names) and sheet.columns[j].notna().any()]
    if hidden:
        headers = ", ".join(f"{column_letter(j)} {names[j]!r}" for j in hidden[: table.SHOWN])
        message = f"{len(hidden)} columns are hidden ({headers}); they are read as the others; check them"
        others = [sheet.header_cell(j) for j in hidden[1:]]
        findings.add("warning", "hidden_columns", sheet.header_cell(hidden[0]), message, others=others)
    ranges = [
        (cell(top, left), cell(bottom, right))
        for (top, left), (bottom, right) in sorted(merged)
        if left < len(names) and records.intersection(range(top, bottom + 1))
    ]
    if ranges:
        shown = ", ".join(f"{first.column}{first.row}:{last.column}{last.row}" for first, last in ranges[: table.SHOWN])
        message = f"merged cells ({len(ranges)}): {shown}; only the first cell has the value. The others are empty, "
        message += "except that a patient id counts for all of them"
        others = [first for first, _ in ranges[1:]]
        advice = "unmerge them and fill every cell"
        findings.add("warning", "merged_cells", ranges[0][0], f"{message}; {advice}", others=others)
    missing: dict[int, list[Cell]] = {}
    for row, j in xml.uncalculated:
        if row > sheet.header_row and j < len(names) and names[j]:
            missing.setdefault(j, []).append(cell(row, j))
    for j, cells in missing.items():
        sheet.uncalculated[j] = len(cells)
        message = f"column {names[j]!r}: {table.count_cells(cells)} hold formulas without values"
        advice = "rule: every formula is calculated; open the file in Excel and save it"
        findings.add("error", "formula_not_calculated", cells[0], f"{message}; {advice}", others=cells[1:])
