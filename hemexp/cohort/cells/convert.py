"""Convert the cells of a column; a cell that cannot be converted is a finding.

A column that holds numbers or dates stays one. In other columns each distinct cell is converted once.
"""

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.cell import MISSING, MISSING_TEXTS, Rule, cell_text, clean_cell
from hemexp.cohort.findings import RecordFindings, count_values
from hemexp.formatting import plural


def is_blank(cells: pd.Series) -> pd.Series:
    """Return which cells are missing or contain only white space."""
    return cells.isna() if not is_object(cells) else cells.isna() | test_texts(cells, lambda text: not text.strip())


def is_blank_column(cells: pd.Series) -> bool:
    """Return whether no cell holds anything."""
    return bool(is_blank(cells).all())


def is_object(cells: pd.Series) -> bool:
    """Return whether a column may hold texts."""
    return pd.api.types.is_object_dtype(cells) or pd.api.types.is_string_dtype(cells)


def test_texts(cells: pd.Series, condition: Callable[[str], bool]) -> pd.Series:
    """Return which cells hold a text that fulfils a condition."""
    values = [isinstance(value, str) and condition(value) for value in cells.tolist()]
    return pd.Series(values, index=cells.index, dtype=bool)


def is_text(cells: pd.Series) -> pd.Series:
    """Return which cells hold text."""
    return test_texts(cells, lambda text: True)


def distinct_texts(cells: pd.Series) -> set[str]:
    """Return the distinct texts of a column."""
    return {value for value in cells.tolist() if isinstance(value, str)} if is_object(cells) else set()


def is_number(cells: pd.Series) -> bool:
    """Return whether a column holds numbers only."""
    return pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells)


def convert_each(cells: pd.Series, convert: Callable[[Any], object]) -> pd.Series:
    """Convert every distinct cell once; a blank cell is NaN."""
    if not is_object(cells):
        codes, distinct = pd.factorize(cells)
        values = pd.Series([*map(convert, distinct.tolist()), math.nan], dtype=object)  # the last has code -1: missing
        return values.iloc[codes].set_axis(cells.index).rename(str(cells.name))

    @lru_cache(maxsize=None, typed=True)  # typed: 1, 1.0 and True are different cells
    def convert_once(value: object) -> object:
        return math.nan if isinstance(value, str) and not value.strip() else convert(value)

    results = [math.nan if value is None or value != value else convert_once(value) for value in cells.tolist()]
    return pd.Series(results, index=cells.index, dtype=object, name=cells.name)


def texts(cells: pd.Series, findings: RecordFindings | None = None) -> pd.Series:
    """Return a column as texts; blank cells and texts such as NA are None, with a warning in `findings`."""

    def read(value: object) -> object:
        return MISSING if clean_cell(cell_text(value)) in MISSING_TEXTS else str(value).strip()

    results = convert_each(cells, read)
    missing = results.map(lambda result: result is MISSING).astype(bool)
    if findings is not None:
        message = f"{cells.name} is {count_values(cells[missing])}; {plural(int(missing.sum()), 'cell')} read as empty"
        add_one("warning", "missing_text", cells, np.flatnonzero(missing), message, findings)
    return results.where(results.notna() & ~missing, None).astype(object)


def convert_cells(
    cells: pd.Series, convert: Callable[[Any], object], problem: str, findings: RecordFindings
) -> pd.Series:
    """Convert every distinct cell; a cell that breaks a rule is NaN and an error, a text such as NA is NaN."""
    results = convert_each(cells, convert)
    refused = results[[isinstance(result, Rule) for result in results]]
    for rule, group in refused.groupby(refused, sort=False):
        if rule == MISSING:
            counts = count_values(cells[group.index])
            message = f"{cells.name} is {counts}; {plural(len(group), 'cell')} with such a text read as empty"
            add_one("warning", "missing_text", cells, group.index, message, findings)
        else:
            report(cells, group.index, problem, str(rule), findings)
    return results.mask(results.index.isin(refused.index))


def report(cells: pd.Series, records: Iterable[Any], problem: str, rule: str, findings: RecordFindings) -> None:
    """Add errors for cells that break a rule: one for each of a few cells, or one for all."""
    name, rows = str(cells.name), [int(record) for record in records]
    summary = f"{name} is {count_values(cells[rows])}; rule: {rule}" if rows else ""

    def text(record: int) -> str:
        return str(cells[record])[:40]

    def message(record: int) -> str:
        return f"{name} is {text(record)!r}; rule: {rule}"

    findings.each("error", problem, rows, name, message, text, summary)


def add_one(
    severity: str, problem: str, cells: pd.Series, records: Iterable[Any], message: str, findings: RecordFindings
) -> None:
    """Add one finding about all of these records, at the cell of the first."""
    rows = [int(record) for record in records]
    if rows:
        cell = findings.locate(rows[0], str(cells.name))
        patient, value = findings.patients[rows[0]], str(cells[rows[0]])[:40]
        findings.findings.add(severity, problem, cell, message, patient, value, repeat(cell, len(rows) - 1))
