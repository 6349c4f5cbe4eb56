"""The converted records of one table, each value with its cell."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hemexp.cohort import cells
from hemexp.cohort import columns as c
from hemexp.cohort.findings import Cell, Findings, RecordFindings, column_letter
from hemexp.cohort.headers import UNIT_OF, clean, read_unit
from hemexp.cohort.mapping.mapping import HOURS, INPUT, UNUSED, ColumnMapping, TableMapping
from hemexp.cohort.mapping.matched_table import show
from hemexp.cohort.mapping.units import get_factor
from hemexp.cohort.tables.sheet import Sheet
from hemexp.formatting import plural
from hemexp.types import Array

_TELLS_SCANS_APART = {"scan_time", "scan_date", "scan_serial", "hours_from_onset", "hours_from_first_scan"}
_NUMBERED = {"volume", "time", "date", "clock", "hours"}
MOST_LEVELS = 10  # of an own column that is text
_TOTALS = re.compile(
    r"(?:total|sum|mean|average|median|sd|std|min|max|n|合计|总计|平均|平均值|标准差|summe|gesamt|mittelwert|moyenne|media|"
    r"promedio|totale)\s*(?:[(:=±].*)?",
    re.IGNORECASE,
)
_POINTS = ("分", "points", "point", "pts", "punkte", "puntos", "punti")
_IDENTITY = r"name$|^name|姓名|birth|出生|dob|phone|电话|address|地址|身份证|passport|email|住院号|病案号|initials"

_NO_ID = (
    "the patient id is empty; rule: every row has a patient id; enter it, also in the rows of a patient's later scans"
)


@dataclass(eq=False)
class Records:
    """The converted rows of one table.

    Attributes:
        sheet: the table.
        frame: named columns; row labels 0 … n-1. ``scan_day`` and ``onset_day`` hold dates whose time is unknown.
        record: (n,) of each row in the sheet.
        position: the column in the sheet of each name: one for all rows, or (n,).
        own_inputs: names of the user's own inputs.
        has_blocks: whether the scans of a patient stand side by side; ``block`` is then the number of the scan.
    """

    sheet: Sheet
    frame: pd.DataFrame
    record: Array
    position: dict[str, int | Array]
    own_inputs: tuple[str, ...] = ()
    has_blocks: bool = False

    def locate(self, row: int, name: str) -> Cell:
        """Return the cell of a row and a column; where the name is not a column, only its row."""
        position = self.position.get(name)
        column = int(position[row]) if isinstance(position, np.ndarray) else position
        return self.sheet.cell(int(self.record[row]), column)

    def findings(self, findings: Findings) -> RecordFindings:
        """Return the findings about these records, each with its patient."""
        ids = self.frame.get("patient_id", pd.Series("", index=self.frame.index))
        return RecordFindings(ids, self.locate, findings)

    def take(self, keep: Array) -> "Records":
        """Return some of the rows, given as a mask or as row numbers."""
        position = {
            name: value[keep] if isinstance(value, np.ndarray) else value for name, value in self.position.items()
        }
        frame = self.frame[keep] if keep.dtype == bool else self.frame.iloc[keep]
        frame = frame.reset_index(drop=True)
        return Records(self.sheet, frame, self.record[keep], position, self.own_inputs, self.has_blocks)


def read_records(sheet: Sheet, mapping: TableMapping, findings: Findings) -> Records:
    """Convert the mapped columns of a table; scans that stand side by side become rows.

    Columns that are not used are kept where they are numbers or texts of few levels, because they may hold an outcome.
    """
    sheet = _merge_rows(sheet, mapping, findings)
    ids = _read_ids(sheet, mapping, findings)
    keep = np.full(sheet.num_records, True) if ids is None else _find_patient_rows(ids, sheet, mapping, findings)
    record = np.flatnonzero(keep)
    patients = pd.Series("", index=range(len(record))) if ids is None else ids[keep].reset_index(drop=True)

    shared: dict[str, pd.Series] = {} if ids is None else {"patient_id": patients}
    blocks: dict[int, dict[str, pd.Series]] = {}
    positions: dict[tuple[str, int | None], int] = {}
    own_inputs: list[str] = []
    for position, column in enumerate(mapping.columns):
        name = column.means if column.means not in {UNUSED, INPUT} else _own_name(sheet, column)
        if name is None or name == "patient_id":
            if name == "patient_id":
                positions["patient_id", None] = position
            continue
        raw = _without_missing_codes(sheet.columns[position][keep].reset_index(drop=True), column)
        if column.means in {UNUSED, INPUT} and not _is_kept(raw, column):
            continue

        def locate(row: int, _: str, position: int = position, record: Array = record) -> Cell:
            return sheet.cell(int(record[row]), position)

        values = _convert(raw.rename(name), column, RecordFindings(patients, locate, findings))
        if column.means == INPUT:
            own_inputs.append(name)
        target = shared if column.scan is None else blocks.setdefault(column.scan, {})
        for each, series in values.items():
            target[each] = series
            positions[each, column.scan] = position
    for position, column in enumerate(mapping.columns):
        if column.hours and column.scan is not None:
            _add_hours(blocks[column.scan], positions, position, column)
    _check_zones(sheet, mapping, findings)
    if blocks:
        _check_scan_numbers(sheet, mapping, findings)
        return _stack_blocks(sheet, shared, blocks, positions, record, tuple(own_inputs), findings)
    frame = pd.DataFrame(shared, index=range(len(record)))
    place: dict[str, int | Array] = {name: position for (name, _), position in positions.items()}
    return Records(sheet, frame, record, place, tuple(own_inputs))


def _find_patient_rows(ids: pd.Series, sheet: Sheet, mapping: TableMapping, findings: Findings) -> Array:
    """Return which rows are about a patient, after a warning of totals, notes and rows that repeat another one."""
    totals = _find_totals(ids, sheet)
    for record in np.flatnonzero(totals):
        begin = f"begins with {ids[record]!r}" if ids[record] else "has no patient id and holds a word such as Total"
        message = f"the row {begin}; it is taken for a totals row and not read"
        findings.warn("totals_row", sheet.cell(int(record), None), message, value=ids[record])
    id_position = next(i for i, column in enumerate(mapping.columns) if column.means == "patient_id")
    others = [column for i, column in enumerate(sheet.columns) if i != id_position]
    notes = np.array(ids != "")
    for column in others:
        notes &= column.isna().to_numpy()
    for record in np.flatnonzero(notes & ~totals):
        message = f"the row holds nothing beside {ids[record]!r}; it is taken for a note and not read"
        findings.warn("note_row", sheet.cell(int(record), None), message, value=ids[record])
    keep: Array = ~totals & ~notes
    keys = [sheet.columns[i] for i, column in enumerate(mapping.columns) if column.means in _TELLS_SCANS_APART]
    if mapping.rows == "scan" and keys:
        again = np.flatnonzero(pd.concat([ids, *keys], axis=1).duplicated(keep=False).to_numpy() & keep)
        table = pd.concat([ids, *others], axis=1).iloc[again].astype(str)
        rows = again[table.duplicated().to_numpy()]
        if len(rows):
            message = f"{plural(len(rows), 'row')} repeat another row in every cell; they are not read"
            places = [sheet.cell(int(row), None) for row in rows]
            findings.add("warning", "repeated_row", places[0], message, others=places[1:])
        keep[rows] = False
    return keep


def _find_totals(ids: pd.Series, sheet: Sheet) -> Array:
    """Return which rows hold totals: by their id, or by another cell where they have none."""
    totals = ids.isin(list(filter(_TOTALS.fullmatch, ids.unique()))).to_numpy(copy=True)
    for row in np.flatnonzero(ids == ""):
        texts = (column[row] for column in sheet.columns)
        totals[row] = any(isinstance(text, str) and _TOTALS.fullmatch(text.strip()) for text in texts)
    return np.asarray(totals)


def _merge_rows(sheet: Sheet, mapping: TableMapping, findings: Findings) -> Sheet:
    """Join the rows of a patient, such as the events of a registry, where scans side by side are in several rows.

    Rows that hold different values in a column stay as they are: the checks name them.
    """
    ids = [i for i, column in enumerate(mapping.columns) if column.means == "patient_id"]
    if not ids or not any(column.scan for column in mapping.columns):
        return sheet
    patients = sheet.columns[ids[0]]
    others = {UNUSED, INPUT, "patient_id", "event_name", "scan_number"}
    used = [i for i, column in enumerate(mapping.columns) if column.means not in others]
    if not patients.duplicated().any() or patients.isna().any():
        return sheet
    groups = [sheet.columns[i].groupby(patients, sort=False) for i in used]
    if any(group.nunique().max() > 1 for group in groups):
        return sheet
    first = np.flatnonzero(~patients.duplicated())
    cell_rows = {}
    columns = []
    for i, column in enumerate(sheet.columns):
        filled = pd.Series(np.arange(len(column))).where(column.notna()).groupby(patients, sort=False).first()
        at = filled.fillna(pd.Series(first, index=filled.index)).to_numpy(dtype=int)
        columns.append(column.iloc[at].reset_index(drop=True))
        cell_rows[i] = sheet.rows[at]
    message = f"the rows of a patient hold different columns; {len(patients)} rows become {len(first)}, one a patient"
    findings.warn("rows_joined", sheet.place, message)
    return replace(sheet, columns=columns, rows=sheet.rows[first], cell_rows=cell_rows)


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


def _add_hours(
    block: dict[str, pd.Series], positions: dict[tuple[str, int | None], int], position: int, column: ColumnMapping
) -> None:
    """Give a scan with a volume but without a time the hours that the mapping states."""
    found = HOURS.fullmatch(str(column.hours))
    if found and column.means in block:
        name = "hours_from_first_scan" if found[2] == "first scan" else "hours_from_onset"
        stated = pd.Series(float(found[1]), index=block[column.means].index).where(block[column.means].notna())
        block[name] = block[name].fillna(stated) if name in block else stated
        positions.setdefault((name, column.scan), position)


def _read_ids(sheet: Sheet, mapping: TableMapping, findings: Findings) -> pd.Series | None:
    for position, column in enumerate(mapping.columns):
        if column.means == "patient_id":
            blank = pd.Series("", index=range(sheet.num_records))

            def locate(row: int, _: str, position: int = position) -> Cell:
                return sheet.cell(row, position)

            record_findings = RecordFindings(blank, locate, findings)
            ids = cells.ids(sheet.columns[position].rename("patient_id"), record_findings)
            ids = _fill_ids(ids, sheet, mapping, position, record_findings)
            rows = np.flatnonzero((ids == "") & ~_find_totals(ids, sheet))
            record_findings.each("error", "patient_id_missing", rows, "patient_id", lambda row: _NO_ID)
            if not column.column:
                cell = sheet.header_cell(position)
                findings.warn("header_missing", cell, "the first column has no header; it is read as the patient id")
            return ids
    return None


def _fill_ids(
    ids: pd.Series, sheet: Sheet, mapping: TableMapping, position: int, findings: RecordFindings
) -> pd.Series:
    """Give a row without an id the id above it, where the table shows that it is a further scan of the same patient.

    It shows so by merged cells, by a column of the patients that has values in exactly the rows with an id, or by scan
    numbers that begin again in exactly these rows.
    """
    blank = (ids == "").to_numpy()
    if mapping.rows != "scan" or not blank.any() or blank[0]:
        return ids
    continues = np.array([(int(row), position) in sheet.merged_with_above for row in sheet.rows]) & blank
    for column, values in zip(mapping.columns, sheet.columns, strict=True):
        known = c.known_columns().get(column.means)
        if known is None or known.name == "patient_id":
            continue
        filled = ~cells.is_blank(values).to_numpy()
        if known.of == "patient" and (filled == ~blank).all():
            continues |= blank
        is_count = known.name in {"scan_number", "scan_index"} and pd.api.types.is_numeric_dtype(values)
        if is_count and ((values == values.min()).to_numpy() == ~blank).all():
            continues |= blank
    rows = np.flatnonzero(continues)
    if len(rows):
        message = f"{len(rows)} rows have no patient id; each is read as a further scan of the patient above"
        places = [sheet.cell(int(row), position) for row in rows]
        findings.findings.add("warning", "ids_filled", places[0], message, value=len(rows), others=places[1:])
    return ids.mask(pd.Series(continues, index=ids.index)).ffill()


def _own_name(sheet: Sheet, column: ColumnMapping) -> str | None:
    """Return the name of a column that hemexp does not know; None without a header, or where it names a person."""
    text = column.column
    if not text or text == c.SIMULATED or (column.means == UNUSED and re.search(_IDENTITY, clean(text))):
        return None
    if sheet.header.count(text) > 1:
        text = f"{text} [{column.letter}]"
    return f"{text} (own)" if text in c.known_columns() else text


def _is_kept(raw: pd.Series, column: ColumnMapping) -> bool:
    if column.means == INPUT:
        return True
    values = raw.dropna()
    return len(values) > 0 and (pd.api.types.is_numeric_dtype(raw) or values.nunique() <= MOST_LEVELS)


def _convert(raw: pd.Series, column: ColumnMapping, findings: RecordFindings) -> dict[str, pd.Series]:
    """Return the converted column by name; a blood pressure becomes two columns, a time also a day."""
    known = c.known_columns().get(column.means)
    if known is None:
        return {str(raw.name): _convert_own(raw, column, findings)}
    name, kind = known.name, known.kind
    codes = {clean(text): code for text, code in (column.values or {}).items()}
    if kind in {"number", "whole", "volume", "count"}:
        return {name: _convert_number(raw, known, column.unit, findings)}
    if kind == "hours":
        unit = read_unit(column.unit or "") or "hours"
        return {name: cells.hours(raw, findings, unit)}
    if kind == "yes_no":
        return {name: cells.yes_no(raw, findings, _numbers(codes, {"yes": 1.0, "no": 0.0}))}
    if kind == "sex":
        return {name: cells.sex(raw, findings, _numbers(codes, {"male": 1.0, "female": 2.0}))}
    if kind == "pressure":
        return dict(zip(("systolic", "diastolic"), cells.blood_pressure(raw, findings), strict=True))
    if kind in {"time", "date"}:
        times, has_clock = cells.times(raw, findings, column.dates or "year_first")
        stem = name.partition("_")[0]
        if kind == "date":
            has_clock &= False
        elif has_clock.any():  # else the checks say once that no scan has hours

            def without_clock(row: int) -> str:
                return f"{name} is {str(raw[row])!r}, a date without a time of day; its hours are unknown"

            rows = np.flatnonzero(times.notna() & ~has_clock)
            findings.each("warning", "hours_unknown", rows, name, without_clock, raw.get)
        return {f"{stem}_time": times.where(has_clock), f"{stem}_day": times.dt.normalize()}
    if kind == "clock":
        return {name: cells.clocks(raw, findings)}
    if kind == "serial":
        return {name: cells.serials(raw, findings)}
    return {name: raw.map(lambda value: str(value).strip() if pd.notna(value) else None).astype(object)}


def _numbers(codes: dict[str, str], legal: dict[str, float]) -> dict[str, float]:
    return {text: legal[code] for text, code in codes.items() if code in legal}


def _convert_number(raw: pd.Series, known: c.Column, unit: str | None, findings: RecordFindings) -> pd.Series:
    units = {text: each for text in UNIT_OF if (each := get_factor(known.name, text)) is not None} if known.unit else {}
    if known.kind == "whole":
        units = dict.fromkeys(_POINTS, 1.0)
    factor = get_factor(known.name, unit) or 1.0
    decimal = {1000.0: ",", 1.0: "."}.get(factor, "") if known.kind == "volume" else ""  # 14,100 is 14.1 mL
    return cells.numbers(raw, findings, {"": factor, **units}, decimal)


def _convert_own(raw: pd.Series, column: ColumnMapping, findings: RecordFindings) -> pd.Series:
    """Return numbers where all cells are numbers, else 1 and 0 where all are yes or no, else texts."""
    if pd.api.types.is_numeric_dtype(raw) and not pd.api.types.is_bool_dtype(raw):
        return raw.astype("float64")
    looks = cells.looks_like(raw)
    if column.means == INPUT and "number" in looks:
        return cells.numbers(raw, findings)
    if column.means == INPUT and "yes_no" in looks:
        return cells.yes_no(raw, findings)
    return cells.texts(raw, findings if column.means == INPUT else None)


def _stack_blocks(
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
