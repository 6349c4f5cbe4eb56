"""What is wrong, or worth knowing, about a cohort's files: one finding a cell."""

from dataclasses import astuple, dataclass, fields

import pandas as pd

from hemexp.errors import UserError


@dataclass(frozen=True)
class Cell:
    """Where something stands in a file, as a spreadsheet names it: the header is row 1, columns have letters."""

    file: str
    sheet: str = ""
    row: int | None = None
    column: str = ""

    def __str__(self) -> str:
        sheet = f", sheet {self.sheet}" if self.sheet else ""
        place = f", cell {self.column}{self.row}" if self.column and self.row else ""
        return f"{self.file}{sheet}{place or (f', row {self.row}' if self.row else '')}"


def column_letter(index: int) -> str:
    """Return the spreadsheet letter of a 0-based column: 0 → A, 26 → AA."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


ONE_CELL = frozenset({"not_a_number", "unknown_sex", "blood_pressure"})  # the rest can still be read


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
    """A cohort with errors; `findings` holds all that was found, warnings included."""

    def __init__(self, message: str, findings: "Findings") -> None:
        super().__init__(message)
        self.findings = findings


class Findings:
    """Collects findings while the files are read, so that one reading tells all of them."""

    def __init__(self) -> None:
        self.rows: list[Finding] = []
        self._wrong: set[tuple[object, ...]] = set()

    def warn(self, problem: str, cell: Cell, message: str, *, patient: object = "", value: object = "") -> None:
        """Note something that is handled as the message says."""
        self._add("warning", problem, cell, message, patient, value)

    def error(self, problem: str, cell: Cell, message: str, *, patient: object = "", value: object = "") -> None:
        """Note something that only the hospital can mend."""
        self._add("error", problem, cell, message, patient, value)

    def _add(self, severity: str, problem: str, cell: Cell, message: str, patient: object, value: object) -> None:
        place = (cell.file, cell.sheet, cell.row, cell.column)
        if cell.column and place in self._wrong:
            return  # one error a cell is enough: what else is wrong with it follows from that
        if severity == "error":
            self._wrong.add(place)
        self.rows.append(Finding(severity, problem, *place, str(patient), str(value), message))

    def frame(self) -> pd.DataFrame:
        """Return the table of quality.csv, errors first."""
        names = [field.name for field in fields(Finding)]
        rows = sorted(self.rows, key=lambda finding: finding.severity != "error")
        table = pd.DataFrame([astuple(finding) for finding in rows], columns=names)
        return table.astype({"row": "Int64"})

    def counts(self) -> dict[str, int]:
        """Return how many findings there are of each problem, in alphabetical order."""
        problems = [finding.problem for finding in self.rows]
        return {problem: problems.count(problem) for problem in sorted(set(problems))}

    def stop_on_errors(self, but: frozenset[str] = frozenset()) -> None:
        """End here if anything was an error.

        Args:
            but: problems that can wait until more is read, so that one reading tells all.

        Raises:
            CohortError: names the first ten errors.
        """
        errors = [finding for finding in self.rows if finding.severity == "error"]
        if not {finding.problem for finding in errors} - but:
            return
        lines = [f"{Cell(e.file, e.sheet, e.row, e.column)}: {e.message}" for e in errors[:10]]
        if len(errors) > 10:
            lines.append(f"... and {len(errors) - 10} more; prepare.py writes all of them to quality.csv")
        raise CohortError("\n  ".join([f"{len(errors)} error(s) in the cohort's files:", *lines]), self)
