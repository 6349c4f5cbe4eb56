"""Put the scans of a patient that stand side by side below each other."""

import numpy as np
import pandas as pd

from hemexp.cohort.findings import Cell, Findings, RecordFindings, column_letter
from hemexp.cohort.mapping.mapping import HOURS, ColumnMapping
from hemexp.cohort.scans.records import Records
from hemexp.cohort.tables.sheet import Sheet
from hemexp.types import Array


def add_hours(
    block: dict[str, pd.Series], positions: dict[tuple[str, int | None], int], position: int, column: ColumnMapping
) -> None:
    """Give a scan with a volume but without a time the hours that the mapping states."""
    found = HOURS.fullmatch(str(column.hours))
    if found and column.means in block:
        name = "hours_from_first_scan" if found[2] == "first scan" else "hours_from_onset"
        stated = pd.Series(float(found[1]), index=block[column.means].index).where(block[column.means].notna())
        block[name] = block[name].fillna(stated) if name in block else stated
        positions.setdefault((name, column.scan), position)


def stack_blocks(
    sheet: Sheet,
    shared: dict[str, pd.Series],
    blocks: dict[int, dict[str, pd.Series]],
    positions: dict[tuple[str, int | None], int],
    record: Array,
    own_inputs: tuple[str, ...],
    findings: Findings,
) -> Records:
    """Put the scans that stand side by side below each other; a block without values is not a scan."""
    n = len(record)
    names = list(dict.fromkeys(name for block in blocks.values() for name in block))
    has_serials = "scan_serial" in names
    patients = shared.get("patient_id", pd.Series("", index=range(n)))
    parts: list[tuple[int, pd.DataFrame, Array]] = []
    filled: list[Array] = []
    for number in sorted(blocks):
        block = blocks[number]
        frame = pd.DataFrame({**shared, **block}, index=range(n)).assign(block=number)
        values = pd.DataFrame({name: series.notna() for name, series in block.items()}, index=range(n))
        is_scan = values.any(axis=1).to_numpy()
        if has_serials and "scan_serial" in block:
            serial = values.pop("scan_serial").to_numpy()
            _check_serials(sheet, record, patients, positions, number, values, serial, findings)
            is_scan = serial
        _check_gap(sheet, record, patients, positions, number, filled, is_scan, names, findings)
        filled.append(is_scan)
        parts.append((number, frame, is_scan))
    rows = np.concatenate([np.flatnonzero(is_scan) for _, _, is_scan in parts])
    numbers = np.concatenate([np.full(int(is_scan.sum()), number) for number, _, is_scan in parts])
    stacked = pd.concat([frame[is_scan] for _, frame, is_scan in parts], ignore_index=True)
    place: dict[str, int | Array] = {name: position for (name, scan), position in positions.items() if scan is None}
    for name in names:
        of_block = {
            number: positions.get((name, number), positions.get((name, sorted(blocks)[0]), 0)) for number in blocks
        }
        place[name] = np.array([of_block[number] for number in numbers], dtype=int)
    return Records(sheet, stacked, record[rows], place, own_inputs, has_blocks=True)


def _check_serials(
    sheet: Sheet, record: Array, patients: pd.Series, positions: dict[tuple[str, int | None], int], number: int,
    values: pd.DataFrame, serial: Array, findings: Findings,
) -> None:  # fmt: skip
    """Check that a block with values has a serial, and that a block with a serial has a time."""
    position = positions["scan_serial", number]
    header = sheet.header[position]

    def locate(row: int, name: str) -> Cell:
        return sheet.cell(int(record[row]), positions.get((name, number), position))

    block_findings = RecordFindings(patients, locate, findings)
    rows = np.flatnonzero(values.any(axis=1).to_numpy() & ~serial)
    if set(values) <= {"scan_time", "scan_day"}:
        message = "a scan time has no serial; it is not used"
        block_findings.each("warning", "serial_missing", rows, "scan_serial", lambda row: message)
        without = np.flatnonzero(serial & ~values.any(axis=1).to_numpy())
        message_time = "a scan serial has no time; rule: every serial has a time; enter the time"
        block_findings.each("error", "time_missing", without, "scan_time", lambda row: message_time)
        return
    message_serial = f"imaging values have no serial under {header}; rule: every scan has a serial; enter it"
    block_findings.each("error", "serial_missing", rows, "scan_serial", lambda row: message_serial)


def _check_gap(
    sheet: Sheet, record: Array, patients: pd.Series, positions: dict[tuple[str, int | None], int], number: int,
    earlier: list[Array], is_scan: Array, names: list[str], findings: Findings,
) -> None:  # fmt: skip
    """Check that every patient has a first scan, and warn of a scan that follows an empty block."""
    if "HM_volume" not in names:
        return
    anchor = "scan_serial" if ("scan_serial", number) in positions else "HM_volume"
    position = positions.get((anchor, number), 0)

    def locate(row: int, _: str) -> Cell:
        return sheet.cell(int(record[row]), position)

    block_findings = RecordFindings(patients, locate, findings)
    if not earlier:
        what = "serial" if anchor == "scan_serial" else "volume"
        message = f"the first scan has no {what}; rule: every patient has a first scan; enter its {what}"
        block_findings.each("error", "first_scan_missing", np.flatnonzero(~is_scan), anchor, lambda row: message)
    else:
        header = sheet.header[position] or column_letter(position)
        gap = f"there is a scan under {header} but none in the columns before; it is used"
        rows = np.flatnonzero(is_scan & ~earlier[-1])
        block_findings.each("warning", "follow_up_gap", rows, anchor, lambda row: gap)
