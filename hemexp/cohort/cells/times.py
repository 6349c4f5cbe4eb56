"""Convert cells to times, times of day and durations."""

import datetime as dt
import re
from functools import partial

import numpy as np
import pandas as pd

from hemexp.cohort.cells.convert import (
    MISSING,
    MISSING_TEXTS,
    Rule,
    add_one,
    as_float,
    cell_text,
    clean_cell,
    convert_cells,
    convert_each,
    is_number,
    is_text,
    report,
)
from hemexp.cohort.cells.dates import read_clock, read_time
from hemexp.cohort.cells.numbers import numbers
from hemexp.cohort.findings import RecordFindings
from hemexp.cohort.headers import FACTORS

_CLOCK = Rule("a time of day such as 13:20; correct the cell or clear it")
DATE_RULES = {
    "year_first": Rule(
        "a date and a time, year first, without time zone, such as 2031-05-04 13:20:00; correct the cell"
    ),
    "day_first": Rule("a date and a time, day first, without time zone, such as 04/05/2031 13:20; correct the cell"),
    "month_first": Rule(
        "a date and a time, month first, without time zone, such as 05/04/2031 13:20; correct the cell"
    ),
}

_USUAL_FORMATS = {  # pandas reads these much faster
    "year_first": ("%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M"),
    "day_first": ("%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M"),
    "month_first": ("%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S"),
}
_EXCEL_DAYS = (20_000, 60_000)  # 1954 to 2064, as Excel numbers days
_EXCEL_ORIGIN = pd.Timestamp("1899-12-30")


def times(cells: pd.Series, findings: RecordFindings, order: str = "year_first") -> tuple[pd.Series, pd.Series]:
    """Return times as datetime64, and whether a cell holds a time of day.

    A cell at midnight counts as a date without a time of day where more than one cell in a hundred is at midnight.

    Args:
        cells: the column.
        findings: receives the findings.
        order: of dates such as 04/05/2031: year_first (they are errors), day_first or month_first; day_first_swapped
            and month_first_swapped, where a spreadsheet has exchanged day and month in the cells that are real dates.
    """
    values = pd.Series(pd.NaT, index=cells.index, dtype="datetime64[us]", name=cells.name)
    cells = cells.infer_objects()
    if holds_excel_days(cells):
        seconds = (cells.astype("float64") * 86400).round()
        values = (_EXCEL_ORIGIN + pd.to_timedelta(seconds, unit="s")).astype("datetime64[us]")
        first = cells.first_valid_index()
        message = (
            f"{cells.name} holds numbers such as {cells[first]:g}; they are read as Excel's dates: {values[first]}"
        )
        add_one("warning", "excel_dates", cells, np.flatnonzero(cells.notna()), message, findings)
    elif pd.api.types.is_datetime64_dtype(cells) and not order.endswith("_swapped"):
        values = cells.astype("datetime64[us]")
    else:
        texts = cells.astype(object).where(is_text(cells))
        for form in _USUAL_FORMATS[order.removesuffix("_swapped")]:
            unread = texts[values.isna() & texts.notna()]
            values = values.fillna(pd.to_datetime(unread, format=form, errors="coerce").astype("datetime64[us]"))
    has_clock = values.notna()
    results = convert_cells(
        cells.mask(has_clock), partial(read_cell_time, order=order), "not_a_time", findings
    ).dropna()
    if len(results):
        times_read = pd.DataFrame(results.to_list(), index=results.index, columns=["time", "has_clock"])
        values = values.fillna(times_read["time"].astype("datetime64[us]"))
        has_clock |= times_read["has_clock"].reindex(cells.index, fill_value=False)
    outside = values.notna() & ~values.dt.year.between(1970, 2100)  # a spreadsheet shows 0 as 1900
    report(cells, np.flatnonzero(outside), "not_a_time", DATE_RULES[order.removesuffix("_swapped")], findings)
    values = values.mask(outside)
    midnight = has_clock & (values == values.dt.normalize())
    if midnight.sum() > max(1, len(values) / 100) or midnight.sum() == values.notna().sum():
        has_clock &= ~midnight
    return values, has_clock & values.notna()


def holds_excel_days(cells: pd.Series) -> bool:
    """Return whether all cells are numbers in the range of Excel's dates."""
    return is_number(cells) and bool(cells.notna().any() and cells.dropna().between(*_EXCEL_DAYS).all())


def read_cell_time(value: object, order: str) -> tuple[dt.datetime, bool] | Rule:
    """Return a time and whether the cell holds a time of day."""
    order, is_swapped = order.removesuffix("_swapped"), order.endswith("_swapped")
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            return DATE_RULES[order]
        return value.replace(month=value.day, day=value.month) if is_swapped and value.day <= 12 else value, True
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day), False
    text = clean_cell(cell_text(value))
    if text in MISSING_TEXTS:
        return MISSING
    return read_time(text, order) or DATE_RULES[order]


def clocks(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return times of day as timedelta64, from cells such as 13:20, 1320, 1:20 PM or Excel's fraction of a day."""
    return pd.to_timedelta(convert_cells(cells, read_cell_clock, "not_a_time", findings)).astype("timedelta64[us]")


def read_cell_clock(value: object) -> dt.timedelta | Rule:
    """Return the time of day of a cell, or the rule that it breaks."""
    if isinstance(value, dt.datetime) and value.year < 1901:  # Excel's day 0
        value = value.time()
    if isinstance(value, dt.time):
        return dt.timedelta(hours=value.hour, minutes=value.minute, seconds=value.second)
    if isinstance(value, dt.timedelta):
        return value if dt.timedelta() <= value < dt.timedelta(days=1) else _CLOCK
    if 0 <= as_float(value) < 1:
        return dt.timedelta(seconds=round(86400 * as_float(value)))
    text = clean_cell(cell_text(value))
    if text in MISSING_TEXTS:
        return MISSING
    clock = read_clock(text.zfill(4) if re.fullmatch(r"\d{3}", text) else text)
    return _CLOCK if clock is None else clock


_HOURS_AND_MINUTES = re.compile(
    r"(\d+):(\d{2})(?::(\d{2}))?|(\d+)\s*(?:h|hrs?|hours?|std\.?|小时|时)\s*(\d{1,2})\s*(?:m|mins?|minutes?|分钟?)?"
)


def hours(cells: pd.Series, findings: RecordFindings, unit: str | None) -> pd.Series:
    """Return durations in hours, from numbers, durations and texts such as 2:30, 2h 30min or 150 min.

    Args:
        cells: the column.
        findings: receives the findings.
        unit: of numbers without a unit: hours, minutes or days; None is hours.
    """
    factor = FACTORS["hours"][unit or "hours"]
    prepared = cells if is_number(cells) else convert_each(cells, partial(read_duration, factor=factor))
    return numbers(prepared, findings, {**FACTORS["hours"], "": factor})


def read_duration(value: object, factor: float) -> object:
    """Return a cell that holds hours and minutes as a number of the unit with this factor, other cells unchanged."""
    if isinstance(value, dt.time):
        value = dt.timedelta(hours=value.hour, minutes=value.minute, seconds=value.second)
    if isinstance(value, dt.timedelta):
        return value.total_seconds() / 3600 / factor
    match = _HOURS_AND_MINUTES.fullmatch(clean_cell(value)) if isinstance(value, str) else None
    if not match:
        return value
    hour, minute, second = (float(part or 0) for part in (match[1] or match[4], match[2] or match[5], match[3]))
    return (hour + minute / 60 + second / 3600) / factor if max(minute, second) < 60 else value
