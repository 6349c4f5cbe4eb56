"""Read dates and times of day in the many ways that people and programs write them."""

import datetime as dt
import re
from collections.abc import Collection

_MONTHS = (
    "jan gen ene|feb fev fév|mar mär mrz|apr avr abr|may mai mag|jun juin giu|jul juil lug|aug aoû aou ago|sep set"
    "|oct okt ott out|nov|dec dez dic déc"
)
_MONTH_OF = {name: number for number, names in enumerate(_MONTHS.split("|"), start=1) for name in names.split()}
_DATES = [
    re.compile(pattern)
    for pattern in (
        r"(?P<year>\d{4})\s*[-/.年년]\s*(?P<month>\d{1,2})\s*[-/.月월]\s*(?P<day>\d{1,2})(?:日|일|(?!\d))",
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})(?=\s|t|$|\d{4}$|\d{6}$)",
        r"(?P<day>\d{1,2})(?:st|nd|rd|th)?[-. /]*(?P<name>[a-zäéû]{3,})[-. ,/]*(?P<year>\d{4}|\d{2})(?!\d)",
        r"(?P<name>[a-z]{3,})\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?,? (?P<year>\d{4})(?!\d)",
    )
]
DATE_IN_ORDER = re.compile(r"(?P<first>\d{1,2})\s*[-/.]\s*(?P<second>\d{1,2})\s*[-/.]\s*(?P<year>\d{4}|\d{2})(?!\d)")
_CLOCKS = [
    re.compile(pattern)
    for pattern in (
        r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2}(?:[.,]\d+)?))?\s*h?",
        r"(?P<hour>\d{1,2})\s*(?:[时時点點시]|h)(?:\s*(?P<minute>\d{1,2})\s*[分분]?)?(?:\s*(?P<second>\d{1,2})\s*[秒초])?",
        r"(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})?",
    )
]
_HALF_DAYS = {
    "上午": 0,
    "午前": 0,
    "오전": 0,
    "午後": 12,
    "오후": 12,
    "凌晨": 0,
    "早上": 0,
    "am": 0,
    "下午": 12,
    "晚上": 12,
    "pm": 12,
}


def read_time(text: str, order: str) -> tuple[dt.datetime, bool] | None:
    """Return the time that a cleaned text holds, and whether it has a time of day; None if it is not one.

    Args:
        text: in lower case, without outer spaces and full-width forms.
        order: of dates such as 04/05/2031: day_first, month_first, or year_first, where they are not dates.
    """
    date, rest = _read_date(text, order)
    clock = read_clock(rest) if rest else dt.timedelta()
    return (date + clock, rest != "") if date is not None and clock is not None else None


def _read_date(text: str, order: str) -> tuple[dt.datetime | None, str]:
    """Return the date at the start of a text, and the rest of the text."""
    matches = (pattern.match(text) for pattern in _DATES)
    match = next(filter(None, matches), None) or (DATE_IN_ORDER.match(text) if order != "year_first" else None)
    if not match:
        return None, ""
    parts = match.groupdict()
    month, day = parts.get("month"), parts.get("day")
    if "first" in parts:
        day, month = match.group("first", "second") if order == "day_first" else match.group("second", "first")
    name = parts.get("name") or ""
    number = int(month) if month else _MONTH_OF.get(name[:4]) or _MONTH_OF.get(name[:3], 0)
    try:
        year = int(parts["year"])
        year += 0 if year > 99 else 2000 if year < 70 else 1900
        return dt.datetime(year, number, int(day or 0)), text[match.end() :].strip(" t,;:")
    except ValueError:  # no such day
        return None, ""


def read_clock(text: str) -> dt.timedelta | None:
    """Return the time of day that a text holds."""
    text = re.sub(r"([ap])\.\s?m\.?", r"\1m", text)
    half = next((word for word in _HALF_DAYS if text.startswith(word) or text.endswith(word)), "")
    text = re.sub(r"\s*uhr$", "h", text.removeprefix(half).removesuffix(half).strip())
    if half and text.isdigit():
        text += "h"
    match = next(filter(None, (pattern.fullmatch(text) for pattern in _CLOCKS)), None)
    if not match:
        return None
    hour, minute, second = (float((part or "0").replace(",", ".")) for part in match.group("hour", "minute", "second"))
    if half and hour <= 12:
        hour = hour % 12 + _HALF_DAYS[half]
    is_time = hour < 24 and minute < 60 and second < 60
    return dt.timedelta(hours=hour, minutes=minute, seconds=second) if is_time else None


def may_begin_with_years(texts: Collection[str]) -> bool:
    """Return whether dates such as 31/05/04 may begin with the year: its two digits are then the fewer numbers."""
    matches = [match for text in texts if (match := DATE_IN_ORDER.match(text)) and len(match["year"]) == 2]
    return 2 * len(matches) > len(texts) and len({match["first"] for match in matches}) <= len(
        {match["year"] for match in matches}
    )
