"""Find how the values of each column are written: the unit, the codes, and the order of day and month."""

import re

import pandas as pd

from hemexp.cohort import cells
from hemexp.cohort import columns as c
from hemexp.cohort.headers import FACTORS, clean, squeeze
from hemexp.cohort.mapping.mapping import INPUT, MISSING_CODES, UNUSED, ColumnMapping
from hemexp.cohort.mapping.matched_table import MatchedTable, show
from hemexp.cohort.mapping.units import get_factor, list_units

_TIMES = {"scan": ("scan_time", "scan_date", "scan_clock"), "onset": ("onset_time", "onset_date", "onset_clock")}
_MALE_WORDS = ("male", "malesex", "malegender", "男性")
_YES = {"1", "1.0", "true", "yes", "y", "ja", "oui", "si", "sí", "x", "是", "有"}
_V_M = {"v", "m"}  # varón and mujer, or vrouw and man
_FEMALE_WORDS = ("female", "femalesex", "女性")
_HIGH_CODES = {9, 77, 88, 99, 777, 888, 999, 7777, 8888, 9999, 99999, 999999}
_LARGEST_SCORE = 9  # may be one of a few values of a scale
_FAR_FROM_0 = 0.2  # of the median: where all others are larger, a 0 says that a value is unknown, such as an age
_NEGATIVE_CODES = {-1, -7, -8, -9, -77, -88, -99, -888, -999, -9999}
_TOKEN = r"\d+|[^\W\d_]+"


def find_formats(table: MatchedTable) -> None:
    """Find or ask the unit, the codes and the order of dates of every used column that lacks them."""
    for position, column in enumerate(table.columns):
        if column.means in {UNUSED, INPUT}:
            column.unit = None
            continue
        _find_unit(table, position, column)
        if column.values is None:
            _find_codes(table, position, column)
        if column.missing is None and table.asks:
            _find_missing_codes(table, position, column)
    _find_date_orders(table)
    for position, column in enumerate(table.columns):
        column.examples = table.examples(position)


def _find_unit(table: MatchedTable, position: int, column: ColumnMapping) -> None:
    """Find the unit of a number in its header, in its cells or, where that is safe, from its size."""
    known = table.known[column.means]
    if known.kind not in {"volume", "hours"} and not known.units:
        column.unit = None
        return
    if column.unit is None or get_factor(column.means, column.unit) is None:
        column.unit = table.unit_of_header(position, column.means)
    if column.unit is not None:
        return
    values = cells.plain_numbers(table.cells(position)) if table.asks else pd.Series(dtype=float)
    if values.empty:
        return  # the cells name their own units, or the layout has a fixed one
    guess = _guess_unit(known, values)
    if guess is None:
        guess = _find_unit_of_earlier_scan(table, position)
    if guess is None:
        table.ask([position], "unit", f"Which unit has the {known.meaning.lower()}?", list_units(known))
    else:
        column.unit, column.sure = guess, f"{column.sure}; unit by the size of the values"


def _find_missing_codes(table: MatchedTable, position: int, column: ColumnMapping) -> None:
    """Ask about numbers such as 999 that occur several times and are not legal, or far from all others."""
    known = table.known.get(column.means)
    if known is None or known.kind not in {"number", "whole", "volume", "hours", "yes_no", "sex"}:
        return
    values = cells.plain_numbers(table.cells(position))
    codes = []
    while len(values):
        high, low = values.max(), values.min()
        code = high if high in _HIGH_CODES else low if low in _NEGATIVE_CODES else None
        if code is None and low == 0 and (known.of == "patient" and known.kind == "number"):
            code = 0
        others = values[values != code]
        number = len(values) - len(others)
        if code is None or others.empty or number < 2:
            break
        low, high = known.range or (0.0, 1.0 if known.kind == "yes_no" else float("inf"))
        is_illegal = not low <= code * (get_factor(known.name, column.unit) or 1.0) <= high
        may_be_far = known.kind in {"volume", "hours"} or code > _LARGEST_SCORE
        is_far = (may_be_far and code > 1.5 * others.max()) or (code < 0 <= others.min())
        is_far |= code == 0 and bool(others.min() > _FAR_FROM_0 * others.median())
        is_frequent = known.kind in {"volume", "hours"} and number > max(2, 2 * others.value_counts().max())
        if not is_illegal and not is_far and not is_frequent:
            break
        codes.append(show(float(code)))
        values = others
    if codes:
        text = " and ".join(codes)
        question = f"Does {text} mean that there is no value?"
        table.ask([position], "missing", question, [f"{text}{MISSING_CODES}", "they are values"])


def _find_unit_of_earlier_scan(table: MatchedTable, position: int) -> str | None:
    """Return the unit of a column whose header differs only by the number of the scan."""
    stem = re.sub(r"\d+", "", squeeze(table.sheet.header[position]))
    for text, column in zip(table.sheet.header[:position], table.columns, strict=False):
        if column.means == table.columns[position].means and stem == re.sub(r"\d+", "", squeeze(text)):
            return column.unit
    return None


def _guess_unit(known: c.Column, values: pd.Series) -> str | None:
    """Return the only unit in which the values are plausible; None if there are several or none."""
    if known.kind in {"volume", "hours"}:
        if known.kind == "hours" and (values == 0).mean() > 0.05 and (values % 1 == 0).all():
            return None  # perhaps days
        values = values[values > 0]
        if values.empty:
            return next(iter(FACTORS[known.kind]))
        middle, high = float(values.median()), float(values.quantile(0.95))
        if known.kind == "hours":
            return "hours" if 0.5 <= middle < 15 and values.max() < 1000 else None
        if 1 <= middle <= 150 and high <= 400:
            return "mL"
        return "10^-3 mL" if middle >= 1000 else None
    low, top = known.range or (-float("inf"), float("inf"))
    factors = {known.unit: 1.0, **dict(known.units)}
    fits = [unit for unit, factor in factors.items() if (values * factor).between(low, top).mean() >= 0.95]
    return fits[0] if len(fits) == 1 else None


def _find_codes(table: MatchedTable, position: int, column: ColumnMapping) -> None:
    """Find or ask the codes of sex and yes/no columns."""
    kind = table.known[column.means].kind
    if kind not in {"sex", "yes_no"}:
        return
    distinct = sorted({show(value) for value in table.cells(position).dropna().unique()})
    numeric = {text.removesuffix(".0") for text in distinct}
    legend = _read_legend(table.sheet.header[position], kind)
    if legend and numeric <= set(legend):
        column.values, column.sure = legend, "header, with its legend"
    elif kind == "sex":
        header = squeeze(table.sheet.header[position])
        if header in _MALE_WORDS + _FEMALE_WORDS and "yes_no" in table.looks(position):
            yes, no = ("male", "female") if header in _MALE_WORDS else ("female", "male")
            column.values = {text: yes if clean(text) in _YES else no for text in distinct}
        elif (
            table.asks and len(numeric) == 2 and ("sex" not in table.looks(position) or {*map(clean, numeric)} == _V_M)
        ):
            a, b = sorted(numeric)
            table.ask(
                [position], "values", "Which value means male?",
                [f"{a} = male, {b} = female", f"{b} = male, {a} = female"],
            )  # fmt: skip
    elif table.asks and "yes_no" not in table.looks(position) and len(numeric) == 2:
        a, b = sorted(numeric)
        both = [] if a.isdigit() else [f"{a} = yes, {b} = yes"]
        answers = [f"{a} = yes, {b} = no", f"{b} = yes, {a} = no", *both]
        table.ask([position], "values", "Which value means yes?", answers)


def _read_legend(header: str, kind: str) -> dict[str, str]:
    """Return the codes that a header explains, such as ``Sex (0=female, 1=male)`` or ``性别（1男2女）``."""
    text = clean(header)
    parts = re.findall(r"\(([^)]*)\)", text) or re.findall(r"(?:\d|[^\W\d_]+)\s*=.*", text)
    tokens = [token for part in parts for token in re.findall(_TOKEN, part)]
    if tokens and not tokens[0].isdigit():
        tokens = [token for pair in zip(tokens[1::2], tokens[::2], strict=False) for token in pair]
    legend = dict(zip(tokens[::2], (cells.read_code(word, kind) for word in tokens[1::2]), strict=False))
    return legend if len(legend) > 1 and all(key.isdigit() and code for key, code in legend.items()) else {}


def _find_date_orders(table: MatchedTable) -> None:
    """Find the order of day and month from all date columns of the table together."""
    names = [name for names in _TIMES.values() for name in names[:2]]
    positions = [i for i in table.positions(*names) if table.columns[i].dates is None]
    orders: dict[int, set[str]] = {i: cells.date_orders(table.cells(i)) for i in positions}
    swapped = [i for i in orders if cells.mixes_dates(table.cells(i))]
    decided = [found - {"year_first"} for found in orders.values() if len(found) == 1]
    decided = [found for found in decided if found]
    ambiguous = []
    for i, found in orders.items():
        if len(found) == 1:
            table.columns[i].dates = next(iter(found))
        elif len(found) > 1:
            if decided and all(each == decided[0] for each in decided):
                table.columns[i].dates = next(iter(decided[0]))
            else:
                ambiguous.append(i)
    if swapped and table.asks:
        right = [order for order in ("day_first", "month_first") if any(order in orders[i] for i in swapped)]
        question = (
            "Some cells are real dates and others are texts. Excel has perhaps exchanged day and month in the "
            "real dates (swapped). Which is right?"
        )
        table.ask(swapped, "dates", question, [*right, *(f"{order}_swapped" for order in right)])
    ambiguous = [i for i in ambiguous if i not in swapped]
    if ambiguous and table.asks:
        table.ask(ambiguous, "dates", "Which comes first in these dates?", ["day_first", "month_first"])
