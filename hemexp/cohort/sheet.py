"""A worksheet as a table of cells with addresses; checks of its header, patient ids and scan serials."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.cells import Records, texts
from hemexp.cohort.findings import Cell, Findings, RecordFindings, column_letter


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


def find_columns(
    sheet: Sheet, names: dict[str, str], findings: Findings, rule: str = "row 1 has this header"
) -> dict[str, int]:
    """Find the column of each header; a header that is missing or occurs twice is an error.

    Args:
        sheet: the worksheet.
        names: our column name for each header text.
        findings: collects the errors.
        rule: for the message about a missing column.

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
        problem, message = "column_missing", f"there is no column {text!r}; rule: {rule}; add it"
        if columns:
            problem, letters = "column_doubled", ", ".join(map(column_letter, columns))
            message = f"column {text!r} occurs twice: {letters}; rule: once; remove or rename one"
        findings.error(problem, Cell(sheet.file, sheet.name, 1), message)
    if len(found) < len(names):
        findings.stop_on_errors()
    return found


def read_patient_ids(records: Records, findings: Findings) -> RecordFindings:
    """Convert the patient ids to text; an id that is blank is an error.

    Returns:
        The findings about these records, each with its patient.
    """
    ids = texts(records.cells["patient_id"]).fillna("")
    records.cells["patient_id"] = ids
    record_findings = RecordFindings(ids, records.locate, findings)
    for i in np.flatnonzero(ids == ""):
        message = "the patient id is empty; rule: every row has a patient id; enter it"
        record_findings.error("patient_id_missing", i, "patient_id", message)
    return record_findings


def read_patients(records: Records, findings: Findings) -> RecordFindings:
    """Convert the patient ids of a table with a row a patient; an id that is blank or occurs twice is an error.

    Returns:
        The findings about these records, each with its patient.
    """
    record_findings, ids = read_patient_ids(records, findings), records.cells["patient_id"]
    for i in np.flatnonzero(ids.duplicated() & (ids != "")):
        row = records.row[ids.eq(ids[i]).argmax()] + 1
        message = f"patient {ids[i]} is also in row {row}; rule: one row a patient; remove one"
        record_findings.error("duplicate_patient", i, "patient_id", message)
    if ids.empty:
        message = "there are no rows below the header; rule: at least one patient; add the patients"
        findings.error("empty_table", Cell(records.file, records.sheet), message)
    return record_findings


def check_unique_serials(records: Records, findings: Findings) -> None:
    """Check that every scan serial occurs once."""
    serials = records.cells["scan_serial"]
    for i in np.flatnonzero(serials.duplicated() & serials.notna()):
        first = records.locate(int(serials.eq(serials[i]).argmax()), "scan_serial")
        message = f"scan serial {serials[i]} is also in cell {first.column}{first.row}; rule: every serial occurs once"
        cell = records.locate(int(i), "scan_serial")
        findings.error("duplicate_serial", cell, f"{message}; correct one of them", value=serials[i])
