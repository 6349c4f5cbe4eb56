"""Convert cells to times, times of day and durations."""

import datetime as dt
import re
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from hemexp.cohort.cell import MISSING, MISSING_TEXTS, Rule, as_float, cell_text, clean_cell
from hemexp.cohort.cells.convert import add_one, convert_cells, convert_each, is_number, is_object, is_text, report
from hemexp.cohort.cells.dates import read_clock, read_time
from hemexp.cohort.cells.numbers import numbers
from hemexp.cohort.findings import RecordFindings
from hemexp.cohort.headers import FACTORS

_CLOCK = Rule("a time of day such as 13:20; correct the cell or clear it")
DATE_RULES = {
    "year_first": Rule("a date and a time, year first, such as 2031-05-04 13:20:00; correct the cell or clear it"),
    "day_first": Rule("a date and a time, day first, such as 04/05/2031 13:20; correct the cell or clear it"),
    "month_first": Rule("a date and a time, month first, such as 05/04/2031 13:20; correct the cell or clear it"),
}
_ZONE_RULE = Rule("a time zone in all cells of a column, or in none; correct the cell")
_ZONE = re.compile(r"(?<=\d)\s*(?:(?:z|utc|gmt)|(?:utc|gmt)?([+-]\d{2}):?(\d{2})?)$")

_USUAL_FORMATS = {  # pandas reads these much faster
    "year_first": ("%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M"),
    "day_first": ("%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M"),
    "month_first": ("%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S"),
}
_CUT_MINUTES = r":\d(?!\d)"  # pandas reads 12:3, which may be a part of 12:35, as 12:03
_EXCEL_DAYS = (20_000, 60_000)  # 1954 to 2064, as Excel numbers days
_EXCEL_ORIGIN = pd.Timestamp("1899-12-30")
_TIMES_BY_CHANCE = 3  # as many rounded times at midnight as chance gives
_MANY_TIMES = 15  # times of day: all in one half of the day by chance once in 30,000
_UNIT_WORDS = {"s": "seconds", "ms": "milliseconds"}
_EPOCH_SECONDS = (946_684_800, 2_208_988_800)  # 2000 to 2040, as databases count seconds from 1970


def times(cells: pd.Series, findings: RecordFindings, order: str = "year_first") -> tuple[pd.Series, pd.Series]:
    """Return times as datetime64, and whether a cell holds a time of day.

    A cell at midnight counts as a date without a time of day where more than one cell in a hundred is at midnight, or
    more than chance gives where all times are rounded.

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
    elif unit := find_epoch_unit(cells):
        values = pd.to_datetime(cells, unit=unit).astype("datetime64[us]")
        first = cells.first_valid_index()
        message = (
            f"{cells.name} holds numbers such as {cells[first]:.0f}; they are read as {_UNIT_WORDS[unit]} from 1970"
        )
        message += f": {values[first]}"
        add_one("warning", "epoch_times", cells, np.flatnonzero(cells.notna()), message, findings)
    elif pd.api.types.is_datetime64_dtype(cells) and not order.endswith("_swapped"):
        values = cells.astype("datetime64[us]")
    else:
        texts = cells.astype(object)[is_text(cells)]
        texts = texts[~texts.str.contains(_CUT_MINUTES)]
        for form in _USUAL_FORMATS[order.removesuffix("_swapped")]:
            unread = texts[values[texts.index].isna()]
            values = values.fillna(pd.to_datetime(unread, format=form, errors="coerce").astype("datetime64[us]"))
    has_clock = values.notna()
    results = convert_cells(
        cells.mask(has_clock), partial(read_cell_time, order=order), "not_a_time", findings
    ).dropna()
    if len(results):
        times_read = pd.DataFrame(results.to_list(), index=results.index, columns=["time", "has_clock"])
        values = values.fillna(times_read["time"].astype("datetime64[us]"))
        has_clock |= times_read["has_clock"].reindex(cells.index, fill_value=False)
    values = _use_zones(cells, values, has_clock, findings)
    outside = values.notna() & ~values.dt.year.between(1970, 2100)  # a spreadsheet shows 0 as 1900
    report(cells, np.flatnonzero(outside), "not_a_time", DATE_RULES[order.removesuffix("_swapped")], findings)
    values = values.mask(outside)
    midnight = has_clock & (values == values.dt.normalize())
    number = values[midnight].nunique()  # an onset is repeated in every row of its patient
    minutes = (60 * values.dt.hour + values.dt.minute)[has_clock]
    step = next((step for step in (60, 30, 15) if not (minutes % step).any()), 1)  # of rounded times
    usual = values.nunique() * max(0.01, _TIMES_BY_CHANCE * step / 1440)
    if number > max(1, usual) or midnight.sum() == values.notna().sum():
        has_clock &= ~midnight
    _warn_half_day(cells, values.dt.hour[has_clock], values.dt.date[has_clock].nunique(), findings)
    return values, has_clock & values.notna()


def _warn_half_day(cells: pd.Series, hours: pd.Series, number: int, findings: RecordFindings) -> None:
    """Warn if many times of day are all between 1:00 and 12:59: AM or PM may be lost.

    Args:
        cells: the column.
        hours: of the times of day.
        number: of times that do not depend on each other.
        findings: receives the finding.
    """
    if number >= _MANY_TIMES and hours.between(1, 12).all():
        message = (
            f"{cells.name}: none of {len(hours)} times of day is after 12:59 or before 1:00; see whether AM and PM "
            "were lost; used unchanged"
        )
        add_one("warning", "half_day", cells, np.flatnonzero(cells.index.isin(hours.index)), message, findings)


def find_epoch_unit(cells: pd.Series) -> Literal["s", "ms"] | None:
    """Return ``s`` or ``ms`` where all cells are seconds or milliseconds from 1970."""
    if is_number(cells) and cells.notna().any():
        if cells.dropna().between(*_EPOCH_SECONDS).all():
            return "s"
        if (cells.dropna() / 1000).between(*_EPOCH_SECONDS).all():
            return "ms"
    return None


def holds_zones(cells: pd.Series) -> bool:
    """Return whether texts of a column end with a time zone."""
    return is_object(cells) and bool(_read_zones(cells).notna().any())


def _read_zones(cells: pd.Series) -> pd.Series:
    """Return the hours by which each text is ahead of UTC; NaN without a time zone."""
    return convert_each(cells, lambda value: _split_zone(value)[1] if isinstance(value, str) else np.nan).astype(float)


def _split_zone(text: str) -> tuple[str, float]:
    """Return a time without its zone, and the hours ahead of UTC; NaN without a zone."""
    text = clean_cell(text)
    match = _ZONE.search(text) if re.search(r"\d:\d\d", text) else None
    if match is None:
        return text, np.nan
    hours, minutes = float(match[1] or 0), float(match[2] or 0) / 60
    return text[: match.start()], hours + (-minutes if hours < 0 else minutes)


def _use_zones(cells: pd.Series, values: pd.Series, has_clock: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return times of which the differences are right: in UTC where a column holds several time zones."""
    if not holds_zones(cells):
        return values
    zones = _read_zones(cells)
    unlike = has_clock & (zones.isna() if zones.notna().sum() >= (has_clock & zones.isna()).sum() else zones.notna())
    report(cells, np.flatnonzero(unlike), "not_a_time", _ZONE_RULE, findings)
    if zones.nunique() == 1:
        text = "the local clock time is used"
    else:
        text, values = "all times are converted to UTC", values - pd.to_timedelta(zones.fillna(0), unit="h")
    rows = np.flatnonzero(zones.notna())
    message = f"{cells.name} holds times with a time zone, such as {cells.iloc[rows[0]]}; {text}"
    add_one("warning", "time_zone", cells, rows, message, findings)
    return values.mask(unlike)


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
    text, _ = _split_zone(cell_text(value))
    if text in MISSING_TEXTS:
        return MISSING
    return read_time(text, order) or DATE_RULES[order]


def clocks(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return times of day as timedelta64, from cells such as 13:20, 1320, 1:20 PM or Excel's fraction of a day."""
    cells = cells.infer_objects()
    if is_number(cells) and cells.max() >= 100:  # 1320, 905 and 49
        cells = cells.map(lambda value: f"{value:.0f}".zfill(4), na_action="ignore")
    values = pd.to_timedelta(convert_cells(cells, read_cell_clock, "not_a_time", findings)).astype("timedelta64[us]")
    found = values.dropna()
    _warn_half_day(cells, found.dt.components.hours, found.nunique(), findings)
    return values


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
    r"(?:(?P<days>\d+) days?,? )?(\d+):(\d{2})(?::(\d{2})(?:\.\d+)?)?"
    r"|(\d+)\s*(?:h|hrs?|hours?|std\.?|小时|时)\s*(\d{1,2})\s*(?:m|mins?|minutes?|分钟?)?"
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


_BASELINE = r"baseline|admission|initial|first|basis|aufnahme|initiale?|基线|入院|首次"
_EVENT_HOURS = re.compile(rf"(?P<first>{_BASELINE})|(?P<hours>\d+(?:\.\d+)?)\s*(?:h|hrs?|hours?|小时)")


def event_hours(cells: pd.Series) -> pd.Series:
    """Return the hours that names of events say: 0 for Baseline, 24 for 24h; NaN for other names."""

    def read(value: object) -> float:
        match = _EVENT_HOURS.fullmatch(clean_cell(cell_text(value)))
        return np.nan if match is None else float(match["hours"] or 0)

    return convert_each(cells, read).astype(float)


def read_duration(value: object, factor: float) -> object:
    """Return a cell that holds hours and minutes as a number of the unit with this factor, other cells unchanged."""
    if isinstance(value, dt.time):
        value = dt.timedelta(hours=value.hour, minutes=value.minute, seconds=value.second)
    if isinstance(value, dt.timedelta):
        return value.total_seconds() / 3600 / factor
    if isinstance(value, str) and re.fullmatch(_BASELINE, clean_cell(value)):
        return 0.0
    match = _HOURS_AND_MINUTES.fullmatch(clean_cell(value)) if isinstance(value, str) else None
    if not match:
        return value
    parts = (match["days"], match[2] or match[5], match[3] or match[6], match[4])
    day, hour, minute, second = (float(part or 0) for part in parts)
    hour += 24 * day
    return (hour + minute / 60 + second / 3600) / factor if max(minute, second) < 60 else value
