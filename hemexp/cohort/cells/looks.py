"""Say what the cells of a column look like: kind, units and order of dates."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from hemexp.cohort.cell import (
    MISSING,
    MISSING_TEXTS,
    NUMBER_RULE,
    SEXES,
    YES_NO,
    Rule,
    as_float,
    clean_cell,
    find_code,
    read_digits,
    read_number,
    read_pressure,
    split_unit,
)
from hemexp.cohort.cells.convert import convert_each, distinct_texts, is_blank, is_number, is_object, is_text
from hemexp.cohort.cells.dates import DATE_IN_ORDER, may_begin_with_years
from hemexp.cohort.cells.numbers import read_plain_numbers
from hemexp.cohort.cells.times import (
    DATE_RULES,
    find_epoch_unit,
    holds_excel_days,
    read_cell_clock,
    read_cell_time,
    read_duration,
)


def _sample(cells: pd.Series, size: int) -> pd.Series:
    """Return about this many cells that are not blank, from the whole column."""
    given = cells[~is_blank(cells)]
    return given[:: 1 + len(given) // size]


def date_orders(cells: pd.Series) -> set[str]:
    """Return the orders of day, month and year that fit the texts of a column; two of them where it may be either.

    Texts with the year first and real dates are year_first only; empty where less than 90 % of the texts are dates.
    """
    texts = {text for text in map(clean_cell, distinct_texts(_sample(cells, 20_000))) if text not in MISSING_TEXTS}
    if not texts:
        return {"year_first"} if "time" in looks_like(cells) else set()
    fits = {order: sum(isinstance(read_cell_time(text, order), tuple) for text in texts) for order in DATE_RULES}
    most = max(fits.values())
    orders = {order for order, count in fits.items() if count == most}
    if most < 0.9 * len(texts) or ("year_first" not in orders and may_begin_with_years(texts)):
        return set()
    return {"year_first"} if "year_first" in orders else orders


def holds_days(cells: pd.Series) -> bool:
    """Return whether a column holds dates of which none has a time of day."""
    results = [
        max((read_cell_time(value, order) for order in DATE_RULES), key=_is_time) for value in _sample(cells, 300)
    ]
    times = [result for result in results if isinstance(result, tuple)]
    return bool(times) and all(not has_clock or time.time() == dt.time() for time, has_clock in times)


def _is_time(result: object) -> bool:
    return isinstance(result, tuple)


def mixes_dates(cells: pd.Series) -> bool:
    """Return whether real dates stand beside texts such as 13/05/2031.

    A spreadsheet has then probably exchanged day and month in the real dates, and left the others as text.
    """
    if not is_object(cells):
        return False
    has_dates = any(issubclass(kind, dt.datetime) for kind in set(cells.dropna().map(type)))
    return has_dates and any(DATE_IN_ORDER.match(clean_cell(text)) for text in distinct_texts(cells))


def cell_units(cells: pd.Series) -> Counter[str]:
    """Return how often a unit follows the number in a cell, by the unit in lower case."""
    sample = _sample(cells, 20_000)
    splits = (split_unit(text) for text in sample[is_text(sample)])
    return Counter(split[1].lower() for split in splits if split and split[1])


def plain_numbers(cells: pd.Series) -> pd.Series:
    """Return the numbers without a unit of a column, in the way in which `numbers` reads them."""
    sample = _sample(cells, 20_000).infer_objects()
    if is_number(sample):
        return sample.astype("float64")
    values, signs = read_plain_numbers(sample)

    def read(value: object) -> float:
        split = split_unit(value) if isinstance(value, str) else None
        number = read_digits(split[0], signs) if split and not split[1] else as_float(value)
        return math.nan if isinstance(number, Rule) else number

    return values.fillna(convert_each(sample.mask(values.notna()), read).astype("float64")).dropna()


def looks_like(cells: pd.Series) -> set[str]:
    """Return what at least 90 % of the cells that are not blank can be.

    Returns:
        Some of number, time, clock, yes_no, sex, pressure and duration; only text where none fits.
    """
    sample = _sample(cells, 300).infer_objects()
    kinds = {"time"} if holds_excel_days(sample) or find_epoch_unit(sample) else set()
    for kind, convert in _KINDS.items():
        results = convert_each(sample, convert)
        results = results[results.map(lambda result: result is not MISSING).astype(bool)]
        fits = results.map(lambda result: not isinstance(result, Rule)).mean()
        if len(results) and fits >= 0.9:
            kinds.add(kind)
    return kinds or ({"text"} if distinct_texts(sample) else set())


def _number_with_unit(value: object) -> object:
    split = split_unit(value) if isinstance(value, str) else None
    return read_digits(split[0], frozenset(".")) if split else read_number(value, frozenset(), {"": 1.0})


def _text_duration(value: object) -> object:
    return NUMBER_RULE if isinstance(read_duration(value, 1.0), type(value)) else value


_KINDS: dict[str, Callable[[Any], object]] = {
    "number": _number_with_unit,
    "time": lambda value: max(
        (read_cell_time(value, order) for order in DATE_RULES), key=lambda result: type(result) is tuple
    ),
    "clock": read_cell_clock,
    "yes_no": partial(find_code, codes=YES_NO, rule=NUMBER_RULE),
    "sex": partial(find_code, codes=SEXES, rule=NUMBER_RULE),
    "pressure": read_pressure,
    "duration": _text_duration,
}
