"""Apply the mapping that a user gives to a table, and check it."""

from dataclasses import replace
from difflib import get_close_matches

from hemexp.cohort import cells
from hemexp.cohort.findings import column_letter
from hemexp.cohort.headers import clean
from hemexp.cohort.mapping.mapping import GIVEN, INPUT, UNUSED, ColumnMapping, TableMapping
from hemexp.cohort.mapping.matched_table import MatchedTable
from hemexp.cohort.mapping.units import get_factor, list_units
from hemexp.errors import UserError


def apply_given(table: MatchedTable, given: TableMapping) -> None:
    """Take the meaning of every column from a mapping; a column that it does not name is not used.

    Raises:
        UserError: a column of the mapping is not in the table.
    """
    by_letter = {(column.column, column.letter): column for column in given.columns}
    by_text = {column.column: column for column in given.columns}
    for position, text in enumerate(table.sheet.header):
        found = by_letter.get((text, column_letter(position)))
        if found is None and table.sheet.header.count(text) == 1:
            found = by_text.get(text)
        if found is not None:
            table.columns[position] = replace(found, letter=column_letter(position), sure=GIVEN)
        else:
            table.columns[position] = ColumnMapping(
                column=text, letter=column_letter(position), sure="not in your mapping"
            )
    texts = set(table.sheet.header)
    for column in given.columns:
        if column.column not in texts and column.means != UNUSED:
            similar = get_close_matches(column.column, filter(None, texts), n=1)
            hint = f"; did you mean {similar[0]!r}?" if similar else ""
            raise UserError(
                f"data.mapping: {table.sheet.place} has no column {column.column!r}; rule: the same headers{hint}"
            )
    for column in table.columns:
        if get_factor(column.means, column.unit) is None:
            units = " or ".join(list_units(table.known[column.means])) or "no unit"
            place = f"data.mapping: {table.sheet.place}, column {column.column!r}"
            raise UserError(f"{place}: the unit is {column.unit!r}; rule: {units}")
        if column.values is not None:
            column.values = _check_values(table, column)
    _check_doubled(table, given)
    table.mapping.columns, table.mapping.rows = table.columns, given.rows


def _check_values(table: MatchedTable, column: ColumnMapping) -> dict[str, str]:
    """Return the codes of a column in our words.

    Raises:
        UserError: the column has no codes, or a code is not one of our words.
    """
    known = table.known.get(column.means)
    place = f"data.mapping: {table.sheet.place}, column {column.column!r}: values"
    if known is None or known.kind not in {"sex", "yes_no"}:
        raise UserError(f"{place} are given; rule: only for a column of the sex or of yes and no; remove them")
    words = {text: cells.read_code(clean(word), known.kind) for text, word in (column.values or {}).items()}
    for text, word in words.items():
        if not word:
            rule = "male or female" if known.kind == "sex" else "yes or no"
            raise UserError(f"{place}: {text!r} is {(column.values or {})[text]!r}; rule: {rule}")
    return words


def _check_doubled(table: MatchedTable, given: TableMapping) -> None:
    """Check that two columns of the user's mapping do not hold the same.

    Raises:
        UserError: two do.
    """
    groups: dict[tuple[str, int | None], list[int]] = {}
    for i, column in enumerate(table.columns):
        if column.means not in {UNUSED, INPUT} and table.asks:
            groups.setdefault((column.means, column.scan), []).append(i)
    for (name, _), positions in groups.items():
        if len(positions) > 1:
            labels = " and ".join(map(table.label, positions))
            rule = "one of them, or scan: 0, 1, ... where the scans of a patient are side by side"
            raise UserError(f"data.mapping: {given.place}: {labels} are {name}; rule: {rule}")
