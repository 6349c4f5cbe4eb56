"""Convert the cells of a column to numbers, codes, times and ids; a cell that cannot be converted is a finding.

A column that holds numbers or dates stays one. In other columns each distinct cell is converted once.
"""

import datetime as dt
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from itertools import repeat
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.findings import RecordFindings, count_values
from hemexp.cohort.reading.dates import DATE_IN_ORDER, may_begin_with_years, read_clock, read_time
from hemexp.cohort.reading.headers import FACTORS, clean, read_unit


class _Rule(str):
    """The rule that a cell breaks; a converter returns it in the place of a value."""


_LARGEST = 1e15  # Excel keeps 15 digits of a number; every value of these tables is far smaller
_ZERO_WIDTH = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_MISSING_TEXTS = {*"-/.?", "--", "---", "??", "na", "n/a", "n.a", "n.a.", "nan", "none", "null", "nk", "unk"}
_MISSING_TEXTS |= {"unknown", "missing", "not known", "not done", "not available", "nd", "n.d.", "n/k"}
_MISSING_TEXTS |= {"无", "不详", "未知", "未查", "未测", "未做", "未记录", "不明", "不清楚", "缺失", "时间不详"}
_MISSING_TEXTS |= {"unbekannt", "nicht bekannt", "k.a.", "k. a.", "keine angabe", "onbekend", "inconnu", "nc"}
_MISSING_TEXTS |= {"desconocido"}
_MISSING_TEXTS |= {"sconosciuto", "non noto", "desconhecido", "unclear", "unwitnessed", "wake-up", "wake up"}
_MISSING_TEXTS |= {"wakeup", "醒后卒中"}

_MISSING = _Rule("text that says that there is no value")
_NUMBER = _Rule("a number, or an empty cell; correct the cell or clear it")
_EXACT = _Rule("an exact number, or an empty cell; enter the number or clear the cell")
_AMBIGUOUS = _Rule(
    "1,234 can be 1.234 or 1234 and no other cell of the column decides it; write decimals with a point, "
    "and no sign between thousands"
)
_SERIAL = _Rule("all digits of the serial, as text or a whole number; enter it as text")
_PRESSURE = _Rule("systolic/diastolic in mmHg, such as 180/90; correct the cell")
_CLOCK = _Rule("a time of day such as 13:20; correct the cell or clear it")
_DATE_RULES = {
    "year_first": _Rule(
        "a date and a time, year first, without time zone, such as 2031-05-04 13:20:00; correct the cell"
    ),
    "day_first": _Rule("a date and a time, day first, without time zone, such as 04/05/2031 13:20; correct the cell"),
    "month_first": _Rule(
        "a date and a time, month first, without time zone, such as 05/04/2031 13:20; correct the cell"
    ),
}


def _clean(text: str) -> str:
    """Return a text without differences of case, width and dashes, and without zero-width characters."""
    return clean(text) if text.isascii() else re.sub("[−–—]", "-", clean(text.translate(_ZERO_WIDTH)))


def _unit_name(text: str) -> str:
    """Return our spelling of a unit; other texts unchanged."""
    return read_unit(text) or _clean(text)


def _text(value: object) -> str:
    """Return a cell as text; a whole number has no decimals."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    return text if text.isascii() else unicodedata.normalize("NFKC", text.translate(_ZERO_WIDTH)).strip()


def is_blank(cells: pd.Series) -> pd.Series:
    """Return which cells are missing or contain only white space."""
    return cells.isna() if not _is_object(cells) else cells.isna() | _test(cells, lambda text: not text.strip())


def is_blank_column(cells: pd.Series) -> bool:
    """Return whether no cell holds anything."""
    return bool(is_blank(cells).all())


def _is_object(cells: pd.Series) -> bool:
    return pd.api.types.is_object_dtype(cells) or pd.api.types.is_string_dtype(cells)


def _test(cells: pd.Series, condition: Callable[[str], bool]) -> pd.Series:
    """Return which cells hold a text that fulfils a condition."""
    values = [isinstance(value, str) and condition(value) for value in cells.tolist()]
    return pd.Series(values, index=cells.index, dtype=bool)


def _is_text(cells: pd.Series) -> pd.Series:
    """Return which cells hold text."""
    return _test(cells, lambda text: True)


def _texts(cells: pd.Series) -> set[str]:
    """Return the distinct texts of a column."""
    return {value for value in cells.tolist() if isinstance(value, str)} if _is_object(cells) else set()


def _is_number(cells: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells)


def _each(cells: pd.Series, convert: Callable[[Any], object]) -> pd.Series:
    """Convert every distinct cell once; a blank cell is NaN."""
    if not _is_object(cells):
        codes, distinct = pd.factorize(cells)
        values = pd.Series([*map(convert, distinct.tolist()), math.nan], dtype=object)  # the last has code -1: missing
        return values.iloc[codes].set_axis(cells.index).rename(str(cells.name))

    @lru_cache(maxsize=None, typed=True)  # typed: 1, 1.0 and True are different cells
    def convert_once(value: object) -> object:
        return math.nan if isinstance(value, str) and not value.strip() else convert(value)

    results = [math.nan if value is None or value != value else convert_once(value) for value in cells.tolist()]
    return pd.Series(results, index=cells.index, dtype=object, name=cells.name)


def _convert(cells: pd.Series, convert: Callable[[Any], object], problem: str, findings: RecordFindings) -> pd.Series:
    """Convert every distinct cell; a cell that breaks a rule is NaN and an error, a text such as NA is NaN."""
    results = _each(cells, convert)
    refused = results[[isinstance(result, _Rule) for result in results]]
    for rule, group in refused.groupby(refused, sort=False):
        if rule == _MISSING:
            counts = count_values(cells[group.index])
            message = f"{cells.name} is {counts}; {len(group)} cells with such a text are read as empty"
            _add_one("warning", "missing_text", cells, group.index, message, findings)
        else:
            _report(cells, group.index, problem, str(rule), findings)
    return results.mask(results.index.isin(refused.index))


def _report(cells: pd.Series, records: Iterable[Any], problem: str, rule: str, findings: RecordFindings) -> None:
    """Add errors for cells that break a rule: one for each of a few cells, or one for all."""
    name, rows = str(cells.name), [int(record) for record in records]
    summary = f"{name} is {count_values(cells[rows])}; rule: {rule}" if rows else ""

    def text(record: int) -> str:
        return str(cells[record])[:40]

    def message(record: int) -> str:
        return f"{name} is {text(record)!r}; rule: {rule}"

    findings.each("error", problem, rows, name, message, text, summary)


def _add_one(
    severity: str, problem: str, cells: pd.Series, records: Iterable[Any], message: str, findings: RecordFindings
) -> None:
    """Add one finding about all of these records, at the cell of the first."""
    rows = [int(record) for record in records]
    if rows:
        cell = findings.locate(rows[0], str(cells.name))
        patient, value = findings.patients[rows[0]], str(cells[rows[0]])[:40]
        findings.findings.add(severity, problem, cell, message, patient, value, repeat(cell, len(rows) - 1))


def ids(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return patient ids as text, blank cells as an empty text; a whole number has no decimals: 1.0 is "1"."""
    _warn_zero_width(cells, findings)
    rounded = _report_rounded(cells, findings)
    return _each(cells.mask(rounded), lambda value: re.sub(r"^(\d+)\.0+$", r"\1", _text(value))).fillna("")


def serials(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return scan serials as text, blank cells as None; a serial that lost digits in a spreadsheet is an error.

    Where most serials have the 14 digits of the published files, another form is a warning.
    """
    _warn_zero_width(cells, findings)
    rounded = _report_rounded(cells, findings)
    values = _convert(cells.mask(rounded), _serial, "serial_unreadable", findings)
    unusual = values[~values.str.fullmatch(r"\d{14}", na=True).astype(bool)]
    if 2 * len(unusual) < values.notna().sum():
        name, rule = str(cells.name), "14 digits, as in most cells of the column; used unchanged"
        summary = f"{name} is {count_values(unusual)}; rule: {rule}"

        def message(record: int) -> str:
            return f"{name} is {unusual[record]}; rule: {rule}"

        findings.each("warning", "serial_format", unusual.index, name, message, unusual.get, summary)
    return values.where(values.notna(), None)


_NUMBER_IN_TEXT = re.compile(r"([+-]?\d+)(?:([.,])(\d+))?([eE][+-]?\d+)?")


def _serial(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | np.number):
        return _SERIAL
    text = _text(value)
    match = None if text.isdigit() else _NUMBER_IN_TEXT.fullmatch(text)
    if not match:
        return text
    is_whole = match[2] == "." and not match[3].strip("0") and not match[4]
    return match[1] if is_whole else _SERIAL


def _report_rounded(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return which cells are numbers of more than 15 digits, after one error for all of them."""
    values = cells.astype("float64") if _is_number(cells) else pd.Series(map(_float, cells.tolist()), index=cells.index)
    rounded = values.abs() >= _LARGEST
    message = (
        f"{cells.name} is {count_values(cells[rounded])}: numbers of 16 digits or more; rule: Excel keeps 15 digits of "
        f"a number and has changed the others; export the column as text, in {rounded.sum()} cells"
    )
    _add_one("error", "serial_unreadable", cells, np.flatnonzero(rounded), message, findings)
    return rounded


def _float(value: object) -> float:
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return float(value)
    return math.nan


def _warn_zero_width(cells: pd.Series, findings: RecordFindings) -> None:
    changed = {text for text in _texts(cells) if text != text.translate(_ZERO_WIDTH)}
    if changed:
        rows = np.flatnonzero(cells.isin(changed))
        message = f"{cells.name} is {cells[rows[0]]!r}: {len(rows)} cells hold invisible characters, which are removed"
        _add_one("warning", "zero_width", cells, rows, message, findings)


_DIGITS = r"[+-]?(?:\d[\d.,]*|[.,]\d+)(?:e[+-]?\d+)?"
_NUMBER_WITH_UNIT = re.compile(rf"({_DIGITS})(?:\s*([^\d\s.,:/+-]\D*[23]?))?")
_IN_ARRAY = re.compile(r"array\(\[?([^\[\]()]*)\]?\)|\[([^\[\]]*)\]")  # as PyRadiomics writes a number
_EITHER_SIGN = r"[1-9]\d{0,2}[.,]\d{3}"  # 1,234: the sign is decimal or of the thousands


def _decimal_pattern(sign: str, other: str) -> re.Pattern[str]:
    """Return the pattern of numbers that show that this sign is the decimal one."""
    group = rf"\d{{1,3}}(?:{other}\d{{3}})"
    return re.compile(rf"{group}+{sign}\d+|{group}{{2,}}|(?!{_EITHER_SIGN}$)\d*{sign}\d*")


_DECIMAL_SIGNS = {".": _decimal_pattern(r"\.", ","), ",": _decimal_pattern(",", r"\.")}


def numbers(cells: pd.Series, findings: RecordFindings, units: Mapping[str, float] | None = None) -> pd.Series:
    """Return a column as float64, blank cells and texts such as NA as NaN; other cells are errors.

    Args:
        cells: the column.
        findings: receives the findings.
        units: the factor of each unit that a cell may name, in any spelling; "" is a number without a unit.
    """
    factors = {"": 1.0, **{_unit_name(unit): factor for unit, factor in (units or {}).items()}}
    cells = cells.infer_objects()
    if _is_number(cells):
        values = cells.astype("float64")
        unusable = cells.notna() & ~(values.abs() < _LARGEST)
        _report(cells, np.flatnonzero(unusable), "not_a_number", _NUMBER, findings)
        return _scale(values.mask(unusable), factors[""])
    values, signs = _read_plain_numbers(cells)
    values = _scale(values, factors[""])
    convert = partial(_number, signs=signs, factors=factors)
    return values.fillna(_convert(cells.mask(values.notna()), convert, "not_a_number", findings).astype("float64"))


def _scale(values: pd.Series, factor: float) -> pd.Series:
    return values if factor == 1 else (values * factor).round(6)


def _read_plain_numbers(cells: pd.Series) -> tuple[pd.Series, frozenset[str]]:
    """Return the numbers of the texts that need no interpretation, and the decimal signs that the column shows."""
    texts = cells.where(_is_text(cells))
    values = pd.to_numeric(texts, errors="coerce").astype("float64")
    values = values.where(values.abs() < _LARGEST)
    if not any("," in _clean(text) for text in _texts(cells[values.isna()])):
        return values, frozenset()
    matches = (_split_unit(text) for text in _texts(cells))
    signs = frozenset(_decimal_sign(match[0]) for match in matches if match) - {""}
    return (values.mask(values.notna()) if "," in signs else values), signs


def _split_unit(text: str) -> tuple[str, str] | None:
    """Return the number and the unit of a text, or None if it is not a number."""
    text = _clean(text)
    if match := _IN_ARRAY.fullmatch(text):
        text = (match[1] or match[2] or "").strip()
    text = re.sub(r"(?<=\d)[ '’](?=\d{3}(?!\d))", "", text)
    match = _NUMBER_WITH_UNIT.fullmatch(text)
    return (match[1], _unit_name((match[2] or "").rstrip(". "))) if match else None


def _decimal_sign(digits: str) -> str:
    """Return the decimal sign that a number shows; empty if it has none or may have either."""
    mantissa = digits.lstrip("+-").partition("e")[0]
    return next((sign for sign, pattern in _DECIMAL_SIGNS.items() if pattern.fullmatch(mantissa)), "")


def _number(value: object, signs: frozenset[str], factors: Mapping[str, float]) -> float | _Rule:
    if not isinstance(value, str):
        return _scale_number(_float(value), factors[""])
    text = _clean(value)
    if text in _MISSING_TEXTS or not text:
        return _MISSING
    split = _split_unit(text)
    if split is None:
        return _EXACT if re.match(r"[<>≤≥≦≧~≈±]|约|大于|小于|about|approx|ca\.?\s|circa", text) else _NUMBER
    digits, unit = split
    if unit not in factors:
        known = ", ".join(filter(None, factors))
        return _Rule(f"a number{f' in {known}, or one' if known else ''} without a unit; correct the cell or clear it")
    number = _read_digits(digits, signs)
    return number if isinstance(number, _Rule) else _scale_number(number, factors[unit])


def _scale_number(number: float, factor: float) -> float | _Rule:
    if not abs(number) < _LARGEST:
        return _NUMBER
    return number if factor == 1 else round(number * factor, 6)


def _read_digits(digits: str, signs: frozenset[str]) -> float | _Rule:
    """Return the value of a number, whose decimal sign may follow from the other numbers of the column."""
    sign = _decimal_sign(digits)
    if not sign and re.search("[.,]", digits):
        if not re.fullmatch(rf"[+-]?{_EITHER_SIGN}", digits):
            return _NUMBER
        if len(signs) == 1:
            (sign,) = signs
        elif signs or "," in digits:
            return _AMBIGUOUS
    sign = sign or "."
    return float(digits.replace("," if sign == "." else ".", "").replace(sign, "."))


def _code_table(**texts: str) -> dict[str, float]:
    codes = {"one": 1.0, "two": 2.0, "zero": 0.0}
    return {text: codes[name] for name, line in texts.items() for text in line.split()}


_YES_NO = _code_table(
    one="1 true yes y t ja j oui si sí sì sim x + ++ 是 有 阳性 阳 positive pos present current wahr vrai verdadero",
    zero="0 false no n f nein non não nee - 否 无 没有 无 阴性 阴 negative neg absent never falsch faux falso",
)
_SEXES = _code_table(
    one="1 m male man men männlich maennlich mann homme h hombre masculin masculino maschio uomo homem masc masc. "
    "男 男性",
    two="2 f female woman women w weiblich frau femme mujer féminin feminin femenino feminino femmina donna mulher "
    "vrouw v fem fem. 女 女性",
)


def yes_no(cells: pd.Series, findings: RecordFindings, codes: Mapping[str, float] | None = None) -> pd.Series:
    """Return 1 for yes, 0 for no, and NaN for a blank cell or a text such as unknown.

    Args:
        cells: the column.
        findings: receives the findings.
        codes: the value of each text in lower case, in the place of the texts for yes and no that are known.
    """
    if codes is None and _holds_only(cells, 0, 1):
        return cells.astype("float64")
    rule = _Rule(f"0 or 1, yes or no ({', '.join(codes)} by the mapping)" if codes else "0 or 1, yes or no")
    rule = _Rule(f"{rule}; correct the cell, or say in mapping.yaml what the values mean")
    if codes is None:  # other numbers are out of range, as in the checks
        words = _each(cells, _word)
        numeric = words.str.fullmatch(r"-?\d[\d.]*", na=False).astype(bool) & ~words.isin(list(_YES_NO))
        _report(cells, np.flatnonzero(numeric), "out_of_range", rule, findings)
        cells = cells.mask(numeric)
    convert = partial(_code, codes=codes or _YES_NO, rule=rule)
    return _convert(cells, convert, "not_a_number", findings).astype("float64")


def sex(cells: pd.Series, findings: RecordFindings, codes: Mapping[str, float] | None = None) -> pd.Series:
    """Return 1 for male, 2 for female (ISO 5218), and NaN for a blank cell or a text such as unknown.

    Args:
        cells: the column.
        findings: receives the findings.
        codes: the value of each text in lower case, in the place of the texts for the sexes that are known.
    """
    if codes is None and _holds_only(cells, 1, 2):
        return cells.astype("float64")
    rule = _Rule("男 or 女, male or female, M or F, 1 male or 2 female; correct the cell, or say in mapping.yaml "
                 "what the values mean")  # fmt: skip
    table = {text: code for text, code in _SEXES.items() if text != "m" or not _may_be_spanish(cells)}
    convert = partial(_code, codes=codes or table, rule=rule)
    return _convert(cells, convert, "unknown_sex", findings).astype("float64")


def read_code(word: str, kind: str) -> str:
    """Return what a word means in a column of the kind sex or yes_no: male, female, yes or no; else an empty text."""
    if kind == "sex":
        return {1.0: "male", 2.0: "female"}.get(_SEXES.get(word, 0.0), "")
    return {1.0: "yes", 0.0: "no"}.get(_YES_NO.get(word, 2.0), "")


def _holds_only(cells: pd.Series, *numbers: float) -> bool:
    """Return whether a column of numbers holds these numbers and gaps only."""
    return _is_number(cells) and bool((cells.isin(numbers) | cells.isna()).all())


def _may_be_spanish(cells: pd.Series) -> bool:
    """Return whether M may be mujer, because H (hombre) is there too."""
    return {_clean(text) for text in _texts(cells)} >= {"h", "m"}


def _word(value: object) -> str:
    return re.sub(r"^\((.*)\)$", r"\1", _clean(_text(value)))


def _code(value: object, codes: Mapping[str, float], rule: _Rule) -> float | _Rule:
    word = _word(value)
    return codes.get(word, _MISSING if word in _MISSING_TEXTS or not word else rule)


def blood_pressure(cells: pd.Series, findings: RecordFindings) -> tuple[pd.Series, pd.Series]:
    """Split cells such as "180/90" into systolic and diastolic mmHg."""
    results = _convert(cells, _pressure, "blood_pressure", findings).dropna()
    columns = ["systolic", "diastolic", "has_spaces"]
    parts = pd.DataFrame(results.to_list(), index=results.index, columns=columns).reindex(cells.index)
    name, rows = str(cells.name), np.flatnonzero(parts["has_spaces"].eq(1))
    systolic, diastolic = parts["systolic"].astype("float64"), parts["diastolic"].astype("float64")

    def message(record: int) -> str:
        reading = f"{systolic[record]:g}/{diastolic[record]:g}"
        return f"blood pressure is {str(cells[record])!r}, with spaces; it is read as {reading}"

    findings.each("warning", "blood_pressure_spaces", rows, name, message, cells.get)
    return systolic, diastolic


def _pressure(value: object) -> tuple[float, float, bool] | _Rule:
    text = _clean(str(value))
    if text in _MISSING_TEXTS:
        return _MISSING
    match = re.fullmatch(r"(\d+)(\s*[/⁄-]\s*)(\d+)(\s*mmhg)?", text)
    if not match:
        return _PRESSURE
    has_spaces = match[2] != match[2].strip() or str(value) != str(value).strip()
    return float(match[1]), float(match[3]), has_spaces


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
    if _holds_excel_days(cells):
        seconds = (cells.astype("float64") * 86400).round()
        values = (_EXCEL_ORIGIN + pd.to_timedelta(seconds, unit="s")).astype("datetime64[us]")
        first = cells.first_valid_index()
        message = (
            f"{cells.name} holds numbers such as {cells[first]:g}; they are read as Excel's dates: {values[first]}"
        )
        _add_one("warning", "excel_dates", cells, np.flatnonzero(cells.notna()), message, findings)
    elif pd.api.types.is_datetime64_dtype(cells) and not order.endswith("_swapped"):
        values = cells.astype("datetime64[us]")
    else:
        texts = cells.astype(object).where(_is_text(cells))
        for form in _USUAL_FORMATS[order.removesuffix("_swapped")]:
            unread = texts[values.isna() & texts.notna()]
            values = values.fillna(pd.to_datetime(unread, format=form, errors="coerce").astype("datetime64[us]"))
    has_clock = values.notna()
    results = _convert(cells.mask(has_clock), partial(_time, order=order), "not_a_time", findings).dropna()
    if len(results):
        times_read = pd.DataFrame(results.to_list(), index=results.index, columns=["time", "has_clock"])
        values = values.fillna(times_read["time"].astype("datetime64[us]"))
        has_clock |= times_read["has_clock"].reindex(cells.index, fill_value=False)
    outside = values.notna() & ~values.dt.year.between(1970, 2100)  # a spreadsheet shows 0 as 1900
    _report(cells, np.flatnonzero(outside), "not_a_time", _DATE_RULES[order.removesuffix("_swapped")], findings)
    values = values.mask(outside)
    midnight = has_clock & (values == values.dt.normalize())
    if midnight.sum() > max(1, len(values) / 100) or midnight.sum() == values.notna().sum():
        has_clock &= ~midnight
    return values, has_clock & values.notna()


def _holds_excel_days(cells: pd.Series) -> bool:
    return _is_number(cells) and bool(cells.notna().any() and cells.dropna().between(*_EXCEL_DAYS).all())


def _time(value: object, order: str) -> tuple[dt.datetime, bool] | _Rule:
    """Return a time and whether the cell holds a time of day."""
    order, is_swapped = order.removesuffix("_swapped"), order.endswith("_swapped")
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            return _DATE_RULES[order]
        return value.replace(month=value.day, day=value.month) if is_swapped and value.day <= 12 else value, True
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day), False
    text = _clean(_text(value))
    if text in _MISSING_TEXTS:
        return _MISSING
    return read_time(text, order) or _DATE_RULES[order]


def clocks(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return times of day as timedelta64, from cells such as 13:20, 1320, 1:20 PM or Excel's fraction of a day."""
    return pd.to_timedelta(_convert(cells, _clock, "not_a_time", findings)).astype("timedelta64[us]")


def _clock(value: object) -> dt.timedelta | _Rule:
    if isinstance(value, dt.datetime) and value.year < 1901:  # Excel's day 0
        value = value.time()
    if isinstance(value, dt.time):
        return dt.timedelta(hours=value.hour, minutes=value.minute, seconds=value.second)
    if isinstance(value, dt.timedelta):
        return value if dt.timedelta() <= value < dt.timedelta(days=1) else _CLOCK
    if 0 <= _float(value) < 1:
        return dt.timedelta(seconds=round(86400 * _float(value)))
    text = _clean(_text(value))
    if text in _MISSING_TEXTS:
        return _MISSING
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
    prepared = cells if _is_number(cells) else _each(cells, partial(_duration, factor=factor))
    return numbers(prepared, findings, {**FACTORS["hours"], "": factor})


def _duration(value: object, factor: float) -> object:
    """Return a cell that holds hours and minutes as a number of the unit with this factor, other cells unchanged."""
    if isinstance(value, dt.time):
        value = dt.timedelta(hours=value.hour, minutes=value.minute, seconds=value.second)
    if isinstance(value, dt.timedelta):
        return value.total_seconds() / 3600 / factor
    match = _HOURS_AND_MINUTES.fullmatch(_clean(value)) if isinstance(value, str) else None
    if not match:
        return value
    hour, minute, second = (float(part or 0) for part in (match[1] or match[4], match[2] or match[5], match[3]))
    return (hour + minute / 60 + second / 3600) / factor if max(minute, second) < 60 else value


def _sample(cells: pd.Series, size: int) -> pd.Series:
    """Return about this many cells that are not blank, from the whole column."""
    given = cells[~is_blank(cells)]
    return given[:: 1 + len(given) // size]


def date_orders(cells: pd.Series) -> set[str]:
    """Return the orders of day, month and year that fit the texts of a column; two of them where it may be either.

    Texts with the year first and real dates are year_first only; empty where less than 90 % of the texts are dates.
    """
    texts = {text for text in map(_clean, _texts(_sample(cells, 20_000))) if text not in _MISSING_TEXTS}
    if not texts:
        return {"year_first"} if "time" in looks_like(cells) else set()
    fits = {order: sum(isinstance(_time(text, order), tuple) for text in texts) for order in _DATE_RULES}
    most = max(fits.values())
    orders = {order for order, count in fits.items() if count == most}
    if most < 0.9 * len(texts) or ("year_first" not in orders and may_begin_with_years(texts)):
        return set()
    return {"year_first"} if "year_first" in orders else orders


def mixes_dates(cells: pd.Series) -> bool:
    """Return whether real dates stand beside texts such as 13/05/2031.

    A spreadsheet has then probably exchanged day and month in the real dates, and left the others as text.
    """
    if not _is_object(cells):
        return False
    has_dates = any(issubclass(kind, dt.datetime) for kind in set(cells.dropna().map(type)))
    return has_dates and any(DATE_IN_ORDER.match(_clean(text)) for text in _texts(cells))


def cell_units(cells: pd.Series) -> Counter[str]:
    """Return how often a unit follows the number in a cell, by the unit in lower case."""
    sample = _sample(cells, 20_000)
    splits = (_split_unit(text) for text in sample[_is_text(sample)])
    return Counter(split[1].lower() for split in splits if split and split[1])


def plain_numbers(cells: pd.Series) -> pd.Series:
    """Return the numbers without a unit of a column, in the way in which `numbers` reads them."""
    sample = _sample(cells, 20_000).infer_objects()
    if _is_number(sample):
        return sample.astype("float64")
    values, signs = _read_plain_numbers(sample)

    def read(value: object) -> float:
        split = _split_unit(value) if isinstance(value, str) else None
        number = _read_digits(split[0], signs) if split and not split[1] else _float(value)
        return math.nan if isinstance(number, _Rule) else number

    return values.fillna(_each(sample.mask(values.notna()), read).astype("float64")).dropna()


def looks_like(cells: pd.Series) -> set[str]:
    """Return what at least 90 % of the cells that are not blank can be.

    Returns:
        Some of number, time, clock, yes_no, sex, pressure and duration; only text where none fits.
    """
    sample = _sample(cells, 300).infer_objects()
    kinds = {"time"} if _holds_excel_days(sample) else set()
    for kind, convert in _KINDS.items():
        results = _each(sample, convert)
        results = results[results.map(lambda result: result is not _MISSING).astype(bool)]
        fits = results.map(lambda result: not isinstance(result, _Rule)).mean()
        if len(results) and fits >= 0.9:
            kinds.add(kind)
    if _may_be_spanish(sample):
        kinds.discard("sex")
    return kinds or ({"text"} if _texts(sample) else set())


def _number_with_unit(value: object) -> object:
    split = _split_unit(value) if isinstance(value, str) else None
    return _read_digits(split[0], frozenset(".")) if split else _number(value, frozenset(), {"": 1.0})


def _text_duration(value: object) -> object:
    return _NUMBER if isinstance(_duration(value, 1.0), type(value)) else value


_KINDS: dict[str, Callable[[Any], object]] = {
    "number": _number_with_unit,
    "time": lambda value: max((_time(value, order) for order in _DATE_RULES), key=lambda result: type(result) is tuple),
    "clock": _clock,
    "yes_no": partial(_code, codes=_YES_NO, rule=_NUMBER),
    "sex": partial(_code, codes=_SEXES, rule=_NUMBER),
    "pressure": _pressure,
    "duration": _text_duration,
}
