"""A worksheet as a table of cells with addresses; checks of its header, patient ids and scan serials."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.cells import Records, is_blank
from hemexp.cohort.findings import Cell, Findings, column_letter


@dataclass
class Sheet:
    """The cells of a worksheet as the file holds them, with the header row."""

    file: str
    name: str
    cells: np.ndarray[Any, Any]

    @cached_property
    def header(self) -> list[str]:
        """The first row as text without outer spaces; empty where a column has no header."""
        return ["" if pd.isna(cell) else str(cell).strip() for cell in self.cells[0]] if len(self.cells) else []

    @cached_property
    def filled(self) -> np.ndarray[Any, Any]:
        """True for every cell that is not empty."""
        return np.asarray(pd.notna(self.cells))

    def records(self, columns: dict[str, int]) -> Records:
        """Return the named columns of every row below the header that is not completely blank."""
        rows = 1 + np.flatnonzero(self.filled[1:].any(axis=1))
        values = self.cells[np.ix_(rows, np.array(list(columns.values())))]
        cells = pd.DataFrame(values, columns=list(columns), dtype=object)
        return Records(self.file, self.name, cells, rows, dict(columns))


def first_sheet(book: dict[str, Sheet]) -> Sheet:
    """Return the first sheet of a workbook."""
    return next(iter(book.values()))


def find_columns(sheet: Sheet, names: dict[str, str], findings: Findings) -> dict[str, int]:
    """Find the column of each header; a header that is missing or occurs twice is an error.

    Args:
        sheet: the worksheet.
        names: our column name for each header text.
        findings: collects the errors.

    Returns:
        The 0-based column of each of our names.

    Raises:
        CohortError: a header is missing or occurs twice.
    """
    header, found = sheet.header, {}
    for text, name in names.items():
        columns = [i for i, cell in enumerate(header) if cell == text]
        if len(columns) == 1:
            found[name] = columns[0]
            continue
        problem, message = "column_missing", f"there is no column {text!r}; rule: row 1 has this header; add it"
        if columns:
            letters = ", ".join(map(column_letter, columns))
            problem, message = "column_doubled", f"column {text!r} occurs twice: {letters}; remove or rename one"
        findings.error(problem, Cell(sheet.file, sheet.name, 1), message)
    if len(found) < len(names):
        findings.stop_on_errors()
    return found


def read_patient_ids(records: Records, findings: Findings) -> None:
    """Convert the patient ids to text; an id that is blank or occurs twice is an error."""
    ids = records.cells["patient_id"]
    records.cells["patient_id"] = ids.astype(str).str.strip().where(~is_blank(ids), "")
    first_row: dict[str, int | None] = {}
    for i, patient in enumerate(records.cells["patient_id"]):
        cell = records.locate(i, "patient_id")
        if not patient:
            message = "the patient id is empty; rule: every row has a patient id; enter it"
            findings.error("patient_id_missing", cell, message)
        elif patient in first_row:
            message = f"patient {patient} is also in row {first_row[patient]}; rule: one row a patient; remove one"
            findings.error("duplicate_patient", cell, message, patient=patient)
        first_row.setdefault(patient, cell.row)
    if records.cells.empty:
        message = "there are no rows below the header; rule: at least one patient; add the patients"
        findings.error("empty_table", Cell(records.file, records.sheet), message)


def check_unique_serials(records: Records, findings: Findings) -> None:
    """Check that every scan serial occurs once."""
    first: dict[str, Cell] = {}
    for i, serial in enumerate(records.cells["scan_serial"]):
        if serial is None:
            continue
        cell = records.locate(i, "scan_serial")
        if serial in first:
            other = f"{first[serial].column}{first[serial].row}"
            message = (
                f"scan serial {serial} is also in cell {other}; rule: every serial occurs once; correct one of them"
            )
            findings.error("duplicate_serial", cell, message, value=serial)
        first.setdefault(serial, cell)
