"""Four tables become one row a scan.

Scans are joined by serial and patients by id, never by row number: the index table has patient ids of its own. Where
the tables contradict each other Table 2 decides, because it is keyed by patient, and the contradiction is a finding.
"""

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.cells import Records, Where
from hemexp.cohort.findings import ONE_CELL, Cell, Findings


def merge(
    clinical: Records, imaging: Records, index: Records, radiomics: dict[str, Records], findings: Findings
) -> tuple[pd.DataFrame, Where]:
    """Join the records of the four workbooks.

    Args:
        clinical: Table 1, a record a patient.
        imaging: Table 2, a record a scan; its ``block`` is 0 for the first scan.
        index: the index table, a record a scan time.
        radiomics: the sheets of Table 3 under ``Hemo`` and ``ED``, a record a scan.
        findings: collects contradictions and what matches nothing.

    Returns:
        The scans in Table 1's order of patients, and a function from (row, column) to the cell it came from.

    Raises:
        CohortError: a patient of one of Table 1 and Table 2 is not in the other.
    """
    patient_row = {patient: i for i, patient in enumerate(clinical.cells["patient_id"])}
    with_scans = set(imaging.cells["patient_id"])
    for patient, i in patient_row.items():
        if patient not in with_scans:
            cell, message = clinical.where(i, "patient_id"), f"patient {patient} has no row in {imaging.file}"
            findings.error("patient_without_imaging", cell, message, patient=patient)
    first_scans = imaging.cells["block"] == 0
    for record in np.flatnonzero(first_scans & ~imaging.cells["patient_id"].isin(list(patient_row))):
        patient = imaging.cells["patient_id"].iloc[record]
        cell, message = imaging.where(int(record), "patient_id"), f"patient {patient} has no row in {clinical.file}"
        findings.error("patient_without_clinical", cell, message, patient=patient)
    findings.stop_on_errors(but=ONE_CELL)

    order = imaging.cells["patient_id"].map(patient_row)
    source = order.to_frame("patient").assign(block=imaging.cells["block"]).sort_values(["patient", "block"]).index
    scans = imaging.cells.loc[source, ["patient_id", "scan_serial", *c.LOCATION]].reset_index(drop=True)
    positions = {"imaging": source.to_numpy(), "clinical": scans["patient_id"].map(patient_row).to_numpy()}
    sources = {"clinical": clinical, "imaging": imaging, "times": index, **radiomics}
    parts = [scans, clinical.cells[c.PATIENT_COLUMNS].iloc[positions["clinical"]].set_axis(scans.index)]
    for name, records in (("times", index), *radiomics.items()):
        wanted = ["scan_time"] if name == "times" else c.RADIOMICS[name]
        at = {serial: i for i, serial in enumerate(records.cells["scan_serial"])}
        positions[name] = scans["scan_serial"].map(lambda serial, at=at: at.get(serial, -1)).to_numpy()
        found = records.cells[wanted].reindex(positions[name]).set_axis(scans.index)
        parts.append(found)
        _unknown_serials(records, set(scans["scan_serial"]), name, findings)
    scans = pd.concat(parts, axis=1).copy()
    scans["scan_index"] = scans.groupby("patient_id", sort=False).cumcount()
    first_times = scans[scans["scan_index"] == 0].set_index("patient_id")["scan_time"]
    since_first = scans["scan_time"] - scans["patient_id"].map(first_times)
    scans["hours_from_first_scan"] = (since_first.dt.total_seconds() / 3600).round(6)
    scans["hours_from_onset"] = (scans["onset_to_first_scan"] + scans["hours_from_first_scan"]).round(6)

    room = dict.fromkeys(c.PATIENT_COLUMNS, "clinical")
    room |= {"scan_time": "times", "hours_from_first_scan": "times", "hours_from_onset": "times"}
    room |= {name: tissue for tissue, names in c.RADIOMICS.items() for name in names}

    def where(record: int, name: str) -> Cell:
        table = room.get(name, "imaging")
        position = int(positions[table][record])
        if position < 0:  # nothing there to point at: the scan's serial is the place to start
            return imaging.where(int(positions["imaging"][record]), "scan_serial")
        return sources[table].where(position, "scan_time" if table == "times" else name)

    for record in np.flatnonzero(positions["times"] < 0):
        serial, patient = scans["scan_serial"].iloc[record], scans["patient_id"].iloc[record]
        message = f"scan {serial} has no time in {index.file}"
        findings.error("scan_without_time", where(int(record), "scan_serial"), message, patient=patient, value=serial)
    findings.stop_on_errors(but=ONE_CELL)
    _first_serials(clinical, scans, findings)
    findings.warn(
        "index_patient_ids", Cell(index.file, index.sheet, 1, "A"), "patient ids of its own; joined by serial"
    )
    return scans[c.SCAN_COLUMNS], where


def _unknown_serials(records: Records, known: set[str], name: str, findings: Findings) -> None:
    for i, serial in enumerate(records.cells["scan_serial"]):
        if serial is not None and serial not in known:
            patient = records.cells["patient_id"].iloc[i] if name == "times" else ""
            problem = "index_unknown_serial" if name == "times" else "radiomics_unknown_serial"
            message = f"scan {serial} is no patient's in Table 2; not used"
            findings.warn(problem, records.where(i, "scan_serial"), message, patient=patient, value=serial)


def _first_serials(clinical: Records, scans: pd.DataFrame, findings: Findings) -> None:
    """Table 1 names a first scan too: where it is another one, Table 2 decides."""
    firsts = scans[scans["scan_index"] == 0].set_index("patient_id")["scan_serial"]
    numbers = scans["scan_index"] + 1
    owner = {s: (p, n) for s, p, n in zip(scans["scan_serial"], scans["patient_id"], numbers, strict=True)}
    for i, (patient, stated) in enumerate(
        zip(clinical.cells["patient_id"], clinical.cells["scan_serial"], strict=True)
    ):
        if stated is None or stated == firsts[patient]:
            continue
        whose = "{}'s scan number {}".format(*owner[stated]) if stated in owner else "nobody's in Table 2"
        message = f"first scan is {stated} here, which is {whose}; Table 2 says {firsts[patient]} and decides"
        findings.warn("first_serial_conflict", clinical.where(i, "scan_serial"), message, patient=patient, value=stated)
