"""Label the outcome: growth of the hematoma within a time window (paper, section 2.1), or a column of the file."""

import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.cell import MISSING_TEXTS, YES_NO, get_word
from hemexp.cohort.columns import SCAN_KEYS
from hemexp.cohort.find_column import find_column, list_outcomes, suggest
from hemexp.cohort.findings import CellLocator, Findings, RecordFindings, count_values
from hemexp.cohort.mapping.mapping import Mapping
from hemexp.config import ColumnLabelConfig, GrowthLabelConfig, LabelConfig
from hemexp.errors import UserError

_TOLERANCE = 1e-6  # in hours and 10^-3 mL, for rounding: 0.33 * 700 is 231.00000000000003
_CODES = {word: f"{code:g}" for word, code in YES_NO.items() if word.isalnum()}  # - and + may mean anything here


def label_patients(scans: pd.DataFrame, label: LabelConfig, mapping: Mapping | None = None) -> pd.DataFrame:
    """Label every patient by a definition of expansion, or by a column of the file.

    Volumes are in 10^-3 mL and thresholds in mL. Relative growth counts only where the first volume is above 0;
    absolute growth always counts. A patient without a later scan has no label under any definition of expansion. A
    patient has no label either where a missing volume or a missing time could change it.

    Args:
        scans: a row a scan, as in `hemexp.cohort.load.Cohort`.
        label: the definition.
        mapping: of the cohort, for the headers of the file.

    Returns:
        A row a patient in table order: ``patient_id, first_scan_serial, expansion`` (1, 0 or NaN),
        ``hours_to_expansion`` (from onset to the first scan with expansion), ``reason`` (expanded, no_growth,
        no_scan_in_window, no_followup, time_unknown or volume_unknown; of a column outcome_yes, outcome_no or
        outcome_unknown), and of the scan that decided ``growth_ml, growth_percent, deciding_scan_serial,
        deciding_scan_time``.

    Raises:
        UserError: the cohort does not hold what the definition needs.
    """
    table = _first_scans(scans)
    if isinstance(label, ColumnLabelConfig):
        outcome = _read_outcome(scans, label, mapping).loc[table["patient_id"]].reset_index(drop=True)
        return _complete(table.assign(expansion=outcome))
    assert isinstance(label, GrowthLabelConfig)
    if not _has_values(scans, "HM_volume"):
        found = list_outcomes(scans.columns)
        hint = f" The cohort holds {', '.join(found)}." if found else ""
        raise UserError(
            f"label={label.name}: needs hematoma volumes, but the cohort has none; rule: the growth is the difference "
            f"of two volumes. For an outcome that the file holds give label=column label.column=NAME.{hint}"
        )
    return _label_growth(scans, label, table)


def can_label(scans: pd.DataFrame, label: LabelConfig, mapping: Mapping | None = None) -> bool:
    """Return whether the cohort holds what a definition needs: volumes and times, or the column of the outcome."""
    if isinstance(label, ColumnLabelConfig):
        return find_column(label.column, list(scans.columns), mapping) is not None
    assert isinstance(label, GrowthLabelConfig)
    return _has_values(scans, "HM_volume") and _has_values(scans[scans["scan_index"] > 0], _clock(label))


def without_label(scans: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `label_patients` for a cohort that does not hold the outcome."""
    return _complete(_first_scans(scans).assign(expansion=np.nan))


def get_outcome_column(scans: pd.DataFrame, label: LabelConfig, mapping: Mapping | None = None) -> str | None:
    """Return the column of `scans` that holds the outcome; None for a definition of expansion."""
    if not isinstance(label, ColumnLabelConfig):
        return None
    return find_column(label.column, list(scans.columns), mapping)


def _first_scans(scans: pd.DataFrame) -> pd.DataFrame:
    table = scans.loc[scans["scan_index"] == 0, ["patient_id", "scan_serial"]]
    return table.rename(columns={"scan_serial": "first_scan_serial"}).reset_index(drop=True)


def _has_values(scans: pd.DataFrame, column: str) -> bool:
    return column in scans and bool(scans[column].notna().any())


def _clock(label: GrowthLabelConfig) -> str:
    return "hours_from_onset" if label.clock == "onset" else "hours_from_first_scan"


def _label_growth(scans: pd.DataFrame, label: GrowthLabelConfig, table: pd.DataFrame) -> pd.DataFrame:
    first_volumes = scans[scans["scan_index"] == 0].set_index("patient_id")["HM_volume"]
    first_volume = scans["patient_id"].map(first_volumes)
    growth, hours = scans["HM_volume"] - first_volume, scans[_clock(label)]
    follow_up = scans["scan_index"] > 0
    in_window = follow_up & (hours <= label.window_hours + _TOLERANCE)
    no_time = follow_up & hours.isna()
    grown = pd.Series(False, index=scans.index)
    tolerance = -_TOLERANCE if label.inclusive else _TOLERANCE
    if label.absolute_ml is not None:
        grown |= growth > 1000 * label.absolute_ml + tolerance
    if label.relative is not None:
        grown |= (first_volume > 0) & (growth > label.relative * first_volume + tolerance)
    expanded = grown & in_window

    ids = table["patient_id"]
    flags = {
        "follow_up": follow_up,
        "in_window": in_window,
        "expanded": expanded,
        "no_volume": (in_window | no_time) & growth.isna(),
        "no_time": no_time,
        "no_time_grown": no_time & grown,
    }
    found = pd.DataFrame(flags).groupby(scans["patient_id"], sort=False).any().loc[ids].reset_index(drop=True)
    reason = np.select(
        [
            ~found["follow_up"],
            found["expanded"],
            found["no_volume"],
            found["no_time_grown"] | (found["no_time"] & ~found["in_window"]),
            found["in_window"],
        ],
        ["no_followup", "expanded", "volume_unknown", "time_unknown", "no_growth"],
        "no_scan_in_window",
    )
    value = {"expanded": 1.0, "no_growth": 0.0}
    value["no_scan_in_window"] = 0.0 if label.no_scan_in_window == "negative" else np.nan
    expansion = pd.Series([value.get(each, np.nan) for each in reason])
    patients = scans["patient_id"]
    first_grown = hours[expanded].groupby(patients[expanded]).idxmin()
    most_grown = growth[in_window].dropna().groupby(patients[in_window]).idxmax()
    deciding = ids.map(first_grown).where(reason == "expanded", ids.map(most_grown).where(reason == "no_growth"))
    chosen = pd.DataFrame(
        {
            "growth_ml": (growth / 1000).round(3),
            "growth_percent": (100 * growth / first_volume.where(first_volume > 0)).round(1),
            "deciding_scan_serial": scans["scan_serial"],
            "deciding_scan_time": scans.get("scan_time", pd.Series(pd.NaT, index=scans.index)),
        }
    ).reindex(deciding)
    first_hours = scans["hours_from_onset"].where(expanded).groupby(patients, sort=False).min()
    table = table.assign(expansion=expansion, hours_to_expansion=ids.map(first_hours), reason=reason)
    return pd.concat([table, chosen.reset_index(drop=True)], axis=1)


def _complete(table: pd.DataFrame) -> pd.DataFrame:
    """Add the other columns of the table of labels to an outcome that does not come from the scans."""
    reason = table["expansion"].map({1.0: "outcome_yes", 0.0: "outcome_no"}).fillna("outcome_unknown")
    empty: dict[str, Any] = {
        "growth_ml": np.nan,
        "growth_percent": np.nan,
        "deciding_scan_serial": None,
        "deciding_scan_time": pd.NaT,
    }
    return table.assign(hours_to_expansion=np.nan, reason=reason.to_numpy(dtype=object), **empty)


def _read_outcome(scans: pd.DataFrame, label: ColumnLabelConfig, mapping: Mapping | None) -> pd.Series:
    """Return 1, 0 or NaN for each patient: from the first scan with a value."""
    known = _read_column(scans, label, mapping)
    place, shown = f"label.column={label.column}", f"it holds {count_values(known)}"
    if label.at_least is not None:
        numbers = pd.to_numeric(known, errors="coerce")
        if numbers.isna().any():
            raise UserError(f"{place}: {shown}; rule: label.at_least needs numbers; give label.positive=VALUE")
        outcome = numbers >= label.at_least
    else:
        texts, positive = known.map(_normalize), _normalize(label.positive or "yes")
        is_word = positive in _CODES.values() and label.positive not in _CODES.values()  # 1 may be a code beside 2
        if is_word and not texts.isin(_CODES.values()).all():
            advice = "label.positive with another word, or label.at_least; leave the cell empty where it is not known"
            raise UserError(f"{place}: {shown}; rule: 1 or 0, or yes or no; else give {advice}")
        outcome = texts == positive
    return outcome.astype(float).reindex(scans["patient_id"].unique())


def _read_column(scans: pd.DataFrame, label: ColumnLabelConfig, mapping: Mapping | None) -> pd.Series:
    """Return the value of the outcome's column for each patient who has one: of the first scan with a value."""
    column = find_column(label.column, list(scans.columns), mapping)
    if column is None:
        hint = suggest(label.column, [name for name in map(str, scans) if name not in SCAN_KEYS])
        raise UserError(f"label.column={label.column}: the cohort has no such column; {hint}")
    values = scans[column].mask(scans[column].map(get_word).isin(MISSING_TEXTS - _CODES.keys()))
    return values.groupby(scans["patient_id"], sort=False).first().dropna()


def _normalize(value: object) -> str:
    """Return a value as text for comparisons.

    ``1.0`` is ``1``, case and width do not matter, and the words for yes and no in all languages are ``1`` and ``0``.
    """
    text = unicodedata.normalize("NFKC", str(value)).strip().casefold()
    with suppress(ValueError):
        text = f"{float(text):g}"
    return _CODES.get(text, text)


def list_outcome_values(scans: pd.DataFrame, label: LabelConfig, mapping: Mapping | None = None) -> list[str]:
    """Return the values that the column of an outcome with ``label.positive`` holds; else none."""
    if not isinstance(label, ColumnLabelConfig) or label.positive is None:
        return []
    return sorted({_normalize(value) for value in _read_column(scans, label, mapping)})


def check_outcome_values(
    scans: pd.DataFrame, label: LabelConfig, known: Sequence[str], mapping: Mapping | None = None
) -> None:
    """Refuse an outcome in other words than those of the cohort that a model was trained on.

    Args:
        scans: of the new cohort.
        label: of the model.
        known: `list_outcome_values` of its cohort; empty where it is not known.
        mapping: of the new cohort.

    Raises:
        UserError: names the values.
    """
    values = list_outcome_values(scans, label, mapping) if known else []
    if isinstance(label, ColumnLabelConfig) and (other := [value for value in values if value not in known]):
        held = count_values(_read_column(scans, label, mapping))
        raise UserError(
            f"label.column={label.column}: it holds {held}; the cohort of the run did not hold {', '.join(other)}; "
            f"rule: the same words as there ({', '.join(known)}; 1 is any word for yes, 0 for no), because the outcome "
            f"is {label.positive}; write the outcome in these words"
        )


def check_follow_up(
    labels: pd.DataFrame,
    scans: pd.DataFrame,
    label: LabelConfig,
    locate: CellLocator,
    findings: Findings,
    mapping: Mapping | None = None,
) -> None:
    """Add a warning for every patient without a follow-up scan, or without one in the label's time window.

    Raises:
        UserError: no patient has the value that means yes.
    """
    if isinstance(label, ColumnLabelConfig):
        column = get_outcome_column(scans, label, mapping)
        if column is not None and not (labels["expansion"] == 1).any():
            values = scans.groupby("patient_id", sort=False)[column].first().dropna()
            raise UserError(
                f"label.column={label.column}: no patient has the outcome ({label.describe()}); it holds "
                f"{count_values(values)}; rule: patients with and without the outcome; change label.positive or "
                "label.at_least"
            )
        return
    assert isinstance(label, GrowthLabelConfig)
    result = {True: "the patient has no label", False: "the label is negative"}
    messages = {
        "no_followup": "there is no scan after the first; the patient has no label",
        "time_unknown": f"the hours from {label.clock} of a later scan are unknown; the patient has no label",
        "volume_unknown": "the volume of the first or of a later scan is unknown; the patient has no label",
        "no_scan_in_window": f"no later scan is known to be within {label.window_hours:g} h of {label.clock}; "
        + result[label.no_scan_in_window == "exclude"],
    }
    first_scans = scans.index[scans["scan_index"] == 0]  # in the order of the labels
    record_findings = RecordFindings(scans["patient_id"], locate, findings)
    for reason, message in messages.items():
        records = first_scans[(labels["reason"] == reason).to_numpy()]
        texts = dict.fromkeys(map(int, records), message)
        record_findings.each("warning", reason, texts, "scan_serial", texts.__getitem__)
