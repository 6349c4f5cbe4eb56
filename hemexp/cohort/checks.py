"""Check the table of scans, whatever files it was read from: the range of each column, then rules between rows."""

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from hemexp.cohort import columns as c
from hemexp.cohort.findings import CellLocator, Findings, RecordFindings

MEASURABLE_ABOVE = 20.0  # 10^-3 mL: the published workbooks have no shape for volumes up to this


def _number(rule: str, check: pa.Check | None = None, nullable: bool = True) -> pa.Column:
    return pa.Column(float, check, nullable=nullable, description=rule)


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


def check_scans(scans: pd.DataFrame, locate: CellLocator, findings: Findings) -> None:
    """Check a cohort's scans and add a finding for every cell that breaks a rule.

    Raises:
        CohortError: any finding is an error, here or while the files were read.
    """
    record_findings = RecordFindings(scans["patient_id"], locate, findings)
    firsts = scans[scans["scan_index"] == 0]
    _check_schema(PATIENTS, firsts, record_findings)
    _check_schema(SCANS, scans, record_findings)
    _check_patients(scans, record_findings)
    _check_pressure(firsts, record_findings)
    _check_unit(firsts, record_findings)
    _check_times(scans, record_findings)
    findings.stop_on_errors()
    _warn_missing(scans, firsts, record_findings)
    _warn_unusual(scans, firsts, record_findings)


def _check_schema(schema: pa.DataFrameSchema, table: pd.DataFrame, findings: RecordFindings) -> None:
    try:
        schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return
    for case in cases.itertuples():
        name, value = str(case.column), case.failure_case
        problem = "duplicate_serial" if case.check == "field_uniqueness" else "out_of_range"
        shown = f"{value:g}" if isinstance(value, float) else value
        state = "empty, or its formula failed" if pd.isna(value) else shown
        message = f"{name} is {state}; rule: {schema.columns[name].description}; correct the cell"
        findings.error(problem, int(case.index), name, message, shown)


def _value(table: pd.DataFrame, record: Any, name: str) -> Any:
    return table.at[record, name]


def _check_patients(scans: pd.DataFrame, findings: RecordFindings) -> None:
    """Check that a patient's scans are numbered 0, 1, 2, ... and that its own columns agree in all of its scans."""
    by_patient = scans.groupby("patient_id", sort=False)
    expected = by_patient.cumcount()
    for i in np.flatnonzero(scans["scan_index"] != expected):
        number, row = _value(scans, i, "scan_index"), expected[i] + 1
        message = f"scan_index is {number} in row {row} of the patient; rule: 0, 1, 2, ...; correct the cell"
        findings.error("scan_index", i, "scan_index", message)
    first = by_patient[c.PATIENT_COLUMNS].transform("first")
    for name in c.PATIENT_COLUMNS:
        differs = (scans[name] != first[name]) & ~(scans[name].isna() & first[name].isna())
        for i in np.flatnonzero(differs):
            value = _value(scans, i, name)
            message = f"{name} is {value}, but {_value(first, i, name)} at the first scan; rule: one value a patient"
            findings.error("inconsistent_patient", i, name, f"{message}; correct one of the cells", value)


def _check_times(scans: pd.DataFrame, findings: RecordFindings) -> None:
    since_first = scans["hours_from_first_scan"]
    by_patient = scans.groupby("patient_id", sort=False)
    is_first = by_patient.cumcount() == 0
    for i in np.flatnonzero((since_first < 0) | ((since_first == 0) & ~is_first)):
        serial, delay = _value(scans, i, "scan_serial"), f"{since_first[i]:.2f} hours"
        message = f"follow-up {serial} is {delay} after the first scan; rule: above 0; correct the time"
        findings.error("follow_up_before_first", i, "scan_time", message, _value(scans, i, "scan_time"))
    previous = by_patient["hours_from_first_scan"].shift()
    for i in np.flatnonzero((since_first < previous) & (since_first > 0)):
        message = "the scan is earlier than the one before it in the table; its time is used, not its position"
        findings.warn("follow_up_order", i, "scan_time", message)
    first_times = scans[is_first].set_index("patient_id")["scan_time"]
    times = scans["scan_time"] - scans["patient_id"].map(first_times)
    for name, expected, source in (
        ("hours_from_first_scan", times.dt.total_seconds() / 3600, "from scan_time"),
        ("hours_from_onset", scans["onset_to_first_scan"] + since_first, "onset_to_first_scan + hours_from_first_scan"),
    ):
        hours = scans[name]
        for i in np.flatnonzero(((hours - expected).abs() > 0.01) | (hours.isna() & expected.notna())):
            message = f"{name} is {hours[i]:.3f}; rule: {expected[i]:.3f} ({source}); correct one of the cells"
            findings.error("hours_disagree", i, name, message)


def _check_pressure(firsts: pd.DataFrame, findings: RecordFindings) -> None:
    for i in firsts.index[firsts["systolic"] <= firsts["diastolic"]]:
        value = f"{_value(firsts, i, 'systolic'):g}/{_value(firsts, i, 'diastolic'):g}"
        message = f"blood pressure is {value}; rule: systolic is above diastolic; correct the cell"
        findings.error("blood_pressure", i, "systolic", message, value)


def _check_unit(firsts: pd.DataFrame, findings: RecordFindings) -> None:
    """Check the unit: a median first volume below half a milliliter means that the volumes were written in mL."""
    median = firsts["HM_volume"].median()
    if 0 < median < 500:
        message = (
            f"the median HM_volume of the first scans is {median:g}, which is {median / 1000:g} mL; "
            "rule: volumes are in 10^-3 mL; if these are mL, multiply them by 1000"
        )
        add = findings.findings.error if len(firsts) >= 10 else findings.findings.warn
        add("volume_unit", findings.locate(int(firsts.index[0]), "HM_volume"), message, value=median)


def _warn_missing(scans: pd.DataFrame, firsts: pd.DataFrame, findings: RecordFindings) -> None:
    for tissue, volume in (("Hemo", "HM_volume"), ("ED", "ED_volume")):
        names = c.RADIOMICS[tissue]
        absent = scans[names].isna()
        for i in np.flatnonzero(absent.all(axis=1)):
            size, scan = _value(scans, i, volume), _value(scans, i, "scan_serial")
            problem, reason = "radiomics_missing", "imputed where they are inputs"
            if size <= MEASURABLE_ABOVE:
                problem, reason = "radiomics_empty", "too small to measure"
            message = f"scan {scan} has no {tissue} shape and grey levels; {volume} is {size / 1000:g} mL: {reason}"
            findings.warn(problem, i, volume, message, size)
        _warn_empty_cells(scans[absent.any(axis=1) & ~absent.all(axis=1)], names, "missing_value", findings)
    _warn_empty_cells(scans, [*c.RATIOS["HM"], *c.RATIOS["ED"]], "missing_value", findings)
    _warn_empty_cells(firsts, [*c.CLINICAL, "onset_to_first_scan"], "missing_value", findings)
    _warn_empty_cells(firsts, ["mrs_90d"], "mrs_90d_missing", findings)


def _warn_empty_cells(table: pd.DataFrame, names: list[str], problem: str, findings: RecordFindings) -> None:
    use = "it is never an input" if problem == "mrs_90d_missing" else "it is imputed where it is an input"
    for i, j in zip(*np.nonzero(table[names].isna().to_numpy()), strict=True):
        findings.warn(problem, table.index[i], names[j], f"{names[j]} is empty, or its formula failed; {use}")


def _warn_unusual(scans: pd.DataFrame, firsts: pd.DataFrame, findings: RecordFindings) -> None:
    sums = firsts[c.RATIOS["HM"]].sum(axis=1)
    for i in firsts.index[((sums - 1).abs() > 0.01) & (firsts["HM_volume"] > 0)]:
        message = f"the hematoma ratios of the first scan sum to {sums[i]:.3f}; rule: 1, within 1 %; used unchanged"
        findings.warn("ratio_sum", i, c.RATIOS["HM"][0], message, round(sums[i], 4))
    marks = firsts["dataset_part"]
    if marks.eq(c.TRAINING_MARK).any():
        known = (marks.eq(c.TRAINING_MARK) | marks.str.startswith(c.TEST_MARK)).fillna(False).astype(bool)
        for i in firsts.index[~known]:
            value = _value(firsts, i, "dataset_part")
            message = f"dataset_part is {value!r}; only patients marked {c.TRAINING_MARK} train and test"
            findings.warn("dataset_part", i, "dataset_part", message, value)
    for volume, tissue in (("HM_volume", "Hemo"), ("ED_volume", "ED")):
        voxels = f"{tissue}_original_shape_VoxelVolume"
        ratio = scans[volume] / scans[voxels]
        for i in np.flatnonzero((ratio < 0.1) | (ratio > 100)):
            value = _value(scans, i, volume)
            sizes = f"{volume} is {value:g} and {voxels} is {_value(scans, i, voxels):g}"
            message = f"{sizes}; usually it is 1.5 to 10 times as large; it is used unchanged"
            findings.warn("volume_mismatch", i, volume, message, value)
