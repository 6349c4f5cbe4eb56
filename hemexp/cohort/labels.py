"""Who expanded: growth of the hematoma over the first scan, within a window, on a clock (paper, section 2.1)."""

import numpy as np
import pandas as pd

from hemexp.cohort.cells import Where
from hemexp.cohort.findings import Findings
from hemexp.config import LabelConfig

REASONS = ("expanded", "no_growth", "no_scan_in_window", "no_followup")


def label_patients(scans: pd.DataFrame, label: LabelConfig) -> pd.DataFrame:
    """Work out expansion for every patient.

    Volumes are in 10^-3 mL and thresholds in mL. Relative growth is taken over a first volume above 0 only: growth out
    of nothing counts by its absolute size. A patient without any later scan has no label, whatever the definition.

    Args:
        scans: a row a scan, in the order of `hemexp.cohort.columns.SCAN_COLUMNS`.
        label: the definition.

    Returns:
        A row a patient in table order: ``patient_id, first_scan_serial, expansion`` (1, 0 or NaN),
        ``hours_to_expansion`` (from onset to the first scan that shows it) and ``reason`` (one of `REASONS`).
    """
    by_patient = scans.groupby("patient_id", sort=False)
    first_volume = by_patient["HM_volume"].transform("first")
    growth = scans["HM_volume"] - first_volume
    clock = scans["hours_from_onset" if label.clock == "onset" else "hours_from_first_scan"]
    later = scans["scan_index"] > 0
    in_window = later & (clock <= label.window_hours)
    grown = pd.Series(False, index=scans.index)
    reaches = np.greater_equal if label.inclusive else np.greater
    if label.absolute_ml is not None:
        grown |= reaches(growth, 1000 * label.absolute_ml)
    if label.relative is not None:
        grown |= (first_volume > 0) & reaches(growth, label.relative * first_volume)
    shows = grown & in_window

    table = scans.loc[scans["scan_index"] == 0, ["patient_id", "scan_serial"]]
    table = table.rename(columns={"scan_serial": "first_scan_serial"}).reset_index(drop=True)
    ids = table["patient_id"]
    reached = scans["hours_from_onset"].where(shows).groupby(scans["patient_id"], sort=False).min()
    followed, seen, expanded = (
        flag.groupby(scans["patient_id"], sort=False).any() for flag in (later, in_window, shows)
    )
    reason = np.select(
        [~ids.map(followed), ids.map(expanded), ids.map(seen)],
        ["no_followup", "expanded", "no_growth"],
        "no_scan_in_window",
    )
    known = {"expanded": 1.0, "no_growth": 0.0, "no_followup": np.nan}
    known["no_scan_in_window"] = 0.0 if label.no_scan_in_window == "negative" else np.nan
    return table.assign(expansion=[known[r] for r in reason], hours_to_expansion=ids.map(reached), reason=reason)


def note_unseen(
    labels: pd.DataFrame, scans: pd.DataFrame, label: LabelConfig, where: Where, findings: Findings
) -> None:
    """Add a finding for every patient whose outcome no scan shows."""
    row_of = dict(zip(scans["scan_serial"], scans.index, strict=True))
    for patient in labels[labels["reason"].isin(["no_followup", "no_scan_in_window"])].itertuples():
        cell = where(row_of[patient.first_scan_serial], "scan_serial")
        if patient.reason == "no_followup":
            findings.warn("no_followup", cell, "no scan after the first: no label", patient=patient.patient_id)
        else:
            taken = "taken as negative" if label.no_scan_in_window == "negative" else "no label"
            message = f"later scans, none within {label.window_hours:g} h of {label.clock}: {taken}"
            findings.warn("no_scan_in_window", cell, message, patient=patient.patient_id)
