"""Warn of what is missing: columns without any value or with one value only, single cells, times and radiomics."""

import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.find_column import list_columns
from hemexp.cohort.findings import RecordFindings

MEASURABLE_ABOVE = 20.0  # 10^-3 mL: the published workbooks have no shape for volumes up to this
_SMALL_COHORT = 10  # patients; below it, a column may be constant by chance


def warn_gaps(scans: pd.DataFrame, firsts: pd.DataFrame, findings: RecordFindings) -> None:
    """Warn of what is missing.

    Args:
        scans: a row a scan.
        firsts: its first scans.
        findings: receives the findings.
    """
    empty = _warn_empty_columns(scans, findings)
    _warn_constant_columns(firsts, findings)
    _warn_unknown_hours(scans, findings)
    _warn_missing(scans.drop(columns=empty), firsts.drop(columns=empty), findings)


def _warn_empty_columns(scans: pd.DataFrame, findings: RecordFindings) -> list[str]:
    """Warn of the columns without any value, and return them."""
    empty = [str(name) for name in scans.columns[scans.isna().all()] if name not in c.SCAN_KEYS]
    if empty:
        text = "1 column is empty" if len(empty) == 1 else f"{len(empty)} columns are empty"
        message = (
            f"{text}: {list_columns(empty)}; their cells are empty, or their formulas failed; they are never inputs"
        )
        findings.findings.add("warning", "empty_columns", findings.locate(0, empty[0]), message, value=len(empty))
    return empty


def _warn_constant_columns(firsts: pd.DataFrame, findings: RecordFindings) -> None:
    table = firsts[[column.name for column in c.list_known(firsts) if column.is_input]]
    constant = [str(name) for name in table if table[name].max() == table[name].min()]
    if constant and len(firsts) >= _SMALL_COHORT:
        names = ", ".join(constant)
        message = (
            f"the same value in every patient's first scan: {names}; as inputs they say nothing; check the columns"
        )
        row = int(firsts.index[0])
        findings.findings.add("warning", "constant_column", findings.locate(row, constant[0]), message)


def _warn_unknown_hours(scans: pd.DataFrame, findings: RecordFindings) -> None:
    """Warn of scans at an unknown time: it decides whether a scan is within the time window of a label."""
    no_time = scans["hours_from_first_scan"].isna() & (scans["scan_index"] > 0)
    no_onset = scans["hours_from_onset"].isna() & ~no_time
    for rows, name, reason in (
        (no_time, "hours_from_first_scan", "the scan or the first scan has no date with a time of day"),
        (
            no_onset,
            "hours_from_onset",
            "the onset (onset_time, or hours from it) or the time of the first scan is unknown",
        ),
    ):
        number = f"{rows.sum()} of {len(scans)} scans"
        message = f"{name} is unknown for {number}: {reason}; a label that depends on it is unknown"
        findings.once("warning", "hours_unknown", scans.index[rows], name, message)


def _warn_missing(scans: pd.DataFrame, firsts: pd.DataFrame, findings: RecordFindings) -> None:
    """Warn of missing inputs, treatments and outcomes."""
    radiomics = set()
    for tissue, volume in zip(("Hemo", "ED"), c.VOLUMES, strict=True):
        names = [name for name in c.RADIOMICS[tissue] if name in scans]
        radiomics |= set(names)
        if names:
            absent = scans[names].isna().all(axis=1)
            _warn_no_radiomics(scans[absent], tissue, volume if volume in scans else names[0], findings)
            for name in names:
                _warn_empty_cells(scans[name][~absent], "missing_value", findings)
    for column in c.list_known(scans):
        if column.name in {*c.SCAN_KEYS} | radiomics | {"HM_volume"} or column.known not in {
            "first_scan",
            "treatment",
            "later",
        }:
            continue
        if column.known == "later":
            if column.name == "mrs_90d":
                _warn_empty_cells(firsts[column.name], "mrs_90d_missing", findings)
        else:
            table = scans if column.role == "imaging" else firsts
            _warn_empty_cells(table[column.name], "missing_value", findings)


def _warn_no_radiomics(scans: pd.DataFrame, tissue: str, volume: str, findings: RecordFindings) -> None:
    """Warn of scans without radiomics: expected where the volume is too small to measure."""
    sizes, serials = scans[volume], scans["scan_serial"]
    small = (sizes <= MEASURABLE_ABOVE) & (volume in c.VOLUMES)
    what = f"no {tissue} shape and grey levels"
    for problem, reason, rows in (
        ("radiomics_missing", "imputed where they are inputs", scans.index[~small]),
        ("radiomics_empty", "too small to measure", scans.index[small]),
    ):

        def message(i: int, reason: str = reason) -> str:
            size = f"; {volume} is {sizes[i] / 1000:g} mL" if volume in c.VOLUMES else ""
            return f"scan {serials[i]} has {what}{size}: {reason}"

        findings.each("warning", problem, rows, volume, message, sizes.get, f"the scans have {what}: {reason}")


def _warn_empty_cells(values: pd.Series, problem: str, findings: RecordFindings) -> None:
    name, rows = str(values.name), values.index[values.isna()]
    use = "it is never an input" if problem == "mrs_90d_missing" else "it is imputed where it is an input"
    message = f"{name} is empty, or its formula failed; {use}"
    findings.each("warning", problem, rows, name, lambda i: message)
