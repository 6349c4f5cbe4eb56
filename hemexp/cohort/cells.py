"""Cells to values: numbers, serials and times out of whatever a spreadsheet holds, each failure with its cell."""

import datetime as dt
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.findings import Cell, Findings, column_letter

_PLAIN = {"integer", "floating", "mixed-integer-float", "empty"}
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"  # what float() takes but no underscores, nan or inf
_LARGEST = 1e15  # nothing that is measured here comes near it
_TIME = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}[ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"  # the year first, no time zone

Where = Callable[[int, str], Cell]  # (record, column name) → cell


@dataclass
class Records:
    """Named columns of one sheet, a record a row.

    Attributes:
        cells: objects as the file holds them, index 0 ... n-1.
        row: the 0-based sheet row of each record.
        column: the 0-based sheet column of each name, one for all records or one a record.
    """

    file: str
    sheet: str
    cells: pd.DataFrame
    row: np.ndarray[Any, Any]
    column: dict[str, int | np.ndarray[Any, Any]]

    def where(self, record: int, name: str) -> Cell:
        """Return the cell of a record's column; a name that is no column gives the row."""
        column = self.column.get(name)
        if isinstance(column, np.ndarray):
            column = int(column[record])
        letter = "" if column is None else column_letter(column)
        return Cell(self.file, self.sheet, int(self.row[record]) + 1, letter)


def is_blank(cells: pd.Series) -> pd.Series:
    """Return which cells are empty or hold white space alone."""
    blank = cells.isna()
    texts = cells.map(lambda value: isinstance(value, str) and not value.strip())
    return blank | texts.astype(bool)


def numbers(cells: pd.Series, patients: pd.Series, where: Where, findings: Findings) -> pd.Series:
    """Return a column as float64, blank cells as NaN; a cell that is no finite number is an error."""
    if pd.api.types.infer_dtype(cells, skipna=True) in _PLAIN:
        values = cells.astype("float64")
    else:
        values = cells.map(_number).astype("float64")
    values = values.where(values.abs() < _LARGEST)
    unread = values.isna() & ~is_blank(cells)
    _report(cells, unread, "not_a_number", "a number, or an empty cell", patients, where, findings)
    return values


def _number(value: object) -> float:
    """Return a cell's number; dates, durations and booleans are none, though pandas would make some of them."""
    if isinstance(value, str):
        return float(value) if re.fullmatch(_NUMBER, value.strip(), flags=re.ASCII) else math.nan
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return float(value)
    return math.nan


def _report(
    cells: pd.Series, wrong: pd.Series, problem: str, rule: str, patients: pd.Series, where: Where, findings: Findings
) -> None:
    name = str(cells.name)
    for record in np.flatnonzero(wrong):
        shown = str(cells.iloc[record])[:40]
        message = f"{name} is {shown!r}; rule: {rule}"
        findings.error(problem, where(int(record), name), message, patient=patients.iloc[record], value=shown)


def serials(cells: pd.Series, patients: pd.Series, where: Where, findings: Findings) -> pd.Series:
    """Return scan serials as text, blank cells as None; a serial that lost digits to a spreadsheet is an error."""
    name = str(cells.name)
    result: list[str | None] = []
    for record, (value, blank) in enumerate(zip(cells, is_blank(cells), strict=True)):
        text = None if blank else _serial(value)
        if not blank and text is None:
            findings.error(
                "serial_unreadable",
                where(record, name),
                f"{name} is {value!r}; rule: all its digits, as text or number; import it as text",
                patient=patients.iloc[record],
                value=value,
            )
        elif text is not None and not re.fullmatch(r"\d{14}", text):
            findings.warn(
                "serial_format",
                where(record, name),
                f"{name} is {text}, not 14 digits like the published serials; taken as it is",
                patient=patients.iloc[record],
                value=text,
            )
        result.append(text)
    return pd.Series(result, index=cells.index, dtype=object, name=name)


def _serial(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        exact = math.isfinite(value) and float(value).is_integer() and abs(value) < 2**53
        return str(int(value)) if exact else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    text = re.sub(r"^(\d+)\.0+$", r"\1", text)
    return None if re.fullmatch(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?", text) and not text.isdigit() else text


def times(cells: pd.Series, patients: pd.Series, where: Where, findings: Findings) -> pd.Series:
    """Return a column as datetime64, blank cells as NaT; a cell that is no date with a time is an error."""
    values = pd.to_datetime(cells.map(_time), errors="coerce", format="mixed").astype("datetime64[us]")
    values = values.where(values.dt.year.between(1970, 2100))  # 1900 is a spreadsheet's zero
    rule = "date and time, year first, no time zone, such as 2031-05-04 13:20:00"
    unread = values.isna() & ~is_blank(cells)
    _report(cells, unread, "not_a_time", rule, patients, where, findings)
    return values


def _time(value: object) -> object:
    if isinstance(value, str):
        return value.strip() if re.fullmatch(_TIME, value.strip()) else None
    return value if isinstance(value, dt.datetime) and value.tzinfo is None else None
