"""Convert a spreadsheet's cells to numbers, scan serials and times; a cell that cannot be converted is a finding."""

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.findings import Cell, RecordFindings, column_letter

_NUMBER_DTYPES = {"integer", "floating", "mixed-integer-float", "empty"}
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"  # as float() reads it, without underscores, nan and inf
_LARGEST = 1e15  # far above every value of these tables
_TIME = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}[ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"  # the year first, no time zone


@dataclass
class Records:
    """Named columns of one sheet; a record is a row of `cells`.

    Attributes:
        cells: objects as the file holds them, with row labels 0 ... n-1.
        row: the 0-based sheet row of each record.
        column: the 0-based sheet column of each name: one for all records, or one for each record.
    """

    file: str
    sheet: str
    cells: pd.DataFrame
    row: np.ndarray[Any, Any]
    column: dict[str, int | np.ndarray[Any, Any]]

    def locate(self, record: int, name: str) -> Cell:
        """Return the cell of a record and a column; where the name is not a column, only its row."""
        column = self.column.get(name)
        if isinstance(column, np.ndarray):
            column = int(column[record])
        letter = "" if column is None else column_letter(column)
        return Cell(self.file, self.sheet, int(self.row[record]) + 1, letter)


def is_blank(cells: pd.Series) -> pd.Series:
    """Return which cells are empty or contain only white space."""
    white_space = cells.map(lambda value: isinstance(value, str) and not value.strip())
    return cells.isna() | white_space.astype(bool)


def texts(cells: pd.Series) -> pd.Series:
    """Return a column as text without outer spaces, empty cells as None."""
    return cells.map(lambda value: str(value).strip() if pd.notna(value) else None).astype(object)


def numbers(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return a column as float64, blank cells as NaN; a cell that is not a finite number is an error."""
    if pd.api.types.infer_dtype(cells, skipna=True) in _NUMBER_DTYPES:
        values = cells.astype("float64")
    else:
        values = cells.map(_number).astype("float64")
    values = values.where(values.abs() < _LARGEST)
    rule = "a number, or an empty cell; correct the cell or clear it"
    _report_unconverted(cells, values, "not_a_number", rule, findings)
    return values


def _number(value: object) -> float:
    """Return a cell's number, or NaN; dates, durations and booleans do not count, though pandas converts some."""
    if isinstance(value, str):
        return float(value) if re.fullmatch(_NUMBER, value.strip(), flags=re.ASCII) else math.nan
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return float(value)
    return math.nan


def _report_unconverted(cells: pd.Series, values: pd.Series, problem: str, rule: str, findings: RecordFindings) -> None:
    """Add an error for every cell that holds something but has no value."""
    name = str(cells.name)
    for record in np.flatnonzero(values.isna() & ~is_blank(cells)):
        text = str(cells.iloc[record])[:40]
        findings.error(problem, record, name, f"{name} is {text!r}; rule: {rule}", text)


def serials(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return scan serials as text, blank cells as None; a serial that lost digits in a spreadsheet is an error."""
    name = str(cells.name)
    converted = [_serial(value) for value in cells]
    for record in np.flatnonzero(~is_blank(cells)):
        value, text = cells.iloc[record], converted[record]
        if text is None:
            rule = "all digits of the serial, as text or a whole number; enter it as text"
            findings.error("serial_unreadable", record, name, f"{name} is {value!r}; rule: {rule}", value)
        elif not re.fullmatch(r"\d{14}", text):
            message = f"{name} is {text}; rule: 14 digits, as in the published files; used unchanged"
            findings.warn("serial_format", record, name, message, text)
    return pd.Series(converted, index=cells.index, dtype=object, name=name)


def _serial(value: object) -> str | None:
    """Return a serial's text, or None where the cell is blank or a spreadsheet has rounded it or changed its type."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        exact = math.isfinite(value) and float(value).is_integer() and abs(value) < 2**53
        return str(int(value)) if exact else None
    if not isinstance(value, str):
        return None
    text = re.sub(r"^(\d+)\.0+$", r"\1", value.strip())
    is_number = re.fullmatch(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?", text) and not text.isdigit()
    return None if is_number or not text else text


def times(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return a column as datetime64, blank cells as NaT; a cell that is not a date with a time is an error."""
    values = pd.to_datetime(cells.map(_time), errors="coerce", format="mixed").astype("datetime64[us]")
    values = values.where(values.dt.year.between(1970, 2100))  # a spreadsheet shows 0 as 1900
    rule = "a date and a time, year first, without time zone, such as 2031-05-04 13:20:00; correct the cell"
    _report_unconverted(cells, values, "not_a_time", rule, findings)
    return values


def _time(value: object) -> object:
    if isinstance(value, str):
        return value.strip() if re.fullmatch(_TIME, value.strip()) else None
    return value if isinstance(value, dt.datetime) and value.tzinfo is None else None
