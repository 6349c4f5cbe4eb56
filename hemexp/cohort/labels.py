"""Label hematoma expansion: growth since the first scan, within a time window (paper, section 2.1)."""

import numpy as np
import pandas as pd

from hemexp.cohort.findings import CellLocator, Findings, RecordFindings
from hemexp.config import LabelConfig

_TOLERANCE = 1e-6  # in hours and 10^-3 mL, for rounding: 0.33 * 700 is 231.00000000000003


def label_patients(scans: pd.DataFrame, label: LabelConfig) -> pd.DataFrame:
    """Label every patient by a definition of expansion.

    Volumes are in 10^-3 mL and thresholds in mL. Relative growth counts only where the first volume is above 0;
    absolute growth always counts. A patient without a later scan has no label under any definition. On the onset clock
    a patient with an unknown onset has no label either.

    Args:
        scans: a row a scan, in the order of `hemexp.cohort.columns.SCAN_COLUMNS`.
        label: the definition.

    Returns:
        A row a patient in table order: ``patient_id, first_scan_serial, expansion`` (1, 0 or NaN),
        ``hours_to_expansion`` (from onset to the first scan with expansion) and ``reason`` (expanded, no_growth,
        no_scan_in_window or no_followup).
    """
    first_volume = scans.groupby("patient_id", sort=False)["HM_volume"].transform("first")
    growth = scans["HM_volume"] - first_volume
    hours = scans["hours_from_onset" if label.clock == "onset" else "hours_from_first_scan"]
    follow_up = scans["scan_index"] > 0
    in_window = follow_up & (hours <= label.window_hours + _TOLERANCE)
    grown = pd.Series(False, index=scans.index)
    tolerance = -_TOLERANCE if label.inclusive else _TOLERANCE
    if label.absolute_ml is not None:
        grown |= growth > 1000 * label.absolute_ml + tolerance
    if label.relative is not None:
        grown |= (first_volume > 0) & (growth > label.relative * first_volume + tolerance)
    expanded = grown & in_window

    table = scans.loc[scans["scan_index"] == 0, ["patient_id", "scan_serial"]]
    table = table.rename(columns={"scan_serial": "first_scan_serial"}).reset_index(drop=True)
    ids = table["patient_id"]
    flags = {"follow_up": follow_up, "in_window": in_window, "expanded": expanded, "no_time": follow_up & hours.isna()}
    any_scan = pd.DataFrame(flags).groupby(scans["patient_id"], sort=False).any().loc[ids].reset_index(drop=True)
    reason = np.select(
        [~any_scan["follow_up"], any_scan["expanded"], any_scan["in_window"]],
        ["no_followup", "expanded", "no_growth"],
        "no_scan_in_window",
    )
    value = {"expanded": 1.0, "no_growth": 0.0, "no_followup": np.nan}
    value["no_scan_in_window"] = 0.0 if label.no_scan_in_window == "negative" else np.nan
    expansion = pd.Series([value[r] for r in reason]).mask((reason != "expanded") & any_scan["no_time"])
    first_hours = scans["hours_from_onset"].where(expanded).groupby(scans["patient_id"], sort=False).min()
    return table.assign(expansion=expansion, hours_to_expansion=ids.map(first_hours), reason=reason)


def check_follow_up(
    labels: pd.DataFrame, scans: pd.DataFrame, label: LabelConfig, locate: CellLocator, findings: Findings
) -> None:
    """Add a warning for every patient without a follow-up scan, or without one in the label's time window."""
    record_findings = RecordFindings(scans["patient_id"], locate, findings)
    first_scans = scans.index[scans["scan_index"] == 0]  # in the order of the labels
    for record, expansion, reason in zip(first_scans, labels["expansion"], labels["reason"], strict=True):
        if reason == "no_followup":
            message = "there is no scan after the first; the patient has no label"
        elif reason == "no_scan_in_window":
            result = "the patient has no label" if np.isnan(expansion) else "the label is negative"
            message = f"no later scan is known to be within {label.window_hours:g} h of {label.clock}; {result}"
        else:
            continue
        record_findings.warn(reason, record, "scan_serial", message)
