"""Convert one column of a table by its mapping."""

import re

import numpy as np
import pandas as pd

from hemexp.cohort import cells
from hemexp.cohort import columns as c
from hemexp.cohort.cell import cell_text
from hemexp.cohort.findings import RecordFindings
from hemexp.cohort.headers import UNIT_OF, clean, read_unit
from hemexp.cohort.mapping.mapping import INPUT, UNUSED, ColumnMapping
from hemexp.cohort.mapping.units import get_factor
from hemexp.cohort.tables.sheet import Sheet

_POINTS = ("分", "points", "point", "pts", "punkte", "puntos", "punti")
_IDENTITY = r"name$|^name|姓名|birth|出生|dob|phone|电话|address|地址|身份证|passport|email|住院号|病案号|initials"


def name_own(sheet: Sheet, column: ColumnMapping) -> str | None:
    """Return the name of a column that hemexp does not know; None without a header, or where it names a person."""
    text = column.column
    if not text or text == c.SIMULATED or (column.means == UNUSED and re.search(_IDENTITY, clean(text))):
        return None
    if sheet.header.count(text) > 1:
        text = f"{text} [{column.letter}]"
    return f"{text} (own)" if text in c.known_columns() else text


def is_kept(raw: pd.Series, column: ColumnMapping) -> bool:
    """Return whether an unknown column stays in the table: an own input, numbers, or texts of few levels."""
    if column.means == INPUT:
        return True
    values = raw.dropna()
    return len(values) > 0 and (pd.api.types.is_numeric_dtype(raw) or values.nunique() <= c.MOST_LEVELS)


def convert_column(raw: pd.Series, column: ColumnMapping, findings: RecordFindings) -> dict[str, pd.Series]:
    """Return the converted column by name; a blood pressure becomes two columns, a time also a day."""
    known = c.known_columns().get(column.means)
    if known is None:
        return {str(raw.name): _convert_own(raw, column, findings)}
    name, kind = known.name, known.kind
    codes = {clean(text): code for text, code in (column.values or {}).items()}
    if kind in {"number", "whole", "volume", "count"}:
        return {name: _convert_number(raw, known, column.unit, findings)}
    if kind == "hours":
        unit = read_unit(column.unit or "") or "hours"
        return {name: cells.hours(raw, findings, unit)}
    if kind == "yes_no":
        return {name: cells.yes_no(raw, findings, _numbers(codes, {"yes": 1.0, "no": 0.0}))}
    if kind == "sex":
        return {name: cells.sex(raw, findings, _numbers(codes, {"male": 1.0, "female": 2.0}))}
    if kind == "pressure":
        return dict(zip(("systolic", "diastolic"), cells.blood_pressure(raw, findings), strict=True))
    if kind in {"time", "date"}:
        times, has_clock = cells.times(raw, findings, column.dates or "year_first")
        stem = name.partition("_")[0]
        if kind == "date":
            has_clock &= False
        elif has_clock.any():  # else the checks say once that no scan has hours

            def without_clock(row: int) -> str:
                return f"{name} is {str(raw[row])!r}, a date without a time of day; its hours are unknown"

            rows = np.flatnonzero(times.notna() & ~has_clock)
            findings.each("warning", "hours_unknown", rows, name, without_clock, raw.get)
        return {f"{stem}_time": times.where(has_clock), f"{stem}_day": times.dt.normalize()}
    if kind == "clock":
        return {name: cells.clocks(raw, findings)}
    if kind == "serial":
        return {name: cells.serials(raw, findings)}
    if name == "center":
        names = raw.map(lambda value: " ".join(cell_text(value).split()), na_action="ignore")
        return {name: cells.texts(names, findings)}
    return {name: raw.map(lambda value: str(value).strip() if pd.notna(value) else None).astype(object)}


def _numbers(codes: dict[str, str], legal: dict[str, float]) -> dict[str, float]:
    return {text: legal[code] for text, code in codes.items() if code in legal}


def _convert_number(raw: pd.Series, known: c.Column, unit: str | None, findings: RecordFindings) -> pd.Series:
    units = {text: each for text in UNIT_OF if (each := get_factor(known.name, text)) is not None} if known.unit else {}
    if known.kind == "whole":
        units = dict.fromkeys(_POINTS, 1.0)
    factor = get_factor(known.name, unit) or 1.0
    decimal = {1000.0: ",", 1.0: "."}.get(factor, "") if known.kind == "volume" else ""  # 14,100 is 14.1 mL
    return cells.numbers(raw, findings, {"": factor, **units}, decimal)


def _convert_own(raw: pd.Series, column: ColumnMapping, findings: RecordFindings) -> pd.Series:
    """Return numbers where all cells are numbers, else 1 and 0 where all are yes or no, else texts."""
    if pd.api.types.is_numeric_dtype(raw) and not pd.api.types.is_bool_dtype(raw):
        return raw.astype("float64")
    looks = cells.looks_like(raw)
    if column.means == INPUT and "number" in looks:
        return cells.numbers(raw, findings)
    if column.means == INPUT and "yes_no" in looks:
        return cells.yes_no(raw, findings)
    return cells.texts(raw, findings if column.means == INPUT else None)
