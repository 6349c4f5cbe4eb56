"""Read each table of the published workbooks into records: clinical data, imaging, scan times and radiomics."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.cells import Records, is_blank, numbers, serials, texts, times
from hemexp.cohort.findings import Cell, Findings, RecordFindings, column_letter
from hemexp.cohort.sheet import Sheet, check_unique_serials, find_columns, first_sheet, read_patients

SCAN_COUNT = "重复次数"


def read_clinical(sheet: Sheet, findings: Findings) -> Records:
    """Read Table 1: a record a patient, with the columns `columns.PATIENT_COLUMNS` and the first scan's serial."""
    header = sheet.header
    text_headers = {c.SEX_HEADER: "sex", c.PRESSURE_HEADER: "pressure", c.PART_HEADER: "dataset_part"}
    columns = find_columns(sheet, {**c.NUMBER_HEADERS, **text_headers, c.SERIAL_HEADER: "scan_serial"}, findings)
    if not header or 0 in columns.values():
        message = f"the first column is {header[0] if header else ''!r}; rule: it holds the patient ids; insert it"
        findings.fail("column_missing", Cell(sheet.file, sheet.name, 1), message)
    if not header[0]:
        cell = Cell(sheet.file, sheet.name, 1, "A")
        findings.warn("header_missing", cell, "the first column has no header; it is read as the patient id")
    records = sheet.records({"patient_id": 0, **columns})
    record_findings = read_patients(records, findings)
    cells = records.cells
    for name in c.NUMBER_HEADERS.values():
        cells[name] = numbers(cells[name], record_findings)
    cells["scan_serial"] = serials(cells["scan_serial"], record_findings)
    cells["dataset_part"] = texts(cells["dataset_part"])
    cells["sex"] = _sex(cells["sex"], record_findings)
    cells["systolic"], cells["diastolic"] = _blood_pressure(cells["pressure"], record_findings)
    records.column["systolic"] = records.column["diastolic"] = records.column["pressure"]
    return records


def _sex(cells: pd.Series, findings: RecordFindings) -> pd.Series:
    words = cells.map(lambda v: str(int(v)) if isinstance(v, float) and v.is_integer() else str(v).strip().lower())
    codes = words.map(c.SEX_CODES)
    for i in np.flatnonzero(codes.isna() & ~is_blank(cells)):
        message = f"sex is {cells[i]!r}; rule: 男 or 女 (also 1 or 2, male or female); correct the cell or clear it"
        findings.error("unknown_sex", i, "sex", message, cells[i])
    return codes.astype("float64")


def _blood_pressure(cells: pd.Series, findings: RecordFindings) -> tuple[pd.Series, pd.Series]:
    """Split "180/90" into systolic and diastolic mmHg."""
    parts = cells.astype(str).str.extract(r"^\s*(\d+)\s*/\s*(\d+)\s*$")
    unreadable = parts[0].isna()
    for i in np.flatnonzero(~is_blank(cells)):
        value = cells[i]
        if unreadable[i]:
            message = f"blood pressure is {value!r}; rule: systolic/diastolic in mmHg, such as 180/90; correct the cell"
            findings.error("blood_pressure", i, "pressure", message, value)
        elif not re.fullmatch(r"\d+/\d+", str(value)):
            message = f"blood pressure is {value!r}, with spaces; it is read as {parts[0][i]}/{parts[1][i]}"
            findings.warn("blood_pressure_spaces", i, "pressure", message, value)
    return parts[0].astype("float64"), parts[1].astype("float64")


def read_imaging(sheet: Sheet, findings: Findings) -> Records:
    """Read Table 2, which has a row a patient and 23 columns a scan.

    Returns:
        A record a scan: patient_id, scan_serial, `columns.LOCATION` and block, which is 0 for the first scan.
    """
    header = sheet.header
    starts = [i for i, text in enumerate(header) if re.fullmatch(r"首次检查流水号|随访\d+流水号", text)]
    if not header or header[0] != "ID" or not starts or header[starts[0]] != "首次检查流水号":
        rule = "rule: column A is ID, then 首次检查流水号 and 22 columns, then 随访1流水号 and so on"
        findings.fail("column_missing", Cell(sheet.file, sheet.name, 1), f"the header is incomplete; {rule}")
    _check_blocks(sheet, starts, findings)
    patients = sheet.records({"patient_id": 0})
    read_patients(patients, findings)
    ids = patients.cells["patient_id"]
    frames, previous_blank = [], None
    for k, start in enumerate(starts):
        block = sheet.records({"scan_serial": start, **{name: start + 1 + j for j, name in enumerate(c.LOCATION)}})
        record_findings = RecordFindings(ids, block.locate, findings)
        frame = block.cells.assign(patient_id=ids, block=k, sheet_row=block.row)
        blank = is_blank(frame["scan_serial"])
        for i in np.flatnonzero(blank & frame[c.LOCATION].notna().any(axis=1)):
            message = f"imaging values have no serial under {header[start]}; rule: every scan has a serial; enter it"
            record_findings.error("serial_missing", i, "scan_serial", message)
        if previous_blank is None:
            for i in np.flatnonzero(blank):
                message = "the first scan has no serial; rule: every patient has a first scan; enter its serial"
                record_findings.error("first_scan_missing", i, "scan_serial", message)
        else:
            for i in np.flatnonzero(previous_blank & ~blank):
                message = f"there is a scan under {header[start]} but none under {header[starts[k - 1]]}; it is used"
                record_findings.warn("follow_up_gap", i, "scan_serial", message)
        previous_blank = blank
        frames.append(frame[~blank])
    cells = pd.concat(frames, ignore_index=True)
    row, first = cells.pop("sheet_row").to_numpy(), np.array(starts)[cells["block"].to_numpy()]
    column: dict[str, int | np.ndarray[Any, Any]] = {name: first + 1 + j for j, name in enumerate(c.LOCATION)}
    records = Records(sheet.file, sheet.name, cells, row, {**column, "scan_serial": first, "patient_id": 0})
    record_findings = RecordFindings(cells["patient_id"], records.locate, findings)
    for name in c.LOCATION:
        cells[name] = numbers(cells[name], record_findings)
    cells["scan_serial"] = serials(cells["scan_serial"], record_findings)
    check_unique_serials(records, findings)
    return records


def _check_blocks(sheet: Sheet, starts: Iterable[int], findings: Findings) -> None:
    """Check that the serial of each scan is followed by the columns `columns.LOCATION`."""
    header = sheet.header
    complete = True
    for start in starts:
        for i, name in enumerate(c.LOCATION, start=start + 1):
            text = header[i] if i < len(header) else ""
            if text != name:
                message = f"the header is {text!r}; rule: {name!r} is the next column after {header[start]}; correct it"
                cell = Cell(sheet.file, sheet.name, 1, column_letter(i))
                findings.error("column_missing", cell, message, value=text)
                complete = False
                break
    if not complete:
        findings.stop_on_errors()


def read_scan_times(sheet: Sheet, findings: Findings) -> Records:
    """Read the index table, which has pairs of scan time and scan serial side by side.

    Returns:
        A record a pair: patient_id (ids of this table only), scan_time and scan_serial.
    """
    header = sheet.header
    pairs = [
        (i, header.index(match[1] + "流水号"))
        for i, text in enumerate(header)
        if (match := re.fullmatch(r"(入院首次检查|随访\d+)时间点", text)) and match[1] + "流水号" in header
    ]
    if not pairs or header[0] != "ID":
        rule = "rule: column A is ID, then 入院首次检查时间点, 入院首次检查流水号, 随访1时间点, 随访1流水号 and so on"
        findings.fail("column_missing", Cell(sheet.file, sheet.name, 1), f"the header is incomplete; {rule}")
    _warn_stray_cells(sheet, findings)
    frames = []
    for time_column, serial_column in pairs:
        block = sheet.records({"patient_id": 0, "scan_time": time_column, "scan_serial": serial_column})
        frame = block.cells.assign(sheet_row=block.row, time_column=time_column, serial_column=serial_column)
        frames.append(frame[~(is_blank(frame["scan_time"]) & is_blank(frame["scan_serial"]))])
    cells = pd.concat(frames, ignore_index=True)
    if cells.empty:
        message = "there are no scan times below the header; rule: at least one; add the scan times"
        findings.fail("empty_table", Cell(sheet.file, sheet.name), message)
    column: dict[str, int | np.ndarray[Any, Any]] = {
        "patient_id": 0,
        "scan_time": cells.pop("time_column").to_numpy(),
        "scan_serial": cells.pop("serial_column").to_numpy(),
    }
    records = Records(sheet.file, sheet.name, cells, cells.pop("sheet_row").to_numpy(), column)
    record_findings = RecordFindings(cells["patient_id"], records.locate, findings)
    without_time = is_blank(cells["scan_time"])
    cells["scan_time"] = times(cells["scan_time"], record_findings)
    cells["scan_serial"] = serials(cells["scan_serial"], record_findings)
    without_serial = cells["scan_serial"].isna()
    for i in np.flatnonzero(without_time & ~without_serial):
        message = "a scan serial has no time; rule: every serial has a time; enter the time"
        record_findings.error("time_missing", i, "scan_time", message)
    for i in np.flatnonzero(without_serial):
        record_findings.warn("serial_missing", i, "scan_serial", "a scan time has no serial; it is not used")
    check_unique_serials(records, findings)
    _check_scan_counts(sheet, records, findings)
    return records


def _warn_stray_cells(sheet: Sheet, findings: Findings) -> None:
    without_header = [i for i, text in enumerate(sheet.header) if not text]
    if not without_header:
        return
    for row in 1 + np.flatnonzero(sheet.filled[1:, without_header].any(axis=1)):
        columns = [i for i in without_header if sheet.filled[row, i]]
        first, last = column_letter(columns[0]), column_letter(columns[-1])
        message = f"{len(columns)} cells are in columns without a header ({first} to {last}); they are not read"
        cell = Cell(sheet.file, sheet.name, int(row) + 1, first)
        findings.warn("stray_cells", cell, message, value=sheet.cells[row, columns[0]])


def _check_scan_counts(sheet: Sheet, scan_times: Records, findings: Findings) -> None:
    """Compare each row's stated number of scans with the pairs that are filled in."""
    if SCAN_COUNT not in sheet.header:
        return
    table = sheet.records({"patient_id": 0, SCAN_COUNT: sheet.header.index(SCAN_COUNT)})
    record_findings = RecordFindings(table.cells["patient_id"], table.locate, findings)
    filled = pd.Series(scan_times.row[scan_times.cells["scan_serial"].notna()]).value_counts()
    for i, (stated, row) in enumerate(zip(table.cells[SCAN_COUNT], table.row, strict=True)):
        count = int(filled.get(row, 0))
        if stated != count:
            message = f"{SCAN_COUNT} is {stated}, but {count} pairs of time and serial are filled; the pairs are used"
            record_findings.warn("scan_count", i, SCAN_COUNT, message, stated)


def read_radiomics(book: dict[str, Sheet], tissue: str, findings: Findings) -> Records:
    """Read a sheet of Table 3: a record a scan, with its serial and `columns.RADIOMICS` of the tissue (Hemo or ED)."""
    file = first_sheet(book).file
    if tissue not in book:
        message = f"there is no sheet {tissue!r}; found: {', '.join(book)}; rule: the sheets are Hemo and ED; add it"
        findings.fail("sheet_missing", Cell(file), message)
    if tissue == "Hemo":
        for name in book.keys() - {"Hemo", "ED"}:
            findings.warn("unknown_sheet", Cell(file, name), "the sheet is not Hemo or ED; it is not read")
    sheet = book[tissue]
    names = {feature: f"{tissue}_{feature}" for feature in c.SHAPE + c.FIRST_ORDER}
    records = sheet.records(find_columns(sheet, {"流水号": "scan_serial", **names}, findings))
    cells = records.cells
    if cells.empty:
        message = "there are no scans below the header; rule: at least one; add the scans"
        findings.error("empty_table", Cell(sheet.file, sheet.name), message)
    no_patients = pd.Series("", index=cells.index)  # this table has no patient ids
    cells["scan_serial"] = serials(cells["scan_serial"], RecordFindings(no_patients, records.locate, findings))
    record_findings = RecordFindings(cells["scan_serial"], records.locate, findings)
    for name in names.values():
        cells[name] = numbers(cells[name], record_findings)
    check_unique_serials(records, findings)
    return records
