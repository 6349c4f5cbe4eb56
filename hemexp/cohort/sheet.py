"""A worksheet as a table of cells with addresses, and what every table of the workbooks must keep to."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.cells import Records, is_blank
from hemexp.cohort.findings import Cell, Findings, column_letter


@dataclass
class Sheet:
    """A worksheet as it is in the file: objects, header row included."""

    file: str
    name: str
    cells: np.ndarray[Any, Any]

    @cached_property
    def header(self) -> list[str]:
        """The first row as stripped text, empty where a column has no header."""
        return ["" if pd.isna(cell) else str(cell).strip() for cell in self.cells[0]] if len(self.cells) else []

    @cached_property
    def filled(self) -> np.ndarray[Any, Any]:
        """Which cells hold anything."""
        return np.asarray(pd.notna(self.cells))

    def records(self, where: dict[str, int]) -> Records:
        """Return the named columns of every row below the header that is not blank from end to end."""
        rows = 1 + np.flatnonzero(self.filled[1:].any(axis=1))
        cells = pd.DataFrame(
            self.cells[np.ix_(rows, np.array(list(where.values())))], columns=list(where), dtype=object
        )
        return Records(self.file, self.name, cells, rows, dict(where))


def first_sheet(book: dict[str, Sheet]) -> Sheet:
    """Return the one sheet of a workbook that has one table."""
    return next(iter(book.values()))


def locate(sheet: Sheet, names: dict[str, str], findings: Findings) -> dict[str, int]:
    """Return where each header stands, under our name; a missing or doubled header is an error."""
    header, found = sheet.header, {}
    for text, name in names.items():
        places = [i for i, cell in enumerate(header) if cell == text]
        if len(places) == 1:
            found[name] = places[0]
        elif not places:
            findings.error("column_missing", Cell(sheet.file, sheet.name, 1), f"there is no column {text!r} in row 1")
        else:
            letters = ", ".join(map(column_letter, places))
            findings.error(
                "column_doubled", Cell(sheet.file, sheet.name, 1), f"column {text!r} stands twice: {letters}"
            )
    if len(found) < len(names):
        findings.stop_on_errors()
    return found


def identify(records: Records, findings: Findings) -> None:
    """Turn the patient ids into text; a blank or doubled one is an error."""
    ids = records.cells["patient_id"]
    records.cells["patient_id"] = ids.astype(str).str.strip().where(~is_blank(ids), "")
    first: dict[str, Cell] = {}
    for i, patient in enumerate(records.cells["patient_id"]):
        cell = records.where(i, "patient_id")
        if not patient:
            findings.error("patient_id_missing", cell, "rule: every row has a patient id")
        elif patient in first:
            findings.error(
                "duplicate_patient",
                cell,
                f"patient {patient} stands in row {first[patient].row} already",
                patient=patient,
            )
        first.setdefault(patient, cell)
    if len(records.cells) == 0:
        findings.error("empty_table", Cell(records.file, records.sheet), "holds no patients, only a header")


def unique_serials(records: Records, name: str, findings: Findings) -> None:
    """Check that no scan serial stands twice."""
    first: dict[str, Cell] = {}
    for i, serial in enumerate(records.cells[name]):
        if serial is None:
            continue
        if serial in first:
            message = f"scan serial {serial} stands in cell {first[serial].column}{first[serial].row} already"
            findings.error("duplicate_serial", records.where(i, name), message, value=serial)
        first.setdefault(serial, records.where(i, name))
