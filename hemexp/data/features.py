"""Inputs of a model: columns of a patient's first scan, in a fixed order."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.find_column import (
    MOST_NAMED,
    describe_left_out,
    find_column,
    list_columns,
    names_later_scan,
    suggest,
)
from hemexp.cohort.headers import describe_later
from hemexp.cohort.load import Cohort
from hemexp.cohort.mapping.mapping import GIVEN, INPUT, Mapping
from hemexp.config import AvailableFeaturesConfig, ColumnsFeaturesConfig, FeaturesConfig, ModelConfig
from hemexp.errors import UserError
from hemexp.types import Array

log = logging.getLogger(__name__)

_HOURS = "onset_to_first_scan"
_BEFORE_TREATMENT = [name for name in c.CLINICAL if name not in c.TREATMENTS]

GROUPS: dict[str, list[str]] = {
    "paper": [*c.CLINICAL, *c.LOCATION, *c.RADIOMICS["ED"]],  # the radiomics of the paper's Table 3 are in the ED sheet
    "admission": [*_BEFORE_TREATMENT, _HOURS, *c.LOCATION, *c.RADIOMICS["Hemo"]],
    "minimal": ["log_volume", "log_hours"],
    "all": [*c.CLINICAL, _HOURS, *c.LOCATION, *c.RADIOMICS["Hemo"], *c.RADIOMICS["ED"]],
}
NO_VALUE = "no value in the training part"
EMPTY = "no value in any row: its cells are empty, or their formulas failed"
_KNOWN_THEN = (
    "rule: an input is known at the first scan; remove it, or give the column another header if its value is known then"
)
_BRAIN_ITEMS = (  # beside the fixed inputs of the BRAIN score: columns, the first one with values is used
    ("warfarin", "anticoagulation"),
    ("ventricular_blood",),
)


@dataclass
class Inputs:
    """The inputs of a run.

    Attributes:
        names: in order.
        left_out: columns that are not used, with the reason.
    """

    names: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def feature_names(group: str) -> list[str]:
    """Return the names of the inputs of a fixed group, in order.

    Raises:
        UserError: there is no such group.
    """
    if group not in GROUPS:
        raise UserError(f"features.name={group}: must be one of {', '.join([*GROUPS, 'available', 'columns'])}")
    return GROUPS[group]


def choose_inputs(cohort: Cohort, features: FeaturesConfig, train: Sequence[int], outcome: str | None = None) -> Inputs:
    """Return the inputs of a run. Only the patients of the training part decide which columns have enough values.

    Args:
        cohort: with all patients.
        features: the choice of inputs.
        train: table indices of the training part, validation patients included.
        outcome: the column that holds the outcome, which is never an input.

    Raises:
        UserError: a column is not in the cohort or cannot be an input, or there is no input at all.
    """
    key, training = f"features={features.name}", cohort.patients.iloc[list(train)]
    if isinstance(features, ColumnsFeaturesConfig):
        names = _find_inputs(features.columns, cohort, outcome)
        least, refuses = 0.0, True
    elif isinstance(features, AvailableFeaturesConfig):
        known = [name for name, column in c.known_columns().items() if column.is_input]
        names = [name for name in [*known, *cohort.own_inputs] if name in training and name != outcome]
        least, refuses = features.min_share, False
    else:
        names = [name for name in feature_names(features.name) if get_column(name) != outcome]
        _require_columns(names, training, key, cohort.empty)
        least, refuses = 0.0, True
    inputs = Inputs()
    if not refuses:
        possible = [name for name in cohort.empty if name in {*known, *cohort.own_inputs} - {outcome}]
        inputs.left_out |= dict.fromkeys(possible, EMPTY)
    for name in names:
        levels, reason = _check_column(training, name, least)
        if not reason:
            inputs.names += levels
        elif refuses and reason != NO_VALUE:
            raise UserError(f"{key}: {name} has {reason}")
        else:
            inputs.left_out[name] = reason
    if not inputs.names:
        raise UserError(
            f"{key}: no column is left as an input; {describe_left_out(inputs.left_out) or 'none is there'}"
        )
    if inputs.left_out:
        log.info("inputs left out: %s", describe_left_out(inputs.left_out))
    return inputs


def check_mapped_inputs(mapping: Mapping | None, names: Sequence[str]) -> None:
    """Refuse a mapping that makes an input of a column whose header names a later value.

    Args:
        mapping: of the cohort.
        names: of the inputs.

    Raises:
        UserError: names the first such column.
    """
    used = {get_column(name) for name in names} | {name.partition("=")[0] for name in names}
    for table in mapping.tables if mapping else ():
        for column in table.columns:
            known, text = c.known_columns().get(column.means), column.column
            names_of = {column.means} if column.means != INPUT else {text, f"{text} [{column.letter}]", f"{text} (own)"}
            is_core = known is not None and (known.role == "key" or known.kind in {"volume", "hours"})
            if column.sure != GIVEN or column.scan or is_core or not names_of & used:
                continue
            if later := describe_later(column.column):
                raise UserError(
                    f"data.mapping: {table.place}, column {column.column!r}: means is {column.means}, an input, but "
                    f"its value is known only later ({later}); {_KNOWN_THEN}"
                )


def fixed_inputs(model: ModelConfig, training: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the inputs of a model with fixed inputs, and those that it needs but that have no value in training.

    The BRAIN score needs the volume only: it uses each of its other items where the cohort has it.

    Args:
        model: with fixed inputs.
        training: the patients of the training part.
    """
    names = list(model.inputs or ())
    empty = [get_column(name) for name in names if not has_values(training, name)]
    if model.name != "brain":
        return names, empty
    more = [next((name for name in item if has_values(training, name)), None) for item in _BRAIN_ITEMS]
    used = [name for name in names if name not in empty]
    return [*used, *(name for name in more if name)], [name for name in empty if name == "HM_volume"]


def has_values(patients: pd.DataFrame, name: str) -> bool:
    """Return whether any of the patients has a value of an input."""
    column = get_column(name)
    return column in patients and bool(patients[column].notna().any())


def get_column(name: str, columns: Collection[str] = ()) -> str:
    """Return the column that an input is computed from: of ``name=level``, ``name`` if it is one of `columns`."""
    if name in c.LOGARITHMS:
        return c.LOGARITHMS[name][0]
    ends = [place for place, character in enumerate(name) if character == "="] if name not in columns else []
    return next((name[:end] for end in ends if name[:end] in columns), name)


def input_table(patients: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the inputs in their own units, before imputation and scaling.

    Args:
        patients: one row a patient: the first scan.
        names: of columns. ``log_volume`` is the natural logarithm of the volume in mL, ``log_hours`` of the hours from
            onset to the first scan. ``name=level`` is 1 where the text column has this level, else 0.

    Shape:
        Output: (N, F), float64, NaN where a value is missing or the column is absent.

    Raises:
        UserError: a column of numbers holds text.
    """
    columns = {name: _compute(patients, name) for name in names}
    return pd.DataFrame(columns, index=patients.index, dtype="float64")


def count_unknown_levels(patients: pd.DataFrame, names: Sequence[str]) -> dict[str, int]:
    """Return the patients whose text is not a level of an input, by column and text: ``Centre=D`` is 0 in all of them.

    Args:
        patients: one row a patient.
        names: of the inputs.
    """
    columns = {column: None for name in names if (column := get_column(name, patients.columns)) != name}
    counts = {}
    for column in columns:
        if column in patients and column not in {place for place, _, _ in c.LOGARITHMS.values()}:
            levels = {name.removeprefix(f"{column}=") for name in names if name.startswith(f"{column}=")}
            texts = _as_text(patients[column]).dropna()
            for level, number in texts[~texts.isin(levels)].value_counts().items():
                counts[f"{column}={level}"] = int(number)
    return counts


def constant_inputs(inputs: Array, names: Sequence[str]) -> list[str]:
    """Return the inputs with one value only, which cannot have an effect on the predictions.

    Args:
        inputs: (N, F) of the training part, NaN where a value is missing.
        names: (F,) of the inputs.
    """
    table = pd.DataFrame(inputs, columns=list(names))
    return [str(name) for name in table.columns[table.nunique() == 1]]


def feature_caveats(names: Sequence[str]) -> list[str]:
    """Return the caveats of a set of inputs, as codes for result.json."""
    treatments = {name for name, column in c.known_columns().items() if column.known == "treatment"}
    return ["treatments_after_first_scan"] if set(names) & treatments else []


def _compute(patients: pd.DataFrame, name: str) -> pd.Series:
    column = get_column(name, patients.columns)
    if column not in patients:
        return pd.Series(np.nan, patients.index)
    if name in c.LOGARITHMS:
        _, unit, least = c.LOGARITHMS[name]
        return pd.Series(np.log(np.maximum(patients[column] / unit, least)))
    if name == column:
        try:
            return patients[name].astype("float64")
        except ValueError as error:
            raise UserError(f"column {name}: holds text ({error}); rule: this input is a number") from None
    level = name.removeprefix(f"{column}=")
    texts = _as_text(patients[column])
    return (texts == level).astype("float64").mask(texts.isna())


def _as_text(values: pd.Series) -> pd.Series:
    """Return the levels of a column as texts: ``1`` for 1.0."""
    return values.map(as_level, "ignore")


def as_level(value: object) -> str:
    """Return a value of a column as a text: ``1`` for 1.0."""
    return f"{value:g}" if isinstance(value, float) else str(value).strip()


def _check_column(training: pd.DataFrame, name: str, least: float) -> tuple[list[str], str]:
    """Return the inputs that a column becomes, and the reason why it is not an input; empty if it is one."""
    column = get_column(name, training.columns)
    share = float(training[column].notna().mean())
    if share == 0:
        return [], NO_VALUE
    if share < least:
        return [], f"a value in {100 * share:.0f} % of the training part; features.min_share is {least:g}"
    if name != column or pd.api.types.is_numeric_dtype(training[column]):
        return [name], ""
    levels = sorted(_as_text(training[column]).dropna().unique())
    if len(levels) > c.MOST_LEVELS:
        return [], f"{len(levels)} different texts in the training part; rule: at most {c.MOST_LEVELS}"
    return [f"{name}={level}" for level in levels], ""


def _find_inputs(columns: Sequence[str], cohort: Cohort, outcome: str | None) -> list[str]:
    """Return the inputs that a user names, each once.

    Raises:
        UserError: lists every column that is not there or cannot be an input.
    """
    names, mistakes = [], []
    for column in columns:
        try:
            names.append(_find_input(column, cohort, outcome))
        except UserError as error:
            mistakes.append(str(error))
    if mistakes:
        raise UserError("\n  ".join(mistakes))
    return list(dict.fromkeys(names))


def _find_input(name: str, cohort: Cohort, outcome: str | None) -> str:
    """Return the input that a user names.

    Raises:
        UserError: there is no such column, or it cannot be an input.
    """
    present = list(cohort.scans.columns)
    inputs = [each for each in present if each not in c.known_columns() or c.known_columns()[each].known]
    column = name if name in c.LOGARITHMS else find_column(name, present, cohort.mapping)
    if column == "hours_from_onset" and _HOURS in present:
        column = _HOURS  # the same hours at the first scan
    if names_later_scan(name, cohort.mapping):
        rule = "rule: an input is known at the first scan; remove it"
        raise UserError(f"features.columns: {name} is a column of a later scan; {rule}")
    without_value = find_column(name, cohort.empty, cohort.mapping) if column is None else None
    if without_value:
        raise UserError(f"features.columns: {name} has {EMPTY}; remove it, or enter its values")
    if column is None or get_column(column) not in present:
        raise UserError(f"features.columns: the cohort has no column {name}; {suggest(name, inputs)}")
    known = c.known_columns().get(column)
    later = describe_later(column) if known is None and column not in c.LOGARITHMS and column != outcome else ""
    if later:
        raise UserError(f"features.columns: {name} is known only later ({later}); {_KNOWN_THEN}")
    if column == "center":
        raise UserError(
            f"features.columns: {name} is the center of the patient; rule: the center is never an input, because the "
            "model could not be used in another center; remove it"
        )
    if column == outcome:
        raise UserError(f"features.columns: {name} is the outcome (label.column); rule: the outcome is never an input")
    if known is not None and known.known not in {"first_scan", "treatment"}:
        problem = "is known only later" if known.known == "later" else "is an id, or a time of a scan"
        raise UserError(f"features.columns: {name} {problem}; rule: an input is known at the first scan; remove it")
    return column


def _require_columns(names: Sequence[str], patients: pd.DataFrame, key: str, empty: Collection[str]) -> None:
    """Refuse a fixed group where the cohort lacks some of its columns.

    Raises:
        UserError: names and counts them.
    """
    absent = [name for name in names if get_column(name) not in patients]
    if absent:
        without_values = [name for name in absent if get_column(name) in empty]
        cause = f"; {list_columns(without_values, MOST_NAMED)}: {EMPTY}" if without_values else ""
        raise UserError(
            f"{key}: {len(absent)} of its {len(names)} columns are not in the cohort "
            f"({list_columns(absent, MOST_NAMED)}){cause}; for your own files "
            "give experiment=own_data, the first model to try, or features=available"
        )
