"""Convert the records of one table by its mapping."""

import numpy as np
import pandas as pd

from hemexp.cohort import cells
from hemexp.cohort import columns as c
from hemexp.cohort.findings import Cell, Findings, RecordFindings
from hemexp.cohort.mapping.mapping import INPUT, UNUSED, ColumnMapping, TableMapping
from hemexp.cohort.mapping.matched_table import show
from hemexp.cohort.scans.convert import convert_column, is_kept, name_own
from hemexp.cohort.scans.records import Records
from hemexp.cohort.scans.rows import find_patient_rows, merge_rows, read_ids
from hemexp.cohort.scans.stack import add_hours, stack_blocks
from hemexp.cohort.tables.sheet import Sheet
from hemexp.types import Array

_NUMBERED = {"volume", "time", "date", "clock", "hours"}


def read_records(sheet: Sheet, mapping: TableMapping, findings: Findings) -> Records:
    """Convert the mapped columns of a table; scans that stand side by side become rows.

    Columns that are not used are kept where they are numbers or texts of few levels, because they may hold an outcome.
    """
    sheet = merge_rows(sheet, mapping, findings)
    ids = read_ids(sheet, mapping, findings)
    keep = np.full(sheet.num_records, True) if ids is None else find_patient_rows(ids, sheet, mapping, findings)
    record = np.flatnonzero(keep)
    patients = pd.Series("", index=range(len(record))) if ids is None else ids[keep].reset_index(drop=True)

    shared: dict[str, pd.Series] = {} if ids is None else {"patient_id": patients}
    blocks: dict[int, dict[str, pd.Series]] = {}
    positions: dict[tuple[str, int | None], int] = {}
    own_inputs: list[str] = []
    for position, column in enumerate(mapping.columns):
        name = column.means if column.means not in {UNUSED, INPUT} else name_own(sheet, column)
        if name is None or name == "patient_id":
            if name == "patient_id":
                positions["patient_id", None] = position
            continue
        raw = _without_missing_codes(sheet.columns[position][keep].reset_index(drop=True), column)
        if column.means in {UNUSED, INPUT} and not is_kept(raw, column):
            continue

        def locate(row: int, _: str, position: int = position, record: Array = record) -> Cell:
            return sheet.cell(int(record[row]), position)

        values = convert_column(raw.rename(name), column, RecordFindings(patients, locate, findings))
        if column.means == INPUT:
            own_inputs.append(name)
        target = shared if column.scan is None else blocks.setdefault(column.scan, {})
        for each, series in values.items():
            target[each] = series
            positions[each, column.scan] = position
    for position, column in enumerate(mapping.columns):
        if column.hours and column.scan is not None:
            add_hours(blocks[column.scan], positions, position, column)
    _check_zones(sheet, mapping, findings)
    if blocks:
        _check_scan_numbers(sheet, mapping, findings)
        return stack_blocks(sheet, shared, blocks, positions, record, tuple(own_inputs), findings)
    frame = pd.DataFrame(shared, index=range(len(record)))
    place: dict[str, int | Array] = {name: position for (name, _), position in positions.items()}
    return Records(sheet, frame, record, place, tuple(own_inputs))


def _without_missing_codes(raw: pd.Series, column: ColumnMapping) -> pd.Series:
    """Return the cells of a column without the codes that the mapping names as missing values."""
    if not column.missing:
        return raw
    codes = set(column.missing)
    return raw.mask(raw.map(lambda value: show(value) in codes, na_action="ignore").eq(True))


def _check_scan_numbers(sheet: Sheet, mapping: TableMapping, findings: Findings) -> None:
    """Check that every volume and time of a scan has a scan number where others have one."""
    for i, column in enumerate(mapping.columns):
        known = c.known_columns().get(column.means)
        if column.scan is None and known is not None and known.of == "scan" and known.kind in _NUMBERED:
            rule = (
                "rule: scan: 0 for the first scan, 1 for the next one, as in the other columns; add it in mapping.yaml"
            )
            message = f"the column {sheet.header[i]!r} is {column.means} without the number of the scan; {rule}"
            findings.error("column_without_scan", sheet.header_cell(i), message)


def _check_zones(sheet: Sheet, mapping: TableMapping, findings: Findings) -> None:
    """Check that all columns of times name a time zone, or none does: else differences of times would be wrong."""
    known = c.known_columns()
    times = [
        (i, cells.holds_zones(sheet.columns[i]))
        for i, column in enumerate(mapping.columns)
        if column.means in known and known[column.means].kind == "time" and not cells.is_blank_column(sheet.columns[i])
    ]
    for i, zoned in times:
        if not zoned and any(each for _, each in times):
            names = ", ".join(repr(sheet.header[j]) for j, each in times if each)
            message = f"{sheet.header[i]!r} has no time zone, but {names} has; rule: all times of a table have one"
            findings.error("time_zone", sheet.header_cell(i), f"{message}, or none; correct the times")
