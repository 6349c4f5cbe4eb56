"""Convert cells to codes: yes or no, and sex."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from hemexp.cohort.cell import SEXES, YES_NO, Rule, clean_cell, find_code, get_word
from hemexp.cohort.cells.convert import convert_cells, convert_each, distinct_texts, is_number, report
from hemexp.cohort.findings import RecordFindings


def yes_no(cells: pd.Series, findings: RecordFindings, codes: Mapping[str, float] | None = None) -> pd.Series:
    """Return 1 for yes, 0 for no, and NaN for a blank cell or a text such as unknown.

    Args:
        cells: the column.
        findings: receives the findings.
        codes: the value of more texts, in lower case; numbers among them take the place of 0 and 1.
    """
    if not codes and _holds_only(cells, 0, 1):
        return cells.astype("float64")
    legal = f"0 or 1, yes or no, or as the mapping says {', '.join(codes)}" if codes else "0 or 1, yes or no"
    rule = Rule(f"{legal}; correct the cell, or say in mapping.yaml what the values mean")
    if not codes:  # other numbers are out of range, as in the checks
        words = convert_each(cells, get_word)
        numeric = words.str.fullmatch(r"-?\d[\d.]*", na=False).astype(bool) & ~words.isin(list(YES_NO))
        report(cells, np.flatnonzero(numeric), "out_of_range", rule, findings)
        cells = cells.mask(numeric)
    convert = partial(find_code, codes=_add_codes(YES_NO, codes), rule=rule)
    return convert_cells(cells, convert, "not_a_number", findings).astype("float64")


def sex(cells: pd.Series, findings: RecordFindings, codes: Mapping[str, float] | None = None) -> pd.Series:
    """Return 1 for male, 2 for female (ISO 5218), and NaN for a blank cell or a text such as unknown.

    Args:
        cells: the column.
        findings: receives the findings.
        codes: the value of more texts, in lower case; numbers among them take the place of 1 and 2.
    """
    if not codes and _holds_only(cells, 1, 2):
        return cells.astype("float64")
    rule = Rule("男 or 女, male or female, M or F, 1 male or 2 female; correct the cell, or say in mapping.yaml "
                 "what the values mean")  # fmt: skip
    table = SEXES | ({"m": 2.0} if may_be_spanish(cells) else {})
    convert = partial(find_code, codes=_add_codes(table, codes), rule=rule)
    return convert_cells(cells, convert, "unknown_sex", findings).astype("float64")


def _add_codes(known: Mapping[str, float], codes: Mapping[str, float] | None) -> dict[str, float]:
    """Return the known codes and those of the mapping; where the mapping has numbers, no other number is known."""
    given = codes or {}
    replaces = any(map(str.isdigit, given))
    return {text: code for text, code in known.items() if not (replaces and text.isdigit())} | dict(given)


def _holds_only(cells: pd.Series, *numbers: float) -> bool:
    """Return whether a column of numbers holds these numbers and gaps only."""
    return is_number(cells) and bool((cells.isin(numbers) | cells.isna()).all())


def may_be_spanish(cells: pd.Series) -> bool:
    """Return whether M means a woman (mujer, mulher), because H (hombre, homem) is there too."""
    return {clean_cell(text) for text in distinct_texts(cells)} >= {"h", "m"}
