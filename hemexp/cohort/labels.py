"""Who expanded: growth of the hematoma over the first scan, within a window, on a clock (paper, section 2.1)."""

import numpy as np
import pandas as pd

from hemexp.cohort.cells import Where
from hemexp.cohort.findings import Findings
from hemexp.config import LabelConfig

_SLACK = 1e-6  # in hours and 10^-3 mL: 0.33 * 700 is 231.00000000000003
_COLUMNS = ["patient_id", "first_scan_serial", "expansion", "hours_to_expansion", "reason"]
REASONS = ("expanded", "no_growth", "no_scan_in_window", "no_followup")


def label_patients(scans: pd.DataFrame, label: LabelConfig) -> pd.DataFrame:
    """Work out expansion for every patient.

    Volumes are in 10^-3 mL and thresholds in mL. Relative growth is taken over a first volume above 0 only: growth out
    of nothing counts by its absolute size. A patient without any later scan has no label, whatever the definition. On
    the onset clock a patient whose onset is unknown has none either.

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
    in_window = later & (clock <= label.window_hours + _SLACK)
    grown = pd.Series(False, index=scans.index)
    slack = -_SLACK if label.inclusive else _SLACK
    if label.absolute_ml is not None:
        grown |= growth > 1000 * label.absolute_ml + slack
    if label.relative is not None:
        grown |= (first_volume > 0) & (growth > label.relative * first_volume + slack)
    shows = grown & in_window

    table = scans.loc[scans["scan_index"] == 0, ["patient_id", "scan_serial"]]
    table = table.rename(columns={"scan_serial": "first_scan_serial"}).reset_index(drop=True)
    ids = table["patient_id"]
    reached = scans["hours_from_onset"].where(shows).groupby(scans["patient_id"], sort=False).min()
    flags = (later, in_window, shows, later & clock.isna())
    followed, seen, expanded, untimed = (flag.groupby(scans["patient_id"], sort=False).any() for flag in flags)
    reason = np.select(
        [~ids.map(followed), ids.map(expanded), ids.map(seen)],
        ["no_followup", "expanded", "no_growth"],
        "no_scan_in_window",
    )
    value = {"expanded": 1.0, "no_growth": 0.0, "no_followup": np.nan}
    value["no_scan_in_window"] = 0.0 if label.no_scan_in_window == "negative" else np.nan
    expansion = pd.Series([value[r] for r in reason]).mask((reason != "expanded") & ids.map(untimed))
    return table.assign(expansion=expansion, hours_to_expansion=ids.map(reached), reason=reason)[_COLUMNS]


def note_unseen(
    labels: pd.DataFrame, scans: pd.DataFrame, label: LabelConfig, where: Where, findings: Findings
) -> None:
    """Add a finding for every patient whose outcome no scan shows."""
    row_of = dict(zip(scans["scan_serial"], scans.index, strict=True))
    unseen = labels[labels["reason"].isin(["no_followup", "no_scan_in_window"])]
    negative = unseen["expansion"].notna()
    for patient, serial, reason, taken in zip(
        *unseen[_COLUMNS[:2]].T.to_numpy(), unseen["reason"], negative, strict=True
    ):
        message = "no scan after the first: no label"
        if reason == "no_scan_in_window":
            window = f"later scans, none known to be within {label.window_hours:g} h of {label.clock}"
            message = f"{window}: {'taken as negative' if taken else 'no label'}"
        findings.warn(reason, where(row_of[serial], "scan_serial"), message, patient=patient)
