"""Convert cells to numbers: decimal signs, units and blood pressures."""

import re
from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from hemexp.cohort.cells.convert import (
    _EXACT,
    LARGEST,
    MISSING,
    MISSING_TEXTS,
    NUMBER_RULE,
    Rule,
    as_float,
    clean_cell,
    convert_cells,
    distinct_texts,
    is_number,
    is_text,
    report,
)
from hemexp.cohort.findings import RecordFindings
from hemexp.cohort.headers import read_unit

_AMBIGUOUS = Rule(
    "1,234 can be 1.234 or 1234 and no other cell of the column decides it; write decimals with a point, "
    "and no sign between thousands"
)
_PRESSURE = Rule("systolic/diastolic in mmHg, such as 180/90; correct the cell")


def _unit_name(text: str) -> str:
    """Return our spelling of a unit; other texts unchanged."""
    return read_unit(text) or clean_cell(text)


_DIGITS = r"[+-]?(?:\d[\d.,]*|[.,]\d+)(?:e[+-]?\d+)?"
_NUMBER_WITH_UNIT = re.compile(rf"({_DIGITS})(?:\s*([^\d\s.,:/+-]\D*[23]?))?")
_IN_ARRAY = re.compile(r"array\(\[?([^\[\]()]*)\]?\)|\[([^\[\]]*)\]")  # as PyRadiomics writes a number
_EITHER_SIGN = r"[1-9]\d{0,2}[.,]\d{3}"  # 1,234: the sign is decimal or of the thousands


def _decimal_pattern(sign: str, other: str) -> re.Pattern[str]:
    """Return the pattern of numbers that show that this sign is the decimal one."""
    group = rf"\d{{1,3}}(?:{other}\d{{3}})"
    return re.compile(rf"{group}+{sign}\d+|{group}{{2,}}|(?!{_EITHER_SIGN}$)\d*{sign}\d*")


_DECIMAL_SIGNS = {".": _decimal_pattern(r"\.", ","), ",": _decimal_pattern(",", r"\.")}


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
    factors = {"": 1.0, **{_unit_name(unit): factor for unit, factor in (units or {}).items()}}
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
    signs = frozenset(_decimal_sign(match[0]) for match in matches if match) - {""}
    return (values.mask(values.notna()) if "," in signs else values), signs


def split_unit(text: str) -> tuple[str, str] | None:
    """Return the number and the unit of a text, or None if it is not a number."""
    text = clean_cell(text)
    if match := _IN_ARRAY.fullmatch(text):
        text = (match[1] or match[2] or "").strip()
    text = re.sub(r"(?<=\d)[ '’](?=\d{3}(?!\d))", "", text)
    match = _NUMBER_WITH_UNIT.fullmatch(text)
    return (match[1], _unit_name((match[2] or "").rstrip(". "))) if match else None


def _decimal_sign(digits: str) -> str:
    """Return the decimal sign that a number shows; empty if it has none or may have either."""
    mantissa = digits.lstrip("+-").partition("e")[0]
    return next((sign for sign, pattern in _DECIMAL_SIGNS.items() if pattern.fullmatch(mantissa)), "")


def read_number(value: object, signs: frozenset[str], factors: Mapping[str, float]) -> float | Rule:
    """Return the number of a cell, or the rule that it breaks; `signs` are the decimal signs of the column."""
    if not isinstance(value, str):
        return _scale_number(as_float(value), factors[""])
    text = clean_cell(value)
    if text in MISSING_TEXTS or not text:
        return MISSING
    split = split_unit(text)
    if split is None:
        return _EXACT if re.match(r"[<>≤≥≦≧~≈±]|约|大于|小于|about|approx|ca\.?\s|circa", text) else NUMBER_RULE
    digits, unit = split
    if unit not in factors:
        known = "points" if "points" in factors else ", ".join(filter(None, factors))
        return Rule(f"a number{f' in {known}, or one' if known else ''} without a unit; correct the cell or clear it")
    number = read_digits(digits, signs)
    return number if isinstance(number, Rule) else _scale_number(number, factors[unit])


def _scale_number(number: float, factor: float) -> float | Rule:
    if not abs(number) < LARGEST:
        return NUMBER_RULE
    return number if factor == 1 else round(number * factor, 6)


def read_digits(digits: str, signs: frozenset[str]) -> float | Rule:
    """Return the value of a number, whose decimal sign may follow from the other numbers of the column."""
    sign = _decimal_sign(digits)
    if not sign and re.search("[.,]", digits):
        if not re.fullmatch(rf"[+-]?{_EITHER_SIGN}", digits):
            return NUMBER_RULE
        if len(signs) == 1:
            (sign,) = signs
        elif signs or "," in digits:
            return _AMBIGUOUS
    sign = sign or "."
    return float(digits.replace("," if sign == "." else ".", "").replace(sign, "."))


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


def read_pressure(value: object) -> tuple[float, float, bool] | Rule:
    """Return systolic, diastolic and whether there are spaces, or the rule that a cell breaks."""
    text = clean_cell(str(value))
    if text in MISSING_TEXTS:
        return MISSING
    match = re.fullmatch(r"(\d+)(\s*[/⁄-]\s*)(\d+)(\s*mmhg)?", text)
    if not match:
        return _PRESSURE
    has_spaces = match[2] != match[2].strip() or str(value) != str(value).strip()
    return float(match[1]), float(match[3]), has_spaces
