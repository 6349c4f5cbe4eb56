"""Decide which rows of a table are about which patient: ids, notes, totals, repeated rows and events."""

import datetime as dt
import re
from dataclasses import replace

import numpy as np
import pandas as pd

from hemexp.cohort import cells
from hemexp.cohort import columns as c
from hemexp.cohort.findings import Cell, Findings, RecordFindings
from hemexp.cohort.mapping.mapping import INPUT, UNUSED, TableMapping
from hemexp.cohort.tables.sheet import Sheet
from hemexp.cohort.tables.table import header_text
from hemexp.formatting import plural
from hemexp.types import Array

_TELLS_SCANS_APART = {"scan_time", "scan_date", "scan_serial", "hours_from_onset", "hours_from_first_scan"}
_TOTALS = re.compile(
    r"(?:(?:grand|sub|overall)[ -]?)?(?:totals?|sum|mean|average|median|sd|std|st(?:d|andard)\.? ?dev(?:iation|\.)?|"
    r"min|max|minimum|maximum|count|iqr|range|variance|overall|n|合计|总计|小计|总数|平均|平均值|标准差|中位数|最大值|"
    r"最小值|summe|gesamt|mittelwert|moyenne|media|promedio|totale|mittel|mittelwerte|均值|平均数|suma|somma)"
    r"\s*(?:[(:=±].*)?",
    re.IGNORECASE,
)
_SURNAMES = re.compile(r"n|sum|min|max|sd|mean|median|media|somma|count|range", re.IGNORECASE)  # a person's, perhaps
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
_NO_ID = (
    "the patient id is empty; rule: every row has a patient id; enter it, also in the rows of a patient's later scans"
)


def read_ids(sheet: Sheet, mapping: TableMapping, findings: Findings) -> pd.Series | None:
    """Return the patient id of each record, empty where it is missing; None if the table has no ids."""
    for position, column in enumerate(mapping.columns):
        if column.means == "patient_id":
            blank = pd.Series("", index=range(sheet.num_records))

            def locate(row: int, _: str, position: int = position) -> Cell:
                return sheet.cell(row, position)

            record_findings = RecordFindings(blank, locate, findings)
            ids = cells.ids(sheet.columns[position].rename("patient_id"), record_findings)
            ids = _fill_ids(ids, sheet, mapping, position, record_findings)
            _warn_of_formulas(ids, record_findings)
            rows = np.flatnonzero((ids == "") & ~_find_totals(ids, sheet))
            record_findings.each("error", "patient_id_missing", rows, "patient_id", lambda row: _NO_ID)
            if not column.column:
                cell = sheet.header_cell(position)
                findings.warn("header_missing", cell, "the first column has no header; it is read as the patient id")
            return ids
    return None


def _warn_of_formulas(ids: pd.Series, findings: RecordFindings) -> None:
    """Warn of ids that a spreadsheet program would take for formulas: they stay as they are, in our files, too."""
    rows = np.flatnonzero(ids.str.startswith(_FORMULA_SIGNS))
    if len(rows):
        message = (
            f"{plural(len(rows), 'patient id')}, such as {ids[rows[0]]!r}, begin with = + - or @; they stay unchanged. "
            "A spreadsheet program may take them for formulas: import the tables of hemexp with this column as text"
        )
        places = [findings.locate(int(row), "patient_id") for row in rows]
        findings.findings.add("warning", "id_like_formula", places[0], message, value=ids[rows[0]], others=places[1:])


def find_patient_rows(ids: pd.Series, sheet: Sheet, mapping: TableMapping, findings: Findings) -> Array:
    """Return which rows are about a patient, after a warning of totals, notes and rows that repeat another one."""
    totals = _find_totals(ids, sheet)
    for record in np.flatnonzero(totals):
        begin = f"begins with {ids[record]!r}" if ids[record] else "has no patient id and holds a word such as Total"
        message = f"the row {begin}; it is taken for a totals row and not read"
        findings.warn("totals_row", sheet.cell(int(record), None), message, value=ids[record])
    id_position = next(i for i, column in enumerate(mapping.columns) if column.means == "patient_id")
    others = [column for i, column in enumerate(sheet.columns) if i != id_position]
    notes = np.array(ids != "")
    for column in others:
        notes &= column.isna().to_numpy()
    for record in np.flatnonzero(notes & ~totals):
        message = f"the row holds nothing beside {ids[record]!r}; it is taken for a note and not read"
        findings.warn("note_row", sheet.cell(int(record), None), message, value=ids[record])
    headers = _find_headers(ids, sheet, findings)
    keep: Array = ~totals & ~notes & ~headers
    keys = [sheet.columns[i] for i, column in enumerate(mapping.columns) if column.means in _TELLS_SCANS_APART]
    if mapping.rows == "scan" and (keys or not any(column.means in c.VOLUMES for column in mapping.columns)):
        again = np.flatnonzero(pd.concat([ids, *keys], axis=1).duplicated(keep=False).to_numpy() & keep)
        table = pd.concat([ids, *others], axis=1).iloc[again].astype(str)
        rows = again[table.duplicated().to_numpy()]
        if len(rows):
            message = f"{plural(len(rows), 'row')} repeat another row in every cell; they are not read"
            places = [sheet.cell(int(row), None) for row in rows]
            findings.add("warning", "repeated_row", places[0], message, others=places[1:])
        keep[rows] = False
    return keep


def merge_rows(sheet: Sheet, mapping: TableMapping, findings: Findings) -> Sheet:
    """Join the rows of a patient, such as the events of a registry, where scans side by side are in several rows.

    Rows that hold different values in a column stay as they are: the checks name them.
    """
    ids = [i for i, column in enumerate(mapping.columns) if column.means == "patient_id"]
    if not ids or not any(column.scan for column in mapping.columns):
        return sheet
    patients = sheet.columns[ids[0]]
    others = {UNUSED, INPUT, "patient_id", "event_name", "scan_number"}
    used = [i for i, column in enumerate(mapping.columns) if column.means not in others]
    if not patients.duplicated().any() or patients.isna().any():
        return sheet
    groups = [sheet.columns[i].groupby(patients, sort=False) for i in used]
    if any(group.nunique().max() > 1 for group in groups):
        return sheet
    first = np.flatnonzero(~patients.duplicated())
    cell_rows = {}
    columns = []
    for i, column in enumerate(sheet.columns):
        filled = pd.Series(np.arange(len(column))).where(column.notna()).groupby(patients, sort=False).first()
        at = filled.fillna(pd.Series(first, index=filled.index)).to_numpy(dtype=int)
        columns.append(column.iloc[at].reset_index(drop=True))
        cell_rows[i] = sheet.rows[at]
    message = f"the rows of a patient hold different columns; {len(patients)} rows become {len(first)}, one a patient"
    findings.warn("rows_joined", sheet.place, message)
    return replace(sheet, columns=columns, rows=sheet.rows[first], cell_rows=cell_rows)


def _find_totals(ids: pd.Series, sheet: Sheet) -> Array:
    """Return which rows hold totals: by their id, or by another cell where they have none."""
    totals = ids.isin(list(filter(_TOTALS.fullmatch, ids.unique()))).to_numpy(copy=True)
    for row in np.flatnonzero(totals & ids.str.fullmatch(_SURNAMES).to_numpy()):  # if there is a date or a word like M
        cells_of_row = [(column[row], column) for column in sheet.columns]
        totals[row] = not any(
            isinstance(cell, dt.datetime) or (isinstance(cell, str) and cell.isalpha() and (column == cell).sum() > 1)
            for cell, column in cells_of_row
        )
    for row in np.flatnonzero(ids == ""):
        texts = (column[row] for column in sheet.columns)
        totals[row] = any(isinstance(text, str) and _TOTALS.fullmatch(text.strip()) for text in texts)
    return np.asarray(totals)


def _find_headers(ids: pd.Series, sheet: Sheet, findings: Findings) -> Array:
    """Return which rows repeat the headers, as where two exports were joined; headers that differ are an error."""
    headers = np.zeros(len(ids), dtype=bool)
    for row in np.flatnonzero(ids.isin(sheet.header)):
        cells_of_row = [header_text(column[row]) if not pd.isna(column[row]) else "" for column in sheet.columns]
        known = sum(cell in sheet.header for cell in cells_of_row if cell)
        if 2 * known <= sum(map(bool, cells_of_row)):
            continue
        headers[row] = True
        differs = [j for j, cell in enumerate(cells_of_row) if cell and cell != sheet.header[j]]
        if differs:
            position = differs[0]
            message = (
                f"the row holds headers again, {cells_of_row[position]!r} here where the table has "
                f"{sheet.header[position]!r}; rule: one header and one unit a column; move the rows below it to "
                "another file or sheet, or bring their columns into the order and the units of the table"
            )
            findings.error("other_header", sheet.cell(int(row), position), message, value=cells_of_row[position])
        else:
            message = "the row repeats the headers of the table; it is not read"
            findings.warn("repeated_header", sheet.cell(int(row), None), message, value=ids[row])
    return headers


def _fill_ids(
    ids: pd.Series, sheet: Sheet, mapping: TableMapping, position: int, findings: RecordFindings
) -> pd.Series:
    """Give a row without an id the id above it, where the table shows that it is a further scan of the same patient.

    It shows so by merged cells, by a column of the patients that has values in exactly the rows with an id, or by scan
    numbers that begin again in exactly these rows.
    """
    blank = (ids == "").to_numpy()
    if mapping.rows != "scan" or not blank.any() or blank[0]:
        return ids
    continues = np.array([(int(row), position) in sheet.merged_with_above for row in sheet.rows]) & blank
    for column, values in zip(mapping.columns, sheet.columns, strict=True):
        known = c.known_columns().get(column.means)
        if known is None or known.name == "patient_id":
            continue
        filled = ~cells.is_blank(values).to_numpy()
        if known.of == "patient" and (filled == ~blank).all():
            continues |= blank
        is_count = known.name in {"scan_number", "scan_index"} and pd.api.types.is_numeric_dtype(values)
        if is_count and ((values == values.min()).to_numpy() == ~blank).all():
            continues |= blank
    rows = np.flatnonzero(continues)
    if len(rows):
        message = f"{len(rows)} rows have no patient id; each is read as a further scan of the patient above"
        places = [sheet.cell(int(row), position) for row in rows]
        findings.findings.add("warning", "ids_filled", places[0], message, value=len(rows), others=places[1:])
    return ids.mask(pd.Series(continues, index=ids.index)).ffill()
