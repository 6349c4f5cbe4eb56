"""Convert cells to patient ids and scan serials."""

import re

import numpy as np
import pandas as pd

from hemexp.cohort.cell import LARGEST, MISSING_TEXTS, Rule, as_float, cell_text
from hemexp.cohort.cells.convert import add_one, convert_cells, convert_each, distinct_texts, is_number
from hemexp.cohort.findings import RecordFindings, count_values
from hemexp.cohort.headers import INVISIBLE

_MOST = 0.5  # of the ids
_POWER = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d+")
_SERIAL = Rule("all digits of the serial, as text or a whole number; enter it as text")


def ids(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return patient ids as text, blank cells as an empty text; a whole number has no decimals: 1.0 is "1".

    A mark of missing values such as NA is a blank cell where most ids have digits; else it may be a patient's initials.
    """
    _warn_invisible(cells, findings)
    rounded = _report_rounded(cells, findings)
    _report_powers(cells, findings)
    texts = convert_each(cells.mask(rounded), lambda value: re.sub(r"^(\d+)\.0+$", r"\1", cell_text(value))).fillna("")
    marks = texts.isin({text for text in texts.unique() if text.lower() in MISSING_TEXTS})
    texts = texts.mask(texts.isin({text for text in texts.unique() if not re.search(r"\w", text)}), "")  # * or ?
    if marks.any() and texts[~marks].str.contains(r"\d").mean() > _MOST:
        texts = texts.mask(marks, "")
    return texts


def serials(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return scan serials as text, blank cells as None; a serial that lost digits in a spreadsheet is an error.

    Where most serials have the 14 digits of the published files, another form is a warning.
    """
    _warn_invisible(cells, findings)
    rounded = _report_rounded(cells, findings)
    values = convert_cells(cells.mask(rounded), _serial, "serial_unreadable", findings)
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
    text = cell_text(value)
    match = None if text.isdigit() else _NUMBER_IN_TEXT.fullmatch(text)
    if not match:
        return text
    is_whole = match[2] == "." and not match[3].strip("0") and not match[4]
    return match[1] if is_whole else _SERIAL


def _report_rounded(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    """Return which cells are numbers of more than 15 digits, after one error for all of them."""
    values = (
        cells.astype("float64") if is_number(cells) else pd.Series(map(as_float, cells.tolist()), index=cells.index)
    )
    rounded = values.abs() >= LARGEST
    message = (
        f"{cells.name} is {count_values(cells[rounded])}: numbers of 16 digits or more; rule: Excel keeps 15 digits of "
        f"a number and has changed the others; export the column as text, in {rounded.sum()} cells"
    )
    add_one("error", "serial_unreadable", cells, np.flatnonzero(rounded), message, findings)
    return rounded


def _report_powers(cells: pd.Series, findings: RecordFindings) -> None:
    """Add one error for all ids that are texts such as 1.23E+08: they have lost digits."""
    powers = cells.isin({text for text in distinct_texts(cells) if _POWER.fullmatch(text.strip())})
    message = (
        f"{cells.name} is {count_values(cells[powers])}: Excel has shortened the numbers; rule: all digits of the id; "
        f"export the column as text, in {powers.sum()} cells"
    )
    add_one("error", "serial_unreadable", cells, np.flatnonzero(powers), message, findings)


def _warn_invisible(cells: pd.Series, findings: RecordFindings) -> None:
    changed = {text for text in distinct_texts(cells) if text != text.translate(INVISIBLE)}
    if changed:
        rows = np.flatnonzero(cells.isin(changed))
        message = f"{cells.name} is {cells[rows[0]]!r}: {len(rows)} cells hold invisible characters, which are removed"
        add_one("warning", "zero_width", cells, rows, message, findings)
