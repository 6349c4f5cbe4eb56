"""Join the four tables of the workbooks into one table with a row a scan.

Scans are joined by serial and patients by id, never by row number, because the index table has other patient ids. Where
the tables contradict each other, Table 2 is used, because it is keyed by patient; the contradiction is a finding.
"""

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.cells import Records
from hemexp.cohort.findings import SINGLE_CELL_PROBLEMS, Cell, CellLocator, Findings, RecordFindings


def merge(tables: dict[str, Records], findings: Findings) -> tuple[pd.DataFrame, CellLocator]:
    """Join the records of the four workbooks.

    Args:
        tables: ``clinical``, a record a patient; ``imaging``, a record a scan, with ``block`` 0 for the first scan;
            ``times``, a record a scan time; ``Hemo`` and ``ED``, a record a scan.
        findings: collects contradictions and records without a match.

    Returns:
        The scans in Table 1's order of patients, and a function from (row, column) to the cell in the file.

    Raises:
        CohortError: a patient is in only one of Table 1 and Table 2, or a scan has no time.
    """
    clinical, imaging, scan_times = tables["clinical"], tables["imaging"], tables["times"]
    patient_row = {patient: i for i, patient in enumerate(clinical.cells["patient_id"])}
    _check_same_patients(clinical, imaging, findings)

    rows = imaging.cells[["patient_id", "block"]].assign(patient=imaging.cells["patient_id"].map(patient_row))
    order = rows.sort_values(["patient", "block"]).index
    scans = imaging.cells.loc[order, ["patient_id", "scan_serial", *c.LOCATION]].reset_index(drop=True)
    known_serials = set(scans["scan_serial"])
    positions = {"imaging": order.to_numpy(), "clinical": scans["patient_id"].map(patient_row).to_numpy()}
    parts = [scans, clinical.cells[c.PATIENT_COLUMNS].iloc[positions["clinical"]].set_axis(scans.index)]
    for name, columns in {"times": ["scan_time"], **c.RADIOMICS}.items():
        records = tables[name]
        position_of = {serial: i for i, serial in enumerate(records.cells["scan_serial"])}
        positions[name] = scans["scan_serial"].map(lambda serial, of=position_of: of.get(serial, -1)).to_numpy()
        parts.append(records.cells[columns].reindex(positions[name]).set_axis(scans.index))
        _warn_unknown_serials(records, known_serials, name, findings)
    scans = pd.concat(parts, axis=1).copy()
    scans["scan_index"] = scans.groupby("patient_id", sort=False).cumcount()
    first_times = scans[scans["scan_index"] == 0].set_index("patient_id")["scan_time"]
    since_first = scans["scan_time"] - scans["patient_id"].map(first_times)
    scans["hours_from_first_scan"] = (since_first.dt.total_seconds() / 3600).round(6)
    scans["hours_from_onset"] = (scans["onset_to_first_scan"] + scans["hours_from_first_scan"]).round(6)

    table_of_column = dict.fromkeys(c.PATIENT_COLUMNS, "clinical")
    table_of_column |= dict.fromkeys(["scan_time", "hours_from_first_scan", "hours_from_onset"], "times")
    table_of_column |= {column: tissue for tissue, columns in c.RADIOMICS.items() for column in columns}

    def locate(record: int, column: str) -> Cell:
        table = table_of_column.get(column, "imaging")
        position = int(positions[table][record])
        if position < 0:  # the table has no such scan: the scan's serial in Table 2 is where to start looking
            return imaging.locate(int(positions["imaging"][record]), "scan_serial")
        return tables[table].locate(position, "scan_time" if table == "times" else column)

    record_findings = RecordFindings(scans["patient_id"], locate, findings)
    for record in np.flatnonzero(positions["times"] < 0):
        serial = scans["scan_serial"].iloc[record]
        message = f"scan {serial} has no time; rule: {scan_times.file} has a time for every scan; enter it there"
        record_findings.error("scan_without_time", record, "scan_serial", message, serial)
    findings.stop_on_errors(deferred=SINGLE_CELL_PROBLEMS)
    _compare_first_serials(clinical, scans, findings)
    message = f"the patient ids differ from those in {clinical.file}; the scans are joined by serial"
    findings.warn("index_patient_ids", Cell(scan_times.file, scan_times.sheet, 1, "A"), message)
    return scans[c.SCAN_COLUMNS], locate


def _check_same_patients(clinical: Records, imaging: Records, findings: Findings) -> None:
    """Check that Table 1 and Table 2 have the same patients."""
    for records, other, problem in (
        (clinical, imaging, "patient_without_imaging"),
        (imaging, clinical, "patient_without_clinical"),
    ):
        ids = records.cells["patient_id"]
        record_findings = RecordFindings(ids, records.locate, findings)
        for i in np.flatnonzero(~ids.isin(set(other.cells["patient_id"])) & ~ids.duplicated()):
            message = f"patient {ids[i]} has no row in {other.file}; rule: every patient is in both tables; add the row"
            record_findings.error(problem, i, "patient_id", message)
    findings.stop_on_errors(deferred=SINGLE_CELL_PROBLEMS)


def _warn_unknown_serials(records: Records, known_serials: set[str], name: str, findings: Findings) -> None:
    problem = "index_unknown_serial" if name == "times" else "radiomics_unknown_serial"
    for i, serial in enumerate(records.cells["scan_serial"]):
        if serial is not None and serial not in known_serials:
            patient = records.cells["patient_id"].iloc[i] if name == "times" else ""
            message = f"scan {serial} is not in Table 2; it is not used"
            findings.warn(problem, records.locate(i, "scan_serial"), message, patient=patient, value=serial)


def _compare_first_serials(clinical: Records, scans: pd.DataFrame, findings: Findings) -> None:
    """Compare the first scan's serial in Table 1 with the one in Table 2; Table 2 is used."""
    record_findings = RecordFindings(clinical.cells["patient_id"], clinical.locate, findings)
    firsts = scans[scans["scan_index"] == 0].set_index("patient_id")["scan_serial"]
    keys = zip(scans["scan_serial"], scans["patient_id"], scans["scan_index"], strict=True)
    description = {serial: f"{patient}'s scan number {index + 1}" for serial, patient, index in keys}
    pairs = zip(clinical.cells["patient_id"], clinical.cells["scan_serial"], strict=True)
    for i, (patient, stated) in enumerate(pairs):
        if stated is not None and stated != firsts[patient]:
            found = f"in Table 2 that is {description[stated]}" if stated in description else "Table 2 has no such scan"
            message = f"the first scan is {stated} here ({found}) and {firsts[patient]} in Table 2; Table 2 is used"
            record_findings.warn("first_serial_conflict", i, "scan_serial", message, stated)
