"""Data-quality findings: each names a cell of a file and says what is wrong or worth knowing (quality.csv)."""

from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from typing import NoReturn, SupportsIndex

import pandas as pd
from xlsxwriter.utility import xl_col_to_name

from hemexp.errors import UserError


@dataclass(frozen=True)
class Cell:
    """The address of a cell, as a spreadsheet shows it: the header is row 1 and columns have letters."""

    file: str
    sheet: str = ""
    row: int | None = None
    column: str = ""

    def __str__(self) -> str:
        sheet = f", sheet {self.sheet}" if self.sheet else ""
        if not self.row:
            return f"{self.file}{sheet}"
        return f"{self.file}{sheet}, {f'cell {self.column}' if self.column else 'row '}{self.row}"


CellLocator = Callable[[int, str], Cell]  # (record, column name) → the cell that the value was read from


def column_letter(index: int) -> str:
    """Return the spreadsheet letter of a 0-based column: 0 → A, 26 → AA."""
    return str(xl_col_to_name(index))


SINGLE_CELL_PROBLEMS = frozenset({"not_a_number", "unknown_sex", "blood_pressure"})  # other cells can still be read


@dataclass(frozen=True)
class Finding:
    """A row of quality.csv."""

    severity: str
    problem: str
    file: str
    sheet: str
    row: int | None
    column: str
    patient_id: str
    value: str
    message: str


class CohortError(UserError):
    """The error raised for a cohort with errors; `findings` holds all errors and warnings."""

    def __init__(self, message: str, findings: "Findings") -> None:
        super().__init__(message)
        self.findings = findings


class Findings:
    """Collect findings while the files are read, so that the user sees all of them at once."""

    def __init__(self) -> None:
        self.rows: list[Finding] = []
        self._cells_with_errors: set[tuple[object, ...]] = set()

    def warn(self, problem: str, cell: Cell, message: str, *, patient: object = "", value: object = "") -> None:
        """Add something that hemexp handles as the message says."""
        self._add("warning", problem, cell, message, patient, value)

    def error(self, problem: str, cell: Cell, message: str, *, patient: object = "", value: object = "") -> None:
        """Add something that only the owner of the file can correct."""
        self._add("error", problem, cell, message, patient, value)

    def fail(self, problem: str, cell: Cell, message: str) -> NoReturn:
        """Add an error that ends the reading of a file.

        Raises:
            CohortError: lists the first ten errors.
        """
        self.error(problem, cell, message)
        self.stop_on_errors()
        raise AssertionError("an error was added")

    def _add(self, severity: str, problem: str, cell: Cell, message: str, patient: object, value: object) -> None:
        address = (cell.file, cell.sheet, cell.row, cell.column)
        if cell.column and address in self._cells_with_errors:
            return  # one error for a cell is enough: further problems follow from it
        if severity == "error":
            self._cells_with_errors.add(address)
        self.rows.append(Finding(severity, problem, *address, str(patient), str(value), message))

    def frame(self) -> pd.DataFrame:
        """Return the table of quality.csv, errors first."""
        names = [field.name for field in fields(Finding)]
        rows = sorted(self.rows, key=lambda finding: finding.severity != "error")
        table = pd.DataFrame([astuple(finding) for finding in rows], columns=names)
        return table.astype({"row": "Int64"})

    def counts(self) -> dict[str, int]:
        """Return the number of findings of each problem, in alphabetical order."""
        problems = [finding.problem for finding in self.rows]
        return {problem: problems.count(problem) for problem in sorted(set(problems))}

    def stop_on_errors(self, deferred: frozenset[str] = frozenset()) -> None:
        """Raise an exception if any finding is an error.

        Args:
            deferred: problems that alone do not stop the reading yet, so that later errors are reported with them.

        Raises:
            CohortError: lists the first ten errors.
        """
        errors = [finding for finding in self.rows if finding.severity == "error"]
        if not {finding.problem for finding in errors} - deferred:
            return
        lines = [f"{Cell(e.file, e.sheet, e.row, e.column)}: {e.message}" for e in errors[:10]]
        if len(errors) > 10:
            lines.append(f"... and {len(errors) - 10} more; prepare.py writes all of them to quality.csv")
        raise CohortError("\n  ".join([f"{len(errors)} error(s) in the cohort's files:", *lines]), self)


@dataclass(frozen=True)
class RecordFindings:
    """Add findings about the records of one table, each with its cell and its patient.

    Attributes:
        patients: the patient id of each record, by the table's row label.
        locate: from a record and a column name to the cell.
        findings: the collection that receives them.
    """

    patients: pd.Series
    locate: CellLocator
    findings: Findings

    def warn(self, problem: str, record: SupportsIndex, column: str, message: str, value: object = "") -> None:
        """Add something that hemexp handles as the message says."""
        cell = self.locate(int(record), column)
        self.findings.warn(problem, cell, message, patient=self.patients[int(record)], value=value)

    def error(self, problem: str, record: SupportsIndex, column: str, message: str, value: object = "") -> None:
        """Add something that only the owner of the file can correct."""
        cell = self.locate(int(record), column)
        self.findings.error(problem, cell, message, patient=self.patients[int(record)], value=value)
