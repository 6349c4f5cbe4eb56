"""Read the values of one patient, each with a name that the user chose, by the rules for the cells of a table.

It works without pandas, so that a command with one patient answers at once.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from hemexp.cohort import columns as c
from hemexp.cohort.cell import (
    MISSING,
    MISSING_TEXTS,
    SEXES,
    YES_NO,
    Rule,
    clean_cell,
    find_code,
    name_unit,
    read_code,
    read_number,
    read_pressure,
)
from hemexp.cohort.headers import FACTORS, clean, read_header, squeeze
from hemexp.cohort.mapping.mapping import INPUT, UNUSED, ColumnMapping
from hemexp.cohort.mapping.mapping import Mapping as ColumnsMapping
from hemexp.cohort.mapping.units import get_factor
from hemexp.errors import UserError

Values = dict[str, float | str]  # by column, in our units; a text is the level of a text column
_FIRST_HOURS = "onset_to_first_scan"
_SAME = {"hours_from_onset": _FIRST_HOURS, "hours": _FIRST_HOURS, "onset_to_first_scan": _FIRST_HOURS}
_YES_NO_RULE, _SEX_RULE = Rule("0 or 1, yes or no"), Rule("male or female, M or F, 1 male or 2 female")


@dataclass(frozen=True)
class _Key:
    """A name that the user gave: the column that it means, and how its value is written."""

    name: str
    column: str
    unit: str | None = None
    codes: Mapping[str, str] | None = None


def read_patient(
    given: Mapping[str, object],
    inputs: Collection[str],
    texts: Collection[str] = (),
    load_mapping: Callable[[], ColumnsMapping | None] = lambda: None,
) -> Values:
    """Return the values of a patient by column, NaN where a value is said to be missing.

    Args:
        given: values by name: our name of a column, a header of the run's files, or a usual header with its unit.
        inputs: columns that the model uses. Other columns that hemexp knows are read, too.
        texts: columns among them that hold texts.
        load_mapping: returns the mapping of the run; it is called only where a name is not known otherwise.

    Raises:
        UserError: a name or a value cannot be used; the message names ``patient.NAME`` and the rule.
    """
    values: Values = {}
    names: dict[str, str] = {}
    for name, value in given.items():
        key = _find_key(name, inputs, load_mapping)
        if key is None:
            raise UserError(_describe_unknown(name, inputs))
        for column, number in _read_value(key, value, texts).items():
            if column in values:
                raise UserError(
                    f"patient.{name}: is {column}, as patient.{names[column]} is; rule: each value once; remove one"
                )
            values[column], names[column] = number, name
    systolic, diastolic = (_number(values.get(column)) for column in ("systolic", "diastolic"))
    if systolic <= diastolic:
        raise UserError(
            f"patient.{names['systolic']}: blood pressure is {systolic:g}/{diastolic:g}; rule: systolic is above "
            "diastolic; correct the value"
        )
    return values


def get_source(name: str, kind: str) -> str:
    """Return the column that an input of this name and kind is computed from."""
    if name in c.LOGARITHMS:
        return c.LOGARITHMS[name][0]
    return name.partition("=")[0] if kind == "level" else name


def describe_column(name: str) -> str:
    """Return a column with its unit, as a user may give it: ``age (years)``, ``volume_ml``."""
    known = c.known_columns().get(name)
    if known is None or not known.unit or known.kind == "sex":
        return name
    short = {"HM_volume": "volume_ml", "ED_volume": "edema_volume_ml", _FIRST_HOURS: "hours"}.get(name)
    return short or f"{name} ({'mL' if known.kind == 'volume' else known.unit})"


def _number(value: float | str | None) -> float:
    return value if isinstance(value, float) else math.nan


def _find_key(name: str, inputs: Collection[str], load_mapping: Callable[[], ColumnsMapping | None]) -> _Key | None:
    """Return what a name means; None where it means nothing."""
    if name in inputs or name in c.known_columns():
        return _Key(name, _SAME.get(name, name), (c.known_columns()[name].unit if name in c.known_columns() else None))
    mapping = load_mapping()
    for column in (each for table in mapping.tables for each in table.columns) if mapping else ():
        if squeeze(column.column) == squeeze(name) and column.means != UNUSED and not column.scan:
            return _build_key(name, column, inputs)
    if name in _SAME:
        return _Key(name, _SAME[name], "hours")
    own = {squeeze(column): column for column in inputs if column not in c.known_columns()}
    if squeeze(name) in own:
        return _Key(name, own[squeeze(name)])
    header = read_header(name)
    return _Key(name, _SAME.get(header.means, header.means), header.unit or None) if header.means else None


def _build_key(name: str, column: ColumnMapping, inputs: Collection[str]) -> _Key:
    """Return the meaning of a header of the run's files, with its unit and its codes there."""
    own = {f"{column.column} [{column.letter}]", f"{column.column} (own)", column.column}
    means = column.means if column.means != INPUT else next((each for each in inputs if each in own), column.column)
    known = c.known_columns().get(means)
    return _Key(name, _SAME.get(means, means), column.unit or (known.unit if known else None), column.values)


def _read_value(key: _Key, value: object, texts: Collection[str]) -> Values:
    """Return the value of a name, by column; a blood pressure has two.

    Raises:
        UserError: it cannot be used.
    """
    text = (
        ""
        if value is None
        else {True: "yes", False: "no"}.get(value, str(value))
        if isinstance(value, bool)
        else str(value)
    )
    if text.startswith(("[", "{")):
        raise UserError(f"patient.{key.name}={text}: is not a single value; rule: patient.NAME=VALUE")
    known = c.known_columns().get(key.column)
    if key.column in texts:
        return {key.column: math.nan if not text.strip() or clean_cell(text) in MISSING_TEXTS else text.strip()}
    if not text.strip():
        return {key.column: math.nan}
    if known is not None and known.kind == "pressure":
        pressure = read_pressure(text)
        if isinstance(pressure, Rule):
            return (
                dict.fromkeys(("systolic", "diastolic"), math.nan)
                if pressure == MISSING
                else _refuse(key, text, pressure)
            )
        numbers: Values = {"systolic": pressure[0], "diastolic": pressure[1]}
    else:
        found = _read_number(key, text, known)
        if isinstance(found, Rule):
            return {key.column: math.nan} if found == MISSING else _refuse(key, text, found)
        numbers = {key.column: found}
    for column, number in numbers.items():
        legal = c.known_columns()[column].legal_values if column in c.known_columns() else None
        if legal is not None and isinstance(number, float) and not legal.allows(number):
            _refuse(key, text, Rule(legal.words))
    return numbers


def _refuse(key: _Key, text: str, rule: Rule) -> Values:
    raise UserError(
        f"patient.{key.name}={text}: {key.column} is {text!r}; rule: {rule.partition(';')[0]}; correct the value"
    )


def _read_number(key: _Key, text: str, known: c.Column | None) -> float | Rule:
    """Return the number of a text in the unit of our column, or the rule that it breaks."""
    if known is not None and known.kind in {"yes_no", "sex"}:
        table, rule = (SEXES, _SEX_RULE) if known.kind == "sex" else (YES_NO, _YES_NO_RULE)
        codes = {clean(code): table[read_code(clean(word), known.kind)] for code, word in (key.codes or {}).items()}
        whole = re.sub(r"(?<=\d)\.0+$", "", text.strip())  # 1.0 is the code 1
        return find_code(whole, table | codes, rule)
    if known is None:  # an input of the user
        return YES_NO[clean(text)] if clean(text) in YES_NO else read_number(text, frozenset(), {"": 1.0})
    if known.kind not in {"number", "whole", "volume", "hours"}:
        return Rule("a value that is known at the first scan, and is a number or yes or no")
    units = FACTORS.get(known.kind) or {known.unit: 1.0, **dict(known.units)}
    factor = get_factor(known.name, key.unit)
    if factor is None:
        return Rule(f"a unit of {known.name}: {', '.join(filter(None, units))}")
    if key.unit is None and known.kind in {"volume", "hours"}:
        number = read_number(text, frozenset(), {name_unit(unit): each for unit, each in units.items()})
        example = "volume_ml=25 or '25 mL'" if known.kind == "volume" else "hours=2 or '120 minutes'"
        is_wrong = isinstance(number, Rule) and number != MISSING
        return Rule(f"a number with its unit, such as {example}") if is_wrong else number
    number = read_number(text, frozenset(), {**{name_unit(unit): each for unit, each in units.items()}, "": factor})
    plain = read_number(text, frozenset(), {"": factor})
    least = known.usual[0] if known.usual and known.kind == "volume" and key.name == known.name else 0.0
    if isinstance(plain, float) and 0 < plain < least:  # 25 are hardly 0.025 mL
        return Rule("a number of 10^-3 mL, or one with its unit, such as '25 mL'")
    return number


def _describe_unknown(name: str, inputs: Collection[str]) -> str:
    """Return the message for a name that means nothing: what is similar, and all inputs with their units."""
    candidates = {squeeze(text): text for column in inputs for text in (describe_column(column), column)}
    similar = dict.fromkeys(candidates[each] for each in get_close_matches(squeeze(name), candidates))
    hint = f"did you mean {' or '.join(similar)}? " if similar else ""
    return f"patient.{name}: there is no such input; {hint}the inputs of this model are {list_inputs(inputs)}"


def list_inputs(inputs: Collection[str]) -> str:
    """Return the inputs of a model with their units, in words; radiomics and territories are counted."""
    from hemexp.cohort.find_column import list_columns

    return list_columns([describe_column(column) for column in inputs])
