"""Data-quality findings: each names a cell of a file and says what is wrong or worth knowing (quality.csv)."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, fields
from itertools import repeat
from typing import TYPE_CHECKING, NoReturn, SupportsIndex

import pandas as pd
from xlsxwriter.utility import xl_col_to_name

from hemexp.errors import UserError
from hemexp.formatting import program


@dataclass(frozen=True)
class Cell:
    """The address of a cell, as a spreadsheet shows it: the header is row 1 and columns have letters."""

    file: str
    sheet: str = ""
    row: int | None = None
    column: str = ""

    def __str__(self) -> str:
        text = show_controls(f"{self.file}, sheet {self.sheet}" if self.sheet else self.file)
        return f"{text}, {f'cell {self.column}' if self.column else 'row '}{self.row}" if self.row else text


def show_controls(text: str) -> str:
    r"""Return a text with its control characters as in Python, such as ``\x1b``: a terminal would obey them."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text)


if TYPE_CHECKING:
    from hemexp.cohort.mapping.mapping import Mapping

CellLocator = Callable[[int, str], Cell]  # (record, column name) → the cell that the value was read from


def column_letter(index: int) -> str:
    """Return the spreadsheet letter of a 0-based column: 0 → A, 26 → AA."""
    return str(xl_col_to_name(index))


SINGLE_CELL_PROBLEMS = frozenset({"not_a_number", "unknown_sex", "blood_pressure"})  # other cells can still be read


MOST_SINGLE = 3  # more cells of a column with the same problem are one finding
MOST_SHOWN = 5  # cells or values in the message of such a finding


@dataclass(frozen=True)
class Finding:
    """A row of quality.csv: one cell, or the first of `count` cells with the same problem in the same column."""

    severity: str
    problem: str
    file: str
    sheet: str
    row: int | None
    column: str
    patient_id: str
    value: str
    message: str
    count: int = 1


class CohortError(UserError):
    """The error raised for a cohort with errors.

    Attributes:
        findings: all errors and warnings.
        mapping: which column holds what, where that was found out before the error.
    """

    mapping: "Mapping | None" = None

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
        self.add("warning", problem, cell, message, patient, value)

    def error(self, problem: str, cell: Cell, message: str, *, patient: object = "", value: object = "") -> None:
        """Add something that only the owner of the file can correct."""
        self.add("error", problem, cell, message, patient, value)

    def fail(self, problem: str, cell: Cell, message: str) -> NoReturn:
        """Add an error that ends the reading of a file.

        Raises:
            CohortError: lists the first ten errors.
        """
        self.error(problem, cell, message)
        self.stop_on_errors()
        raise AssertionError("an error was added")

    @property
    def has_errors(self) -> bool:
        """Whether any cell has an error."""
        return bool(self._cells_with_errors)

    def has_error(self, cell: Cell) -> bool:
        """Return whether the cell already has an error; further problems follow from it and are not added."""
        return bool(cell.column) and (cell.file, cell.sheet, cell.row, cell.column) in self._cells_with_errors

    def add(
        self,
        severity: str,
        problem: str,
        cell: Cell,
        message: str,
        patient: object = "",
        value: object = "",
        others: Iterable[Cell] | None = None,
    ) -> None:
        """Add a finding of the severity ``error`` or ``warning``; `others` are further cells that it is about."""
        if self.has_error(cell):
            return
        cells = [cell, *(others or ())]
        if severity == "error":
            self._cells_with_errors.update((each.file, each.sheet, each.row, each.column) for each in cells)
        address = (show_controls(cell.file), show_controls(cell.sheet), cell.row, cell.column)
        text = show_controls(message)
        self.rows.append(Finding(severity, problem, *address, str(patient), str(value), text, len(cells)))

    def frame(self) -> pd.DataFrame:
        """Return the table of quality.csv, errors first."""
        names = [field.name for field in fields(Finding)]
        rows = sorted(self.rows, key=lambda finding: finding.severity != "error")
        table = pd.DataFrame([astuple(finding) for finding in rows], columns=names)
        return table.astype({"row": "Int64"})

    def counts(self) -> dict[str, int]:
        """Return the number of cells with each problem, in alphabetical order."""
        cells: Counter[str] = Counter()
        for finding in self.rows:
            cells[finding.problem] += finding.count
        return dict(sorted(cells.items()))

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
            lines.append(f"... and {len(errors) - 10} more; {program('prepare')} writes all of them to quality.csv")
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

    def once(
        self,
        severity: str,
        problem: str,
        records: Iterable[SupportsIndex],
        column: str,
        message: str,
        value: object = "",
    ) -> None:
        """Add one finding about all of these records, if there are any, at the cell of the first."""
        rows = [int(record) for record in records]
        if rows:
            cell = self.locate(rows[0], column)
            others = repeat(cell, len(rows) - 1)
            self.findings.add(severity, problem, cell, message, self.patients[rows[0]], value, others)

    def each(
        self,
        severity: str,
        problem: str,
        records: Iterable[SupportsIndex],
        column: str,
        message: Callable[[int], str],
        value: Callable[[int], object] = lambda record: "",
        summary: str = "",
    ) -> None:
        """Add a finding for each of a few records, or one for all of them where there are many.

        Args:
            severity: ``error`` or ``warning``.
            problem: a short code.
            records: of the table.
            column: name of the column.
            message: the message of one record.
            value: the value of one record, for quality.csv.
            summary: what is wrong and the rule, for all records together; by default the message of the first one.
        """
        rows = [int(record) for record in records]
        if self.findings.has_errors:
            rows = [row for row in rows if not self.findings.has_error(self.locate(row, column))]
        if len(rows) <= MOST_SINGLE:
            for row in rows:
                cell = self.locate(row, column)
                self.findings.add(severity, problem, cell, message(row), self.patients[row], value(row))
            return
        first = [self.locate(row, column) for row in rows[:MOST_SHOWN]]
        places = ", ".join([f"{cell.column}{cell.row}" for cell in first] + ["..."] * (len(rows) > MOST_SHOWN))
        text = f"{len(rows)} cells ({places}): {summary or message(rows[0])}"
        # only errors need the place of every cell: other findings about it are then left out
        others = (
            (self.locate(row, column) for row in rows[1:]) if severity == "error" else repeat(first[0], len(rows) - 1)
        )
        self.findings.add(severity, problem, first[0], text, self.patients[rows[0]], value(rows[0]), others)


def count_values(values: "pd.Series") -> str:
    """Return the most frequent values with their counts, such as ``'M' (270), 'F' (191)``."""
    texts = values.map(lambda value: f"{value:g}" if isinstance(value, float) else str(value))
    counts = texts.astype(str).str.slice(0, 40).value_counts()
    shown = [f"{value!r} ({count})" for value, count in counts.head(MOST_SHOWN).items()]
    return ", ".join(shown) + (f" and {len(counts) - MOST_SHOWN} more" if len(counts) > MOST_SHOWN else "")
