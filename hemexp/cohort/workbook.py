"""The four workbooks of the published layout: Chinese headers, follow-ups side by side, read into records."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import pandas as pd
from python_calamine import CalamineError

from hemexp.cohort import columns as c
from hemexp.cohort.cells import Records, Where, is_blank, numbers, serials, times
from hemexp.cohort.findings import ONE_CELL, Cell, CohortError, Findings, column_letter
from hemexp.cohort.merge import merge
from hemexp.cohort.sheet import Sheet, first_sheet, identify, locate, unique_serials
from hemexp.config import WORKBOOKS

INDEX_COUNT = "重复次数"
SIMULATED = "simulated by hemexp: no real patient"  # the comment among a workbook's properties
_AS_IT_IS: Any = {"header": None, "dtype": object, "engine": "calamine", "keep_default_na": False, "na_values": [""]}


def read_workbooks(root: Path, findings: Findings) -> tuple[pd.DataFrame, Where]:
    """Read, check and merge the four workbooks.

    Args:
        root: the folder that holds one file of each name: 表1*.xlsx, 表2*.xlsx, 表3*.xlsx, 附表1*.xlsx.
        findings: collects what is wrong or worth knowing.

    Returns:
        The scans, columns as in `columns.SCAN_COLUMNS`, and a function from (row, column) to the cell it came from.

    Raises:
        CohortError: a file, sheet or column is missing, or cells are unusable.
    """
    books = {name: _read_book(root, prefix, findings) for name, prefix in WORKBOOKS.items()}
    findings.stop_on_errors()
    clinical = _attempt(lambda: _clinical(first_sheet(books["clinical"]), findings))
    imaging = _attempt(lambda: _imaging(first_sheet(books["imaging"]), findings))
    index = _attempt(lambda: _index(first_sheet(books["times"]), findings))
    hemo = _attempt(lambda: _radiomics(books["radiomics"], "Hemo", findings))
    edema = _attempt(lambda: _radiomics(books["radiomics"], "ED", findings))
    findings.stop_on_errors(but=ONE_CELL)
    if clinical is None or imaging is None or index is None or hemo is None or edema is None:
        raise AssertionError("a table that could not be read left no error")
    return merge(clinical, imaging, index, {"Hemo": hemo, "ED": edema}, findings)


def is_simulated(root: Path) -> bool:
    """Return whether a workbook in a folder has the property by which `hemexp.cohort.synthetic` marks its own."""
    for path in root.glob("*.xlsx"):
        with suppress(BadZipFile, KeyError, OSError), ZipFile(path) as book:
            if SIMULATED in book.read("docProps/core.xml").decode("utf-8", "replace"):
                return True
    return False


def _attempt(read: Callable[[], Records]) -> Records | None:
    """Read one table; where it has no shape to go on with, its errors wait for those of the others."""
    try:
        return read()
    except CohortError:
        return None


def _read_book(root: Path, prefix: str, findings: Findings) -> dict[str, Sheet]:
    paths = sorted(root.glob(f"{prefix}*.xls*"))
    if len(paths) != 1:
        there = ", ".join(path.name for path in paths) if paths else "none"
        findings.error(
            "file_missing", Cell(f"{prefix}*.xlsx"), f"rule: exactly one such file in {root}; found: {there}"
        )
        return {}
    file = paths[0].name
    try:
        frames = pd.read_excel(paths[0], sheet_name=None, **_AS_IT_IS)
    except (CalamineError, ValueError, OSError) as error:
        findings.error("file_unreadable", Cell(file), f"cannot be read as a workbook: {error}")
        return {}
    return {str(name): Sheet(file, str(name), frame.to_numpy(dtype=object)) for name, frame in frames.items()}


def _clinical(sheet: Sheet, findings: Findings) -> Records:
    header = sheet.header
    text_headers = {c.SEX_HEADER: "sex", c.PRESSURE_HEADER: "pressure", c.PART_HEADER: "dataset_part"}
    places = locate(sheet, {**c.NUMBER_HEADERS, **text_headers, c.SERIAL_HEADER: "scan_serial"}, findings)
    if not header or 0 in places.values():
        findings.error("column_missing", Cell(sheet.file, sheet.name, 1), "the first column must hold the patient ids")
        findings.stop_on_errors()
    if not header[0]:
        findings.warn("header_missing", Cell(sheet.file, sheet.name, 1, "A"), "no header; taken as the patient id")
    records = sheet.records({"patient_id": 0, **places})
    identify(records, findings)
    cells, ids = records.cells, records.cells["patient_id"]
    for name in c.NUMBER_HEADERS.values():
        cells[name] = numbers(cells[name], ids, records.where, findings)
    cells["scan_serial"] = serials(cells["scan_serial"], ids, records.where, findings)
    cells["dataset_part"] = cells["dataset_part"].map(lambda v: str(v).strip() if pd.notna(v) else None).astype(object)
    _sex(records, findings)
    _pressure(records, findings)
    return records


def _sex(records: Records, findings: Findings) -> None:
    cells = records.cells
    texts = cells["sex"].map(
        lambda v: str(int(v)) if isinstance(v, float) and v.is_integer() else str(v).strip().lower()
    )
    codes = texts.map(c.SEX_CODES)
    for i in np.flatnonzero(codes.isna() & ~is_blank(cells["sex"])):
        value, patient = cells["sex"].iloc[i], cells["patient_id"].iloc[i]
        message = f"sex is {value!r}; rule: 男 or 女 (also 1 or 2, male or female)"
        findings.error("unknown_sex", records.where(int(i), "sex"), message, patient=patient, value=value)
    cells["sex"] = codes.astype("float64")


def _pressure(records: Records, findings: Findings) -> None:
    """Split "180/90" into systolic and diastolic mmHg."""
    cells = records.cells
    pair = cells["pressure"].astype(str).str.extract(r"^\s*(\d+)\s*/\s*(\d+)\s*$")
    blank = is_blank(cells["pressure"])
    for i, (value, patient) in enumerate(zip(cells["pressure"], cells["patient_id"], strict=True)):
        cell = records.where(i, "pressure")
        if blank.iloc[i]:
            continue
        if pair[0].isna().iloc[i]:
            message = f"blood pressure is {value!r}; rule: systolic/diastolic in mmHg, such as 180/90"
            findings.error("blood_pressure", cell, message, patient=patient, value=value)
        elif not re.fullmatch(r"\d+/\d+", str(value)):
            message = f"blood pressure is {value!r}, with spaces; read as {pair[0].iloc[i]}/{pair[1].iloc[i]}"
            findings.warn("blood_pressure_spaces", cell, message, patient=patient, value=value)
    cells["systolic"], cells["diastolic"] = pair[0].astype("float64"), pair[1].astype("float64")
    records.column["systolic"] = records.column["diastolic"] = records.column["pressure"]


def _imaging(sheet: Sheet, findings: Findings) -> Records:
    """Table 2: one row a patient, its scans side by side, 23 columns each; returned one record a scan."""
    header = sheet.header
    starts = [i for i, text in enumerate(header) if re.fullmatch(r"首次检查流水号|随访\d+流水号", text)]
    if not header or header[0] != "ID" or not starts or header[starts[0]] != "首次检查流水号":
        rule = "rule: column A is ID, then 首次检查流水号 and 22 columns, then 随访1流水号 and so on"
        findings.error("column_missing", Cell(sheet.file, sheet.name, 1), rule)
        findings.stop_on_errors()
    whole = True
    for start in starts:
        for offset, name in enumerate(c.LOCATION, start=1):
            there = header[start + offset] if start + offset < len(header) else ""
            if there != name:
                cell = Cell(sheet.file, sheet.name, 1, column_letter(start + offset))
                message = f"column {name!r} belongs here, after {header[start]}; found {there!r}"
                findings.error("column_missing", cell, message, value=there)
                whole = False
                break
    if not whole:
        findings.stop_on_errors()
    blocks, gaps = [], None
    patients = sheet.records({"patient_id": 0})
    identify(patients, findings)
    for k, start in enumerate(starts):
        block = sheet.records({"scan_serial": start, **{name: start + 1 + j for j, name in enumerate(c.LOCATION)}})
        frame = block.cells.assign(patient_id=patients.cells["patient_id"], block=k, sheet_row=block.row)
        serial_blank = is_blank(frame["scan_serial"])
        for i in np.flatnonzero(serial_blank & frame[c.LOCATION].notna().any(axis=1)):
            message = f"imaging values without a serial under {header[start]}"
            findings.error(
                "serial_missing", block.where(int(i), "scan_serial"), message, patient=frame["patient_id"].iloc[i]
            )
        for i in np.flatnonzero(serial_blank & (k == 0)):
            message = "the first scan has no serial; rule: every patient has a first scan"
            findings.error(
                "first_scan_missing", block.where(int(i), "scan_serial"), message, patient=frame["patient_id"].iloc[i]
            )
        gaps = serial_blank if gaps is None else gaps
        for i in np.flatnonzero(gaps & ~serial_blank & (k > 0)):
            message = f"a scan stands under {header[start]} and none under {header[starts[k - 1]]}; taken in order"
            findings.warn(
                "follow_up_gap", block.where(int(i), "scan_serial"), message, patient=frame["patient_id"].iloc[i]
            )
        gaps = serial_blank
        blocks.append(frame[~serial_blank])
    cells = pd.concat(blocks, ignore_index=True)
    row, first = cells.pop("sheet_row").to_numpy(), np.array(starts)[cells["block"].to_numpy()]
    column: dict[str, int | np.ndarray[Any, Any]] = {name: first + 1 + j for j, name in enumerate(c.LOCATION)}
    records = Records(sheet.file, sheet.name, cells, row, {**column, "scan_serial": first, "patient_id": 0})
    for name in c.LOCATION:
        cells[name] = numbers(cells[name], cells["patient_id"], records.where, findings)
    cells["scan_serial"] = serials(cells["scan_serial"], cells["patient_id"], records.where, findings)
    unique_serials(records, "scan_serial", findings)
    return records


def _index(sheet: Sheet, findings: Findings) -> Records:
    """The index table: pairs of scan time and scan serial, side by side; returned one record a pair."""
    header = sheet.header
    pattern = r"(入院首次检查|随访\d+){}"
    pairs = [
        (i, header.index(match[1] + "流水号"))
        for i, text in enumerate(header)
        if (match := re.fullmatch(pattern.format("时间点"), text)) and match[1] + "流水号" in header
    ]
    if not pairs or header[0] != "ID":
        rule = "rule: column A is ID, then 入院首次检查时间点, 入院首次检查流水号, 随访1时间点, 随访1流水号 and so on"
        findings.error("column_missing", Cell(sheet.file, sheet.name, 1), rule)
        findings.stop_on_errors()
    _stray_cells(sheet, findings)
    frames = []
    for time_column, serial_column in pairs:
        block = sheet.records({"patient_id": 0, "scan_time": time_column, "scan_serial": serial_column})
        frame = block.cells.assign(sheet_row=block.row, time_column=time_column, serial_column=serial_column)
        frames.append(frame[~(is_blank(frame["scan_time"]) & is_blank(frame["scan_serial"]))])
    cells = pd.concat(frames, ignore_index=True)
    if cells.empty:
        findings.error("empty_table", Cell(sheet.file, sheet.name), "holds no scan times, only a header")
        findings.stop_on_errors()
    column: dict[str, int | np.ndarray[Any, Any]] = {
        "patient_id": 0,
        "scan_time": cells.pop("time_column").to_numpy(),
        "scan_serial": cells.pop("serial_column").to_numpy(),
    }
    records = Records(sheet.file, sheet.name, cells, cells.pop("sheet_row").to_numpy(), column)
    timeless = is_blank(cells["scan_time"])
    cells["scan_time"] = times(cells["scan_time"], cells["patient_id"], records.where, findings)
    cells["scan_serial"] = serials(cells["scan_serial"], cells["patient_id"], records.where, findings)
    for i in np.flatnonzero(timeless & cells["scan_serial"].notna()):
        message = "a scan serial without its time; rule: every serial has one"
        findings.error("time_missing", records.where(int(i), "scan_time"), message, patient=cells["patient_id"].iloc[i])
    for i in np.flatnonzero(cells["scan_serial"].isna()):
        message = "a scan time without its serial; not used"
        findings.warn(
            "serial_missing", records.where(int(i), "scan_serial"), message, patient=cells["patient_id"].iloc[i]
        )
    unique_serials(records, "scan_serial", findings)
    _scan_counts(sheet, records, findings)
    return records


def _stray_cells(sheet: Sheet, findings: Findings) -> None:
    nameless = [i for i, text in enumerate(sheet.header) if not text]
    if not nameless:
        return
    for row in 1 + np.flatnonzero(sheet.filled[1:, nameless].any(axis=1)):
        columns = [i for i in nameless if sheet.filled[row, i]]
        letters = [column_letter(i) for i in columns]
        message = f"{len(letters)} cells in columns without a header ({letters[0]} to {letters[-1]}); not read"
        cell = Cell(sheet.file, sheet.name, int(row) + 1, letters[0])
        findings.warn("stray_cells", cell, message, value=sheet.cells[row, columns[0]])


def _scan_counts(sheet: Sheet, index: Records, findings: Findings) -> None:
    if INDEX_COUNT not in sheet.header:
        return
    table = sheet.records({"patient_id": 0, INDEX_COUNT: sheet.header.index(INDEX_COUNT)})
    filled = pd.Series(index.row[index.cells["scan_serial"].notna()]).value_counts()
    for i, (stated, row) in enumerate(zip(table.cells[INDEX_COUNT], table.row, strict=True)):
        there = int(filled.get(row, 0))
        if stated != there:
            message = f"{INDEX_COUNT} says {stated}, {there} pairs of time and serial are filled; the pairs count"
            patient = table.cells["patient_id"].iloc[i]
            findings.warn("scan_count", table.where(i, INDEX_COUNT), message, patient=patient, value=stated)


def _radiomics(book: dict[str, Sheet], tissue: str, findings: Findings) -> Records:
    file = first_sheet(book).file
    if tissue not in book:
        findings.error("sheet_missing", Cell(file), f"there is no sheet {tissue!r}; found: {', '.join(book)}")
        findings.stop_on_errors()
    if tissue == "Hemo":
        for name in book.keys() - {"Hemo", "ED"}:
            findings.warn("unknown_sheet", Cell(file, name), "not one of Hemo and ED; not read")
    sheet = book[tissue]
    names = {feature: f"{tissue}_{feature}" for feature in c.SHAPE + c.FIRST_ORDER}
    places = locate(sheet, {"流水号": "scan_serial", **names}, findings)
    records = sheet.records(places)
    cells = records.cells
    if cells.empty:
        findings.error("empty_table", Cell(sheet.file, sheet.name), "holds no scans, only a header")
    nobody = pd.Series("", index=cells.index)
    cells["scan_serial"] = serials(cells["scan_serial"], nobody, records.where, findings)
    for name in names.values():
        cells[name] = numbers(cells[name], cells["scan_serial"], records.where, findings)
    unique_serials(records, "scan_serial", findings)
    return records
