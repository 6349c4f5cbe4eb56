"""Convert cells to numbers: decimal signs, units and blood pressures."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from hemexp.cohort.cell import (
    LARGEST,
    NUMBER_RULE,
    clean_cell,
    get_decimal_sign,
    name_unit,
    read_number,
    read_pressure,
    split_unit,
)
from hemexp.cohort.cells.convert import convert_cells, distinct_texts, is_number, is_text, report
from hemexp.cohort.findings import RecordFindings


def numbers(
    cells: pd.Series, findings: RecordFindings, units: Mapping[str, float] | None = None, decimal: str = ""
) -> pd.Series:
    """Return a column as float64, blank cells and texts such as NA as NaN; other cells are errors.

    Args:
        cells: the column.
        findings: receives the findings.
        units: the factor of each unit that a cell may name, in any spelling; "" is a number without a unit.
        decimal: the decimal sign where the column does not show it, so that 1,234 is 1.234 or 1234; "" refuses it.
    """
    factors = {"": 1.0, **{name_unit(unit): factor for unit, factor in (units or {}).items()}}
    cells = cells.infer_objects()
    if is_number(cells):
        values = cells.astype("float64")
        unusable = cells.notna() & ~(values.abs() < LARGEST)
        report(cells, np.flatnonzero(unusable), "not_a_number", NUMBER_RULE, findings)
        return _scale(values.mask(unusable), factors[""])
    values, signs = read_plain_numbers(cells)
    values = _scale(values, factors[""])
    signs = signs or frozenset(filter(None, [decimal]))
    convert = partial(read_number, signs=signs, factors=factors)
    return values.fillna(convert_cells(cells.mask(values.notna()), convert, "not_a_number", findings).astype("float64"))


def _scale(values: pd.Series, factor: float) -> pd.Series:
    return values if factor == 1 else (values * factor).round(6)


def read_plain_numbers(cells: pd.Series) -> tuple[pd.Series, frozenset[str]]:
    """Return the numbers of the texts that need no interpretation, and the decimal signs that the column shows."""
    texts = cells.where(is_text(cells))
    values = pd.to_numeric(texts, errors="coerce").astype("float64")
    values = values.where(values.abs() < LARGEST)
    if not any("," in clean_cell(text) for text in distinct_texts(cells[values.isna()])):
        return values, frozenset()
    matches = (split_unit(text) for text in distinct_texts(cells))
    signs = frozenset(get_decimal_sign(match[0]) for match in matches if match) - {""}
    return (values.mask(values.notna()) if "," in signs else values), signs


def blood_pressure(cells: pd.Series, findings: RecordFindings) -> tuple[pd.Series, pd.Series]:
    """Split cells such as "180/90" into systolic and diastolic mmHg."""
    results = convert_cells(cells, read_pressure, "blood_pressure", findings).dropna()
    columns = ["systolic", "diastolic", "has_spaces"]
    parts = pd.DataFrame(results.to_list(), index=results.index, columns=columns).reindex(cells.index)
    name, rows = str(cells.name), np.flatnonzero(parts["has_spaces"].eq(1))
    systolic, diastolic = parts["systolic"].astype("float64"), parts["diastolic"].astype("float64")

    def message(record: int) -> str:
        reading = f"{systolic[record]:g}/{diastolic[record]:g}"
        return f"blood pressure is {str(cells[record])!r}, with spaces; it is read as {reading}"

    findings.each("warning", "blood_pressure_spaces", rows, name, message, cells.get)
    return systolic, diastolic
