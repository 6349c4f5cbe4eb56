"""What must hold in a cohort's scans, whatever files they came from: one schema, then the rules between rows."""

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from hemexp.cohort import columns as c
from hemexp.cohort.cells import Where
from hemexp.cohort.findings import Findings

NOTHING_LEFT = 20.0  # 10^-3 mL: at and below this the published workbooks measure no shape


def _number(rule: str, check: pa.Check | None = None, nullable: bool = True) -> pa.Column:
    checks = [] if check is None else [check]
    return pa.Column(float, checks, nullable=nullable, description=rule)


def _within(low: float, high: float, unit: str = "") -> pa.Column:
    return _number(f"{low:g} to {high:g}{unit}", pa.Check.in_range(low, high))


def _one_of(*values: float) -> pa.Column:
    return _number(" or ".join(f"{value:g}" for value in values), pa.Check.isin(values))


PATIENTS = pa.DataFrameSchema(
    {
        "age": _within(0, 120, " years"),
        "sex": _one_of(1, 2),
        "mrs_before": _one_of(*range(6)),
        **{name: _one_of(0, 1) for name in c.HISTORY + c.TREATMENTS},
        "systolic": _within(40, 350, " mmHg"),
        "diastolic": _within(10, 250, " mmHg"),
        "onset_to_first_scan": _within(0, 720, " hours"),
        "mrs_90d": _one_of(*range(7)),
    }
)
SCANS = pa.DataFrameSchema(
    {
        "scan_serial": pa.Column(str, unique=True, description="each serial once"),
        "hours_from_first_scan": _number("given", nullable=False),
        "scan_time": pa.Column("datetime64[us]", nullable=False, description="given"),
        **{
            name: _number("given, 0 to 2000 mL (in 10^-3 mL)", pa.Check.in_range(0, 2e6), nullable=False)
            for name in c.VOLUMES
        },
        **{name: _within(0, 1) for names in c.RATIOS.values() for name in names},
        **{name: _number("a number") for names in c.RADIOMICS.values() for name in names},
    }
)


def check_scans(scans: pd.DataFrame, where: Where, findings: Findings) -> None:
    """Check a cohort's scans; `findings` gets a row for every cell that breaks a rule.

    Raises:
        CohortError: any finding, of these or earlier ones, is an error.
    """
    firsts = scans[scans["scan_index"] == 0]
    _validate(PATIENTS, firsts, where, findings)
    _validate(SCANS, scans, where, findings)
    _check_patients(scans, where, findings)
    _check_pressure(firsts, where, findings)
    _check_unit(firsts, where, findings)
    _check_times(scans, where, findings)
    findings.stop_on_errors()
    _note_missing(scans, firsts, where, findings)
    _note_oddities(scans, firsts, where, findings)


def _validate(schema: pa.DataFrameSchema, table: pd.DataFrame, where: Where, findings: Findings) -> None:
    try:
        schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return
    for case in cases.itertuples():
        name, value, record = str(case.column), case.failure_case, int(case.index)
        rule = schema.columns[name].description
        problem = "duplicate_serial" if case.check == "field_uniqueness" else "out_of_range"
        shown = f"{value:g}" if isinstance(value, float) else value
        patient = _patient(table, record)
        message = f"{name} is {'empty, or a formula that failed' if pd.isna(value) else shown}; rule: {rule}"
        findings.error(problem, where(record, name), message, patient=patient, value=shown)


def _value(table: pd.DataFrame, record: Any, name: str) -> Any:
    return table.at[record, name]


def _patient(table: pd.DataFrame, record: Any) -> str:
    """Return the patient of the row labelled `record`."""
    return str(_value(table, record, "patient_id"))


def _check_patients(scans: pd.DataFrame, where: Where, findings: Findings) -> None:
    """Scans are numbered 0, 1, 2 ... within a patient, and a patient's own columns agree in all of its scans."""
    expected = scans.groupby("patient_id", sort=False).cumcount()
    for i in np.flatnonzero(scans["scan_index"] != expected):
        patient = _patient(scans, int(i))
        number = _value(scans, i, "scan_index")
        message = f"scan_index is {number} in row {expected[i] + 1} of its patient; rule: 0, 1, 2, ..."
        findings.error("scan_index", where(int(i), "scan_index"), message, patient=patient)
    first = scans.groupby("patient_id", sort=False)[c.PATIENT_COLUMNS].transform("first")
    for name in c.PATIENT_COLUMNS:
        differs = (scans[name] != first[name]) & ~(scans[name].isna() & first[name].isna())
        for i in np.flatnonzero(differs):
            value, patient = _value(scans, i, name), _patient(scans, int(i))
            there = _value(first, i, name)
            message = f"{name} is {value}, and {there} at the first scan; rule: one value a patient"
            findings.error("inconsistent_patient", where(int(i), name), message, patient=patient, value=value)


def _check_times(scans: pd.DataFrame, where: Where, findings: Findings) -> None:
    since_first = scans["hours_from_first_scan"]
    by_patient = scans.groupby("patient_id", sort=False)
    for i in np.flatnonzero((since_first < 0) | ((since_first == 0) & (by_patient.cumcount() > 0))):
        serial, patient = _value(scans, i, "scan_serial"), _patient(scans, int(i))
        message = f"follow-up {serial} is {since_first[i]:.2f} hours from the first scan; rule: after it"
        findings.error(
            "follow_up_before_first",
            where(int(i), "scan_time"),
            message,
            patient=patient,
            value=_value(scans, i, "scan_time"),
        )
    previous = by_patient["hours_from_first_scan"].shift()
    for i in np.flatnonzero((since_first < previous) & (since_first > 0)):
        message = "stands after a later scan; the times count, not the order of the columns"
        findings.warn("follow_up_order", where(int(i), "scan_time"), message, patient=_patient(scans, int(i)))
    first_times = scans[by_patient.cumcount() == 0].set_index("patient_id")["scan_time"]
    times = scans["scan_time"] - scans["patient_id"].map(first_times)
    hours = {"hours_from_first_scan": times.dt.total_seconds() / 3600}
    hours["hours_from_onset"] = scans["onset_to_first_scan"] + since_first
    for name, rule in (("hours_from_first_scan", "from scan_time"), ("hours_from_onset", "onset_to_first_scan added")):
        there, right = scans[name], hours[name]
        for i in np.flatnonzero(((there - right).abs() > 0.01) | (there.isna() & right.notna())):
            message = f"{name} is {_value(scans, i, name):.3f}; rule: {right.iloc[i]:.3f} ({rule})"
            findings.error("hours_disagree", where(int(i), name), message, patient=_patient(scans, i))


def _note_missing(scans: pd.DataFrame, firsts: pd.DataFrame, where: Where, findings: Findings) -> None:
    for tissue, volume in (("Hemo", "HM_volume"), ("ED", "ED_volume")):
        names = c.RADIOMICS[tissue]
        absent = scans[names].isna()
        for i in np.flatnonzero(absent.all(axis=1)):
            size, scan = _value(scans, i, volume), _value(scans, i, "scan_serial")
            empty = size <= NOTHING_LEFT
            reason = "nothing was left to measure" if empty else "imputed where it is an input"
            message = f"scan {scan} has no {tissue} shape and grey levels; {volume} is {size / 1000:g} mL: {reason}"
            problem = "radiomics_empty" if empty else "radiomics_missing"
            findings.warn(problem, where(int(i), volume), message, patient=_patient(scans, int(i)), value=size)
        _note_cells(scans[absent.any(axis=1) & ~absent.all(axis=1)], names, "missing_value", where, findings)
    ratios = [name for names in c.RATIOS.values() for name in names]
    _note_cells(scans, ratios, "missing_value", where, findings)
    _note_cells(firsts, [*c.CLINICAL, "onset_to_first_scan"], "missing_value", where, findings)
    _note_cells(firsts, ["mrs_90d"], "mrs_90d_missing", where, findings)


def _note_cells(table: pd.DataFrame, names: list[str], problem: str, where: Where, findings: Findings) -> None:
    for i, j in zip(*np.nonzero(table[names].isna().to_numpy()), strict=True):
        record = int(table.index[i])
        use = "never an input" if problem == "mrs_90d_missing" else "imputed where it is an input"
        message = f"{names[j]} is empty, or a formula that failed; {use}"
        findings.warn(problem, where(record, names[j]), message, patient=_patient(table, record))


def _note_oddities(scans: pd.DataFrame, firsts: pd.DataFrame, where: Where, findings: Findings) -> None:
    sums = firsts[c.RATIOS["HM"]].sum(axis=1)
    for record in firsts.index[((sums - 1).abs() > 0.01) & (firsts["HM_volume"] > 0)]:
        message = (
            f"hematoma ratios of the first scan sum to {sums[record]:.3f}, off 1 by more than 1 %; used as they are"
        )
        findings.warn(
            "ratio_sum",
            where(int(record), c.RATIOS["HM"][0]),
            message,
            patient=_patient(firsts, record),
            value=round(sums[record], 4),
        )
    marks = firsts["dataset_part"]
    strange = ~(marks.eq(c.TRAINING_MARK) | marks.str.startswith(c.TEST_MARK)).fillna(False)
    for record in firsts.index[strange.astype(bool)] if marks.eq(c.TRAINING_MARK).any() else []:
        value = _value(firsts, record, "dataset_part")
        message = (
            f"dataset_part is {value!r}; only {c.TRAINING_MARK} takes part in training and test, this patient does not"
        )
        findings.warn(
            "dataset_part", where(int(record), "dataset_part"), message, patient=_patient(firsts, record), value=value
        )
    for volume, voxels in (
        ("HM_volume", "Hemo_original_shape_VoxelVolume"),
        ("ED_volume", "ED_original_shape_VoxelVolume"),
    ):
        ratio = scans[volume] / scans[voxels]
        for i in np.flatnonzero((ratio < 0.1) | (ratio > 100)):
            value = _value(scans, i, volume)
            message = (
                f"{volume} is {value:g} and {voxels} {_value(scans, i, voxels):g}; usually 1.5 to 10 times as large"
            )
            findings.warn("volume_mismatch", where(int(i), volume), message, patient=_patient(scans, i), value=value)


def _check_pressure(firsts: pd.DataFrame, where: Where, findings: Findings) -> None:
    for record in firsts.index[firsts["systolic"] <= firsts["diastolic"]]:
        value = f"{_value(firsts, record, 'systolic'):g}/{_value(firsts, record, 'diastolic'):g}"
        message = f"blood pressure is {value}; rule: systolic above diastolic"
        findings.error(
            "blood_pressure", where(int(record), "systolic"), message, patient=_patient(firsts, record), value=value
        )


def _check_unit(firsts: pd.DataFrame, where: Where, findings: Findings) -> None:
    """A cohort whose hematomas are mostly below half a milliliter was written in mL: every threshold would be wrong."""
    median = firsts["HM_volume"].median()
    if 0 < median < 500:
        message = (
            f"the median first HM_volume is {median:g}, {median / 1000:g} mL; rule: volumes in 10^-3 mL. Are these mL?"
        )
        note = findings.error if len(firsts) >= 10 else findings.warn
        note("volume_unit", where(int(firsts.index[0]), "HM_volume"), message, value=median)
