"""Check the table of scans, whatever files it was read from: the range of each column, then rules between rows."""

from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.checks.agreement import check_agreement
from hemexp.cohort.checks.gaps import warn_gaps
from hemexp.cohort.checks.plausible import check_cohort
from hemexp.cohort.checks.volumes import check_volumes
from hemexp.cohort.findings import CellLocator, Findings, RecordFindings, count_values
from hemexp.cohort.headers import squeeze

_MOST_MISSING_VOLUMES = 0.2  # a larger share is a property of the cohort, not an error of single cells
_MOST_OF_UNIT = 0.5  # a larger share of values out of range has another unit
_TOLERANCE = 0.01  # hours
_CLOSE = 0.2  # hours: at least 1.2 between two published scans
_OF_FIRST_SCAN = {  # may be measured again at later scans, or a patient may be moved to another hospital
    "center", "systolic", "diastolic", "glucose", "inr", "platelets", "creatinine", "heart_rate", "temperature",
}  # fmt: skip
_ONE_VALUE = "rule: one value a patient; correct one of the cells, or give another patient its own id"


def check_scans(
    scans: pd.DataFrame,
    locate: CellLocator,
    findings: Findings,
    needs_volumes: bool = True,
    is_published: bool = True,
) -> None:
    """Check a cohort's scans and add findings for the cells that break a rule, one for a column where they are many.

    Args:
        scans: a row a scan, labels 0 ... n-1. Columns that the cohort does not have are left out.
        locate: from (row, column) to the cell in the file.
        findings: receives the findings.
        needs_volumes: whether every scan must have a hematoma volume.
        is_published: whether the tables are the published ones: their units, serials and radiomics are known.

    Raises:
        CohortError: any finding is an error, here or while the files were read.
    """
    record_findings = RecordFindings(scans["patient_id"], locate, findings)
    firsts = scans[scans["scan_index"] == 0]
    patient = pd.factorize(scans["patient_id"])[0]
    _check_times(scans, patient, record_findings)
    _check_values(scans, firsts, record_findings)
    _check_volumes(scans, needs_volumes, record_findings)
    _check_serials(scans, record_findings)
    _check_patients(scans, patient, record_findings)
    if len(firsts) < scans["patient_id"].nunique():  # the numbers of the scans are wrong
        findings.stop_on_errors()
    _check_pressure(firsts, record_findings)
    check_volumes(scans, firsts, patient, record_findings, is_published)
    check_agreement(scans, record_findings, is_published)
    check_cohort(scans, firsts, record_findings, is_published)
    findings.stop_on_errors()
    warn_gaps(scans, firsts, record_findings)
    _warn_unusual(firsts, record_findings)


def _show(value: Any, kind: str) -> str:
    if kind == "volume":
        return f"{value / 1000:.6g} mL ({value:g} in 10^-3 mL)"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _check_values(scans: pd.DataFrame, firsts: pd.DataFrame, findings: RecordFindings) -> None:
    """Check every known column by its kind and its range; those of patients at the first scan."""
    for column in c.list_known(scans):
        legal, table = column.legal_values, firsts if column.of == "patient" else scans
        if legal:
            values = table[column.name]
            wrong = values.notna() & ~values.between(legal.low, legal.high)
            if legal.is_whole:
                wrong |= values % 1 > 0
            _report_values(table.index[wrong], values, column.kind, legal.words, findings)


def _report_values(rows: pd.Index, values: pd.Series, kind: str, rule: str, findings: RecordFindings) -> None:
    name = str(values.name)

    def message(i: int) -> str:
        state = "empty, or its formula failed" if pd.isna(values[i]) else _show(values[i], kind)
        is_computed = kind == "hours" and findings.locate(i, name) == findings.locate(i, "scan_time")
        advice = (
            "it is computed from onset_time and scan_time: correct one of them" if is_computed else "correct the cell"
        )
        return f"{name} is {state}; rule: {rule}; {advice}{all_of_it}"

    all_of_it = ""
    if kind == "volume" and len(rows) > _MOST_OF_UNIT * values.notna().sum():
        all_of_it = (
            "; if the cells hold mm³, the unit of the column is 10^-3 mL: write it in its header or in mapping.yaml"
        )
    findings.each("error", "out_of_range", rows, name, message, lambda i: _show(values[i], ""))


def _check_volumes(scans: pd.DataFrame, needs_volumes: bool, findings: RecordFindings) -> None:
    """Check that hematoma volumes are given; where many are not, or need not be, that is one warning."""
    if "HM_volume" not in scans:
        return
    volumes = scans["HM_volume"]
    missing = volumes.isna()
    if needs_volumes and missing.mean() < _MOST_MISSING_VOLUMES:
        legal = c.known_columns()["HM_volume"].legal_values
        _report_values(scans.index[missing], volumes, "volume", legal.words if legal else "", findings)
    elif missing.any() and not missing.all():
        message = f"HM_volume is empty in {missing.sum()} of {len(scans)} scans; their growth is unknown"
        findings.once("warning", "volume_missing", scans.index[missing], "HM_volume", message)


def _check_serials(scans: pd.DataFrame, findings: RecordFindings) -> None:
    serials = scans["scan_serial"]
    given = serials.notna() & (serials != "")
    rows = scans.index[serials.duplicated() & given]

    def message(i: int) -> str:
        first = findings.locate(int(serials.eq(serials[i]).to_numpy().argmax()), "scan_serial")
        where = f"in cell {first.column}{first.row}" if first.column else f"in row {first.row}"
        return f"scan_serial is {serials[i]}, as {where}; rule: each serial once; correct one of them"

    findings.each("error", "duplicate_serial", rows, "scan_serial", message, serials.get)


def _check_patients(scans: pd.DataFrame, patient: np.ndarray[Any, Any], findings: RecordFindings) -> None:
    """Check that a patient's scans are numbered 0, 1, 2, ... and that its own columns agree in all of its scans."""
    numbers, expected = scans["scan_index"], scans.groupby(patient).cumcount()

    def wrong_number(i: int) -> str:
        position = expected[i] + 1
        return f"scan_index is {numbers[i]} in row {position} of the patient; rule: 0, 1, 2, ...; correct the cell"

    findings.each("error", "scan_index", np.flatnonzero(numbers != expected), "scan_index", wrong_number)
    first_row = np.flatnonzero(expected == 0)[patient]  # patients are numbered in the order of their first rows
    names = [column.name for column in c.list_known(scans) if column.of == "patient" and column.name != "patient_id"]
    for name in names:
        values = scans[name]
        first = values.iloc[first_row].set_axis(scans.index)
        differs = (values != first) & ~(values.isna() & first.isna())
        if name in _OF_FIRST_SCAN:
            differs &= first.notna()

        def two_values(i: int, name: str = name, values: pd.Series = values, first: pd.Series = first) -> str:
            message = f"{name} is {values[i]}, but {first[i]} at the first scan"
            rule = "the first is used" if name in _OF_FIRST_SCAN else _ONE_VALUE
            return f"{message}; {rule}"

        severity = "warning" if name in _OF_FIRST_SCAN else "error"
        findings.each(severity, "inconsistent_patient", np.flatnonzero(differs), name, two_values, values.get)


def _check_times(scans: pd.DataFrame, patient: np.ndarray[Any, Any], findings: RecordFindings) -> None:
    """Check that hours agree with times, and that every later scan is after the first."""
    since_first, times, serials = scans["hours_from_first_scan"], scans["scan_time"], scans["scan_serial"]
    column = "scan_time" if times.notna().any() else "hours_from_first_scan"
    by_patient = since_first.groupby(patient)
    is_first = by_patient.cumcount() == 0

    def before_first(i: int) -> str:
        delay = f"{since_first[i]:.2f} hours after the first scan"
        if since_first[i] == 0:
            return f"scan {serials[i]} is at the time of the first scan; rule: one row a scan; remove one of them"
        return f"follow-up {serials[i]} is {delay}; rule: above 0; correct the time"

    gap = since_first - by_patient.shift()

    def close(i: int) -> str:
        if gap[i] == 0:
            return f"scan {serials[i]} is at the time of the scan before it; rule: one row a scan; remove one of them"
        return (
            f"scan {serials[i]} is {60 * gap[i]:.2g} minutes after the scan before it; scans of a patient are hardly "
            "so close; used unchanged: see that it is not the same scan twice, and that the hours are in hours"
        )

    findings.each("error", "scans_close", np.flatnonzero((gap == 0) & (since_first > 0)), column, close, times.get)
    findings.each("warning", "scans_close", np.flatnonzero((gap > 0) & (gap < _CLOSE)), column, close, times.get)
    early = (since_first < 0) | ((since_first == 0) & ~is_first)
    findings.each("error", "follow_up_before_first", np.flatnonzero(early), column, before_first, times.get)
    disordered = (since_first < by_patient.shift()) & (since_first > 0)
    message = "the scan is earlier than the one before it in the table; its time is used, not its position"
    findings.each("warning", "follow_up_order", np.flatnonzero(disordered), column, lambda i: message)
    first_times = times.iloc[np.flatnonzero(is_first)[patient]].set_axis(scans.index)
    between = (times - first_times).dt.total_seconds() / 3600
    between = between.where(since_first.notna())
    if times.dropna().dt.second.eq(0).all():  # a spreadsheet may have shown and saved the minutes only
        between = _warn_lost_seconds(since_first, between, findings)
    _compare_hours(since_first, between, "from scan_time", findings)
    if "onset_to_first_scan" in scans:
        expected = scans["onset_to_first_scan"] + since_first
        source = "onset_to_first_scan + hours_from_first_scan"
        _compare_hours(scans["hours_from_onset"], expected, source, findings)


def _warn_lost_seconds(hours: pd.Series, expected: pd.Series, findings: RecordFindings) -> pd.Series:
    """Warn of hours that differ by less than a minute from times without seconds; return those to compare further."""
    lost = (hours - expected).abs().between(_TOLERANCE, 1 / 60, inclusive="right")
    message = f"the seconds of scan_time were lost: {lost.sum()} cells differ from hours_from_first_scan, which is used"
    findings.once("warning", "seconds_lost", hours.index[lost], "scan_time", message)
    return expected.mask(lost)


def _compare_hours(hours: pd.Series, expected: pd.Series, source: str, findings: RecordFindings) -> None:
    name = str(hours.name)
    wrong = ((hours - expected).abs() > _TOLERANCE) | (hours.isna() & expected.notna())

    def message(i: int) -> str:
        state = "empty" if pd.isna(hours[i]) else f"{hours[i]:.3f}"
        return f"{name} is {state}; rule: {expected[i]:.3f} ({source}); correct one of the cells"

    findings.each("error", "hours_disagree", np.flatnonzero(wrong), name, message)


def _check_pressure(firsts: pd.DataFrame, findings: RecordFindings) -> None:
    if not {"systolic", "diastolic"} <= set(firsts):
        return
    systolic, diastolic = firsts["systolic"], firsts["diastolic"]

    def value(i: int) -> str:
        return f"{systolic[i]:g}/{diastolic[i]:g}"

    def message(i: int) -> str:
        return f"blood pressure is {value(i)}; rule: systolic is above diastolic; correct the cell"

    findings.each("error", "blood_pressure", firsts.index[systolic <= diastolic], "systolic", message, value)


def _warn_unusual(firsts: pd.DataFrame, findings: RecordFindings) -> None:
    if {"HM_volume", *c.RATIOS["HM"]} <= set(firsts):
        sums = firsts[c.RATIOS["HM"]].sum(axis=1, min_count=1)
        rule = "rule: 1, within 1 %; used unchanged"
        findings.each(
            "warning",
            "ratio_sum",
            firsts.index[((sums - 1).abs() > 0.01) & (firsts["HM_volume"] > 0)],
            c.RATIOS["HM"][0],
            lambda i: f"the hematoma ratios of the first scan sum to {sums[i]:.3f}; {rule}",
            lambda i: round(sums[i], 4),
            f"the hematoma ratios of the first scan do not sum to 1; {rule}",
        )
    if "center" in firsts:
        _warn_centers(firsts["center"], findings)
    _warn_marks(firsts["dataset_part"] if "dataset_part" in firsts else pd.Series(dtype=object), findings)


def _warn_centers(centers: pd.Series, findings: RecordFindings) -> None:
    """Warn of one center under two spellings."""
    squeezed = centers.map(squeeze, na_action="ignore")
    spellings = centers.groupby(squeezed).transform("nunique")
    for _, rows in centers[spellings > 1].groupby(squeezed):
        message = f"center is {count_values(rows)}; they count as different centers: write the name of a center alike"
        findings.once("warning", "center_spelling", rows.index, "center", message)


def _warn_marks(marks: pd.Series, findings: RecordFindings) -> None:
    """Warn of patients who are marked neither for training nor for the test, and of marks that are not used."""
    rule = f"only patients marked {c.TRAINING_MARK} train and test"
    if marks.eq(c.TRAINING_MARK).any():
        known = (marks.eq(c.TRAINING_MARK) | marks.str.startswith(c.TEST_MARK)).fillna(False).astype(bool)
        rows = marks.index[~known]

        def message(i: int) -> str:
            return f"dataset_part is {marks[i]!r}; {rule}"

        findings.each("warning", "dataset_part", rows, "dataset_part", message, marks.get)
    elif marks.notna().any():
        given = marks.dropna()
        text = f"dataset_part is {count_values(given)}, which is not used, so every patient trains or tests; {rule}"
        findings.once("warning", "dataset_part", given.index, "dataset_part", text)
