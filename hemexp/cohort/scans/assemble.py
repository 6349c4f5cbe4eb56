"""Link the tables of a cohort by patient and scan, and work out scan order, serials and hours.

Scans are linked by serial where two tables have serials, else by patient and scan number or time; never by row number.
The tables with hematoma volumes decide which scans there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.findings import MOST_SINGLE, SINGLE_CELL_PROBLEMS, Cell, CellLocator, Findings, RecordFindings
from hemexp.cohort.mapping.mapping import TableMapping
from hemexp.cohort.scans.compare import compare_columns
from hemexp.cohort.scans.read_records import read_records
from hemexp.cohort.scans.records import Records
from hemexp.cohort.tables.sheet import Sheet
from hemexp.formatting import plural
from hemexp.types import Array

NO_IDS = "no column is a patient id; rule: every row names its patient; name the column in mapping.yaml"
_SECONDS = 3600.0
_SHOWN = 5  # patients in a message
_MOST_DOUBLED = 0.2  # of the rows of a table with a row a patient
_MOST_EQUAL = 0.5  # of the scans of a table may equal those of another one by chance
_MOST_DIFFERENT, _FEW_DIFFERENT = 0.2, 3  # of the patients with several values: more were measured at each scan
_EXCEL_DIGITS = 15  # of a number; longer serials are changed where they are not text
_SCAN_NAMES = ("block", "scan_index", "scan_number", "scan_time", "scan_day", "event_name")  # link scans of a patient
_INTERNAL = {
    "block", "scan_day", "onset_day", "onset_time", "scan_clock", "onset_clock", "first_scan_serial", "scan_count",
    "event_name", "scan_number",
}  # fmt: skip


@dataclass(eq=False)
class Assembled:
    """The table of scans, the way back to the cells, and the user's own inputs."""

    scans: pd.DataFrame
    locate: CellLocator
    own_inputs: tuple[str, ...]


def assemble(tables: Sequence[tuple[Sheet, TableMapping]], kind: str, findings: Findings) -> Assembled:
    """Return the scans of all tables: a row a scan, patients in table order, scans in time order.

    Args:
        tables: each with its mapping; all questions are answered.
        kind: ``workbook`` and ``tidy`` must be complete: every patient in all tables, a serial for each scan.
        findings: collects errors and warnings.

    Raises:
        CohortError: something needed is not there, or cells cannot be used.
    """
    records = [read_records(sheet, mapping, findings) for sheet, mapping in tables]
    rows = [mapping.rows for _, mapping in tables]
    findings.stop_on_errors(deferred=SINGLE_CELL_PROBLEMS)
    return _Assembly(records, rows, kind, findings).run()


def _join_keys(keys: pd.DataFrame) -> pd.Series:
    """Return the keys of each row as one text; None where one of them is missing."""
    joined = keys.astype(str).agg("\x1f".join, axis=1) if keys.shape[1] > 1 else keys.iloc[:, 0].astype(object)
    return joined.where(keys.notna().all(axis=1), None)


def _first_rows(theirs: pd.Series, ours: pd.Series) -> Array:
    """Return the first row of `theirs` that equals each of `ours`; -1 where none does."""
    first = theirs[theirs.notna() & ~theirs.duplicated()]
    rows = pd.Series(first.index.to_numpy(), index=first.to_numpy())
    return ours.map(rows).fillna(-1).to_numpy(dtype=int)


def _hint_at_zeros(patient: str, others: pd.Series) -> str:
    """Return a hint if another id differs from this one by leading zeros only."""
    if not others.str.lstrip("0").eq(patient.lstrip("0")).any():
        return ""
    return "; 1 and 001 are different ids: write the ids alike in both tables"


def _find_usual(values: pd.Series) -> Any:
    """Return the value that occurs most often; the first of them if there are several."""
    return values.iloc[int(values.map(values.value_counts()).fillna(0).to_numpy().argmax())]


def _differs_within_patients(frame: pd.DataFrame, name: str) -> bool:
    """Return whether a column has several values in a patient: it is about the scans."""
    return {name, "patient_id"} <= set(frame) and bool(frame.groupby("patient_id")[name].nunique().gt(1).any())


class _Assembly:
    """The tables while they are linked.

    Attributes:
        scans: the table that grows.
        source: for each of its columns, the records and the row in them (-1: none).
    """

    def __init__(self, records: list[Records], rows: list[str], kind: str, findings: Findings) -> None:
        self.findings, self.strict = findings, kind != "mapped"
        about_scans = [row == "scan" or each.has_blocks for each, row in zip(records, rows, strict=True)]
        self.base, self.linked, self.patients = self._choose_base(records, about_scans)
        self.own_inputs = tuple(dict.fromkeys(name for each in records for name in each.own_inputs))
        self.source: dict[str, tuple[list[Records], Array, Array]] = {}

    def _choose_base(
        self, records: list[Records], about_scans: list[bool]
    ) -> tuple[list[Records], list[Records], list[Records]]:
        """Return the tables that say which scans there are, other tables of scans, and tables of patients."""
        with_ids = [each for each in records if "patient_id" in each.frame]
        if not with_ids:
            self.findings.fail("column_missing", records[0].sheet.place, NO_IDS)
        scan_tables = [each for each, scans in zip(records, about_scans, strict=True) if scans]
        base = [each for each in scan_tables if "HM_volume" in each.frame and "patient_id" in each.frame]
        if not base:
            candidates = [each for each in scan_tables if "patient_id" in each.frame] or with_ids
            base = [max(candidates, key=lambda each: each.frame.shape[1])]
        linked = [each for each in scan_tables if each not in base]
        patients = [each for each in records if each not in scan_tables and each not in base]
        return base, linked, patients

    def run(self) -> Assembled:
        """Link all tables and work out what is missing."""
        self._stack_base()
        self._order_patients()
        self.findings.stop_on_errors(deferred=SINGLE_CELL_PROBLEMS)
        for records in self.linked:
            self._link_scans(records)
        self.findings.stop_on_errors(deferred=SINGLE_CELL_PROBLEMS)
        self._sort_scans()
        for records in self.patients:
            self._link_patients(records)
        self._join_day_and_clock("onset")
        self._check_onsets()
        self._fill_patients()
        self._compare_first_serials()
        self._work_out_hours()
        self._name_serials()
        names = dict.fromkeys([*c.SCAN_COLUMNS, *c.known_columns(), *map(str, self.scans)])
        order = [
            name
            for name in names
            if name in self.scans
            and name not in _INTERNAL
            and (name in c.SCAN_KEYS or name in self.source or self.scans[name].notna().any())
        ]
        if "HM_volume" not in order or self.scans["HM_volume"].isna().all():
            message = (
                "no column holds a hematoma volume; rule: growth needs the volume of every scan; name the column in "
                "mapping.yaml, or give label=column"
            )
            self.findings.warn("no_volume", self.base[0].sheet.place, message)
        return Assembled(self.scans[order].copy(), self.locate, self.own_inputs)

    def locate(self, row: int, name: str) -> Cell:
        """Return the cell of a scan and a column."""
        if name not in self.source and name.startswith(("hours_", "onset_to_")):
            name = "hours_from_onset" if "hours_from_onset" in self.source else "scan_time"
        records, part, rows = self.source.get(name, self.source[""])
        if rows[row] < 0:  # the table has no such scan: its serial in the base is where to start looking
            records, part, rows = self.source[""]
            name = "scan_serial"
        return records[int(part[row])].locate(int(rows[row]), name)

    def _stack_base(self) -> None:
        """Put the tables that say which scans there are below each other; leave out rows that are not scans."""
        parts, kept, rows = [], [], []
        for number, records in enumerate(self.base):
            frame = records.frame
            names = ["HM_volume", "scan_serial", "scan_time", "scan_day", "hours_from_first_scan", "hours_from_onset"]
            if not (records.has_blocks or _differs_within_patients(frame, "hours_from_onset")):
                names.pop()  # the hours to the first scan, in rows of a patient
            marks = [name for name in names if name in frame]
            is_scan = frame[marks].notna().any(axis=1).to_numpy(copy=True) if marks else np.full(len(frame), True)
            if "HM_volume" not in frame or self.strict:
                is_scan[:] = True
            if not is_scan.all():
                self.patients.insert(0, records.take(~is_scan))
            if records.has_blocks:
                self._check_unique_patients(records)
            parts.append(frame[is_scan])
            kept.append(np.full(int(is_scan.sum()), number))
            rows.append(np.flatnonzero(is_scan))
        self.scans = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0].reset_index(drop=True)
        part, row = np.concatenate(kept), np.concatenate(rows)
        self.source[""] = shared = (self.base, part, row)
        self.source |= dict.fromkeys(map(str, self.scans), shared)
        if self.scans.empty:
            message = "there are no scans below the header; rule: at least one; add the scans"
            self.findings.fail("empty_table", self.base[0].sheet.place, message)
        if len(self.base) > 1:
            self._check_base_tables(part)

    def _check_base_tables(self, part: Array) -> None:
        """Check that several tables of scans do not hold the same scans, and name the patients that they share."""
        names = ("patient_id", "scan_serial", "scan_time", "scan_day", "block", "HM_volume")
        keys = [name for name in names if name in self.scans]
        for name in ("scan_serial", "scan_time"):  # the values of an older copy may differ
            if name in keys and self.scans[name].notna().all():
                keys = ["patient_id", name]
                break
        doubled = self.scans.duplicated(keys, keep=False) & (self.scans[keys[1:]].notna().any(axis=1))
        places = " and ".join(str(each.sheet.place) for each in self.base)
        of_table = pd.Series(doubled.to_numpy()).groupby(part).mean()  # the share of each table that is in another one
        if len(keys) > 1 and of_table.max() > _MOST_EQUAL:
            message = (
                f"the same scans are in {places}; rule: every scan once; remove one table, or write means: unused in "
                "mapping.yaml for the columns of one that repeat the scans (volumes, times, serials)"
            )
            self.findings.fail("doubled_table", self.base[0].sheet.place, message)
        shared = pd.Series(part).groupby(self.scans["patient_id"].to_numpy()).nunique()
        ids = list(map(str, shared[shared > 1].index))
        if not ids:
            return
        what = f"{plural(len(ids), 'patient')} ({', '.join(ids[:_SHOWN])}{', ...' * (len(ids) > _SHOWN)})"
        advice = "give different patients different ids, such as 2022-1 and 2023-1"
        if "block" in self.scans and self.scans.duplicated(["patient_id", "block"]).any():
            message = (
                f"the same scan numbers of {what} are in {places}; rule: one row a patient where scans are side by side"
            )
            self.findings.fail("doubled_patient", self.base[0].sheet.place, f"{message}; remove one, or {advice}")
        message = f"{what} in {places} are taken for the same patients; otherwise {advice}"
        self.findings.warn("shared_patients", self.base[0].sheet.place, message, value=len(ids))

    def _take(self, order: Array) -> None:
        """Bring the scans into another order, or keep some of them."""
        if np.array_equal(order, np.arange(len(self.scans))):
            return
        self.scans = self.scans.iloc[order].reset_index(drop=True)
        moved = {
            id(each): (each[0], each[1][order], each[2][order]) for each in self.source.values()
        }  # most are shared
        self.source = {name: moved[id(each)] for name, each in self.source.items()}

    def _order_patients(self) -> None:
        """Sort the scans by patient: in the order of the first table of patients, then as they first appear."""
        listed = [each.frame["patient_id"] for each in self.patients if "patient_id" in each.frame][:1]
        ids = self.scans["patient_id"]
        self._rank = {name: number for number, name in enumerate(pd.concat([*listed, ids]).unique())}
        keys = pd.DataFrame({"rank": ids.map(self._rank), "block": self.scans.get("block", 0)})
        self._take(keys.sort_values(["rank", "block"], kind="stable").index.to_numpy())
        for records in [each for each in self.patients if "patient_id" in each.frame]:
            self._compare_patients(records)

    def _compare_patients(self, records: Records) -> None:
        """Report patients that are in one of two tables only."""
        ids, scanned = records.frame["patient_id"], self.scans["patient_id"]
        none_in_both = not ids.isin(set(scanned)).any() and records.sheet not in [each.sheet for each in self.base]
        severity = "error" if self.strict or none_in_both else "warning"
        use = "the patient is not used"
        if self.strict or none_in_both:
            use = "rule: every patient is in both tables; add the row, or write the ids alike"
        base = self.base[0].sheet
        place = base.file if base.file != records.sheet.file else str(base.place)
        rows = np.flatnonzero(~ids.isin(set(scanned)) & ~ids.duplicated())

        def no_scan(row: int) -> str:
            return f"patient {ids[row]} has no scan in {place}; {use}{_hint_at_zeros(ids[row], scanned)}"

        own = records.findings(self.findings)
        own.each(severity, "patient_without_imaging", rows, "patient_id", no_scan)
        if records.sheet in [each.sheet for each in self.base]:
            return
        missing = (
            "rule: every patient is in both tables; add the row"
            if severity == "error"
            else "its values there are missing"
        )
        rows = np.flatnonzero(~scanned.isin(set(ids)) & ~scanned.duplicated())

        def no_values(row: int) -> str:
            hint = _hint_at_zeros(scanned[row], ids)
            return f"patient {scanned[row]} has no row in {records.sheet.file}; {missing}{hint}"

        self._base_findings().each(severity, "patient_without_clinical", rows, "patient_id", no_values)
        self._check_unique_patients(records)

    def _check_unique_patients(self, records: Records) -> None:
        """Report a patient that is in two rows of a table with a row a patient."""
        ids, record = records.frame["patient_id"], pd.Series(records.record)
        first = record.groupby(ids).transform("min")

        def describe(row: int) -> str:
            other = records.sheet.cell(int(first[row]), None).row
            rule = "rule: one row a patient; remove one, or give each its own id"
            return f"patient {ids[row]} is also in row {other}; {rule}"

        rows = np.flatnonzero((record != first) & ~record.duplicated())
        records.findings(self.findings).each("error", "duplicate_patient", rows, "patient_id", describe)

    def _base_findings(self) -> RecordFindings:
        return RecordFindings(self.scans["patient_id"], self.locate, self.findings)

    def _add(self, records: Records, rows: Array, names: Sequence[str]) -> None:
        """Add columns of linked records to the scans.

        Args:
            records: the linked table.
            rows: (n,) of each scan in the records; -1 where there is none.
            names: of the columns.
        """
        values = records.frame[list(names)].reindex(rows).set_axis(self.scans.index)
        kept = self.scans.drop(columns=[name for name in names if name in self.scans])
        self.scans = pd.concat([kept, values], axis=1)
        self.source |= dict.fromkeys(names, ([records], np.zeros(len(rows), dtype=int), rows))

    def _link_scans(self, records: Records) -> None:
        """Link another table of scans by serial, by patient and scan number, or by patient and time."""
        frame = records.frame
        ways = [["scan_serial"], *(["patient_id", name] for name in _SCAN_NAMES), ["patient_id"]]
        keys = next((way for way in ways if set(way) <= set(frame) and set(way) <= set(self.scans)), [])
        if keys == ["patient_id"] and 0 < frame["patient_id"].duplicated().mean() < _MOST_DOUBLED:
            self._check_unique_patients(records)
            return
        if not keys or (keys == ["patient_id"] and frame["patient_id"].duplicated().any()):
            rule = "rule: a scan serial, or the patient id and the scan time, in both"
            message = f"several rows a patient, and they cannot be linked to the scans; {rule}"
            if self.strict:
                self.findings.fail("table_not_linked", records.sheet.place, message)
            self.findings.warn("table_not_linked", records.sheet.place, f"{message}; the table is not read")
            return
        if keys == ["scan_serial"]:
            self._check_unique(records)
        theirs, ours = _join_keys(frame[keys]), _join_keys(self.scans[keys])
        rows = _first_rows(theirs, ours)
        has_time = "scan_time" in frame
        unknown = np.flatnonzero(theirs.notna() & ~theirs.isin(ours))
        problem = "index_unknown_serial" if has_time else "radiomics_unknown_serial"
        base = "Table 2" if self.strict else str(self.base[0].sheet.place)
        last = frame[keys[-1]]
        records.findings(self.findings).each(
            "warning", problem, unknown, keys[-1], lambda row: f"scan {last[row]} is not in {base}; it is not used",
            lambda row: last[row],
        )  # fmt: skip
        others = [name for name in frame if name not in {*keys, *_SCAN_NAMES, "patient_id"}]
        blank = np.flatnonzero(theirs.isna() & frame[others].notna().any(axis=1))
        rule = "rule: every row names its scan; enter it, or remove the row; it is not used"
        records.findings(self.findings).each(
            "warning",
            "row_without_scan",
            blank,
            keys[-1],
            lambda row: f"{keys[-1]} is empty beside other values; {rule}",
        )
        names = [
            str(name)
            for name in frame
            if name not in {*keys, "patient_id", "block"} and (name not in self.scans or self.scans[name].isna().all())
        ]
        self._add(records, rows, names)
        compare_columns(self.scans, self.source, records, rows, names, self.findings)
        if has_time and keys == ["scan_serial"]:
            self._check_linked_times(records, rows)

    def _check_linked_times(self, records: Records, rows: Array) -> None:
        if self.strict:
            without, serials = np.flatnonzero(rows < 0), self.scans["scan_serial"]
            rule = f"rule: {records.sheet.file} has a time for every scan; enter it there"
            if serials[without].str.len().ge(_EXCEL_DIGITS).any():
                rule += "; Excel keeps 15 digits of a number: export the serials as text"
            self._base_findings().each(
                "error", "scan_without_time", without, "scan_serial",
                lambda row: f"scan {serials[row]} has no time; {rule}", lambda row: serials[row],
            )  # fmt: skip
        ids = records.frame.get("patient_id")
        if ids is not None and (ids.reindex(rows).to_numpy() != self.scans["patient_id"].to_numpy())[rows >= 0].any():
            message = f"the patient ids differ from those in {self.base[0].sheet.file}; the scans are joined by serial"
            cell = Cell(records.sheet.file, records.sheet.name, records.sheet.header_row + 1, "A")
            self.findings.warn("index_patient_ids", cell, message)
        if records.has_blocks:
            self._check_index_rows(records, rows)
        if "scan_count" in records.frame:
            self._check_scan_counts(records)

    def _check_index_rows(self, records: Records, rows: Array) -> None:
        """Check that the scans of a patient are in one row of the table of times, where those of most patients are."""
        found = (rows >= 0) & ~self.scans["scan_serial"].duplicated(keep=False).to_numpy()  # doubled ones: see checks
        lines = pd.Series(records.record[rows]).where(found)
        patients = self.scans["patient_id"]
        first = lines.groupby(patients, sort=False).transform("first")
        differs = (lines != first) & lines.notna()
        has_several = patients[found].duplicated(keep=False)
        with_other = patients[differs].nunique()
        if with_other == 0 or with_other > _MOST_EQUAL * patients[found][has_several].nunique():
            return
        sheet, serials = records.sheet, self.scans["scan_serial"]

        def message(row: int) -> str:
            here, there = (sheet.cell(int(each[row]), None).row for each in (lines, first))
            rule = f"rule: the scans of a patient are in one row of {sheet.file}; correct one of the serials"
            return f"scan {serials[row]} is in row {here} there, and another scan of the patient in row {there}; {rule}"

        severity = "error" if self.strict else "warning"
        rows = np.flatnonzero(differs)
        self._base_findings().each(severity, "serial_in_other_row", rows, "scan_serial", message, serials.get)

    def _check_scan_counts(self, records: Records) -> None:
        """Compare each row's stated number of scans with the scans that are filled in."""
        filled = pd.Series(records.record).value_counts()
        counts = pd.Series(records.record).map(filled)
        stated = records.frame["scan_count"]
        rows = np.flatnonzero((stated != counts) & ~pd.Series(records.record).duplicated())
        header = records.sheet.header[int(records.position["scan_count"])]

        def describe(row: int) -> str:
            count = counts[row]
            return f"{header} is {stated[row]:g}, but {count} pairs of time and serial are filled; the pairs are used"

        records.findings(self.findings).each(
            "warning", "scan_count", rows, "scan_count", describe, lambda row: f"{stated[row]:g}"
        )

    def _check_unique(self, records: Records) -> None:
        serials = records.frame["scan_serial"]
        first = _first_rows(serials, serials)

        def describe(row: int) -> str:
            cell = records.locate(int(first[row]), "scan_serial")
            place = f"{cell.column}{cell.row}"
            return f"scan serial {serials[row]} is also in cell {place}; rule: every serial occurs once; correct one"

        rows = np.flatnonzero(serials.duplicated() & serials.notna())
        own = records.findings(self.findings)
        own.each("error", "duplicate_serial", rows, "scan_serial", describe, lambda row: serials[row])

    def _sort_scans(self) -> None:
        """Sort the scans of each patient: by their index, else by time, else by their stated number."""
        scans, rank = self.scans, self.scans["patient_id"].map(self._rank)
        self._join_day_and_clock("scan")
        number = next((scans[name] for name in ("scan_index", "block") if name in scans), None)
        if number is None:
            number = self._find_order()
        keys = pd.DataFrame({"rank": rank, "number": number, "stated": scans.get("scan_number", 0)})
        self._take(keys.sort_values(["rank", "number", "stated"], kind="stable").index.to_numpy())
        counted = self.scans.groupby("patient_id", sort=False).cumcount()
        if "scan_index" in self.scans:
            index = self.scans["scan_index"]
            if not self.strict and (index.groupby(self.scans["patient_id"]).min() == 1).all():
                index = index - 1  # numbers from 1
            rows = np.flatnonzero(~(index.ge(0) & (index % 1 == 0)))
            rule = "rule: 0 for the first scan, then 1, 2, ...; correct the cell"
            self._base_findings().each(
                "error", "scan_index", rows, "scan_index", lambda row: f"scan_index is {index[row]}; {rule}"
            )
            self.findings.stop_on_errors(deferred=frozenset() if len(rows) else SINGLE_CELL_PROBLEMS)
            self.scans["scan_index"] = index.astype("int64")
        else:
            self.scans["scan_index"] = counted

    def _check_onsets(self) -> None:
        """Check that all rows of a patient state the same onset."""
        name = "onset_time" if "onset_time" in self.source else "onset_day"
        if name not in self.source:
            return
        onsets, patients = self.scans[name], self.scans["patient_id"]
        first = onsets.groupby(patients, sort=False).transform("first")
        doubtful = patients.isin(set(patients[onsets.notna() & (onsets != first)]))
        if doubtful.any():  # what most rows of the patient say
            groups = onsets[doubtful].groupby(patients[doubtful], sort=False)
            first = first.mask(doubtful, patients.map(groups.agg(_find_usual)))

        def describe(row: int) -> str:
            rule = (
                "rule: one onset a patient; correct the cell or the id of its row, or give another patient or "
                "hemorrhage its own id"
            )
            return f"the onset of patient {patients[row]} is {onsets[row]}, but {first[row]} in other rows; {rule}"

        rows = np.flatnonzero(onsets.notna() & (onsets != first))
        self._base_findings().each("error", "inconsistent_patient", rows, name, describe)
        self.findings.stop_on_errors(deferred=SINGLE_CELL_PROBLEMS)

    def _join_day_and_clock(self, stem: str) -> None:
        """Make times of the columns with the date and the time of day."""
        day, clock, scans = f"{stem}_day", f"{stem}_clock", self.scans
        if day in scans and clock in scans:
            scans[f"{stem}_time"] = scans[day] + scans[clock]
            self.source.setdefault(f"{stem}_time", self.source[day])

    def _find_order(self) -> pd.Series:
        """Return the time by which scans are sorted; missing where a scan of the patient has none: as in the table."""
        scans, patient = self.scans, self.scans["patient_id"]
        names = [name for name in ("scan_time", "hours_from_first_scan", "hours_from_onset") if name in scans]
        columns = [scans[name] for name in names]
        if "scan_day" in scans:  # scans of one day keep the order of the table where one of them has no time of day
            time, day = scans["scan_time"], scans["scan_day"]
            is_complete = time.notna().groupby([patient, day], dropna=False).transform("all")
            columns.append(time.where(is_complete, day))
        order = min(columns, key=lambda times: times.isna().sum(), default=pd.Series(0, index=scans.index))
        return order.where(order.notna().groupby(patient).transform("all"))

    def _link_patients(self, records: Records) -> None:
        """Add the columns of a table of patients; values of a scan belong to the first scan."""
        frame = records.frame
        if "patient_id" not in frame:
            message = "the table has no patient id and no scan serial; rule: one of them links it to the scans"
            self.findings.fail("table_not_linked", records.sheet.place, message)
        frame = frame.groupby("patient_id", sort=False).transform("first").assign(patient_id=frame["patient_id"])
        rows = _first_rows(frame["patient_id"], self.scans["patient_id"])
        skipped = {"patient_id", "scan_index", "block"}
        names = [str(name) for name in frame if name not in skipped]
        names = [name for name in names if name not in self.scans or frame[name].notna().any()]
        new = [name for name in names if name not in self.scans or self.scans[name].isna().all()]
        self._add(replace(records, frame=frame), rows, new)
        at_first = np.where(self.scans["scan_index"] == 0, rows, -1)
        compare_columns(self.scans, self.source, replace(records, frame=frame), at_first, new, self.findings)
        known = c.known_columns()
        of_scan = [name for name in new if name in known and known[name].of == "scan"]
        later = self.scans["scan_index"] > 0
        for name in of_scan:
            self.scans[name] = self.scans[name].mask(later)

    def _fill_patients(self) -> None:
        """Give a patient's own value to all of its scans where only some of its rows have it.

        A value that is measured at each scan is not given to the scans before it.
        """
        known = c.known_columns()
        names = [name for name in self.scans if name in known and known[name].of == "patient" and name != "patient_id"]
        names += [name for name in ("onset_day", "onset_time") if name in self.scans and name not in names]
        partly = [name for name in names if self.scans[name].isna().any() and self.scans[name].notna().any()]
        if partly:
            measured = [name for name in partly if name in known and self._is_measured_again(known[name])]
            source = self.scans[["patient_id", *partly]].copy()
            source[measured] = source[measured].where(self.scans["scan_index"] == 0)
            first = source.groupby("patient_id", sort=False)[partly].transform("first")
            self.scans[partly] = self.scans[partly].where(self.scans[partly].notna(), first)

    def _is_measured_again(self, column: c.Column) -> bool:
        """Return whether a value of the first scan differs in the later scans of many patients, as a blood pressure.

        The value of a later scan is then not known at the first one.
        """
        if column.known != "first_scan" or column.kind != "number":
            return False
        values = self.scans.groupby("patient_id", sort=False)[column.name].agg(["count", "nunique"])
        differs = values["nunique"][values["count"] > 1] > 1
        return bool(differs.sum() >= _FEW_DIFFERENT and differs.mean() > _MOST_DIFFERENT)

    def _compare_first_serials(self) -> None:
        """Compare the first scan's serial as a table of patients states it with the scans; the scans are used."""
        stated_by = [each for each in self.patients if "first_scan_serial" in each.frame]
        if not stated_by or "scan_serial" not in self.scans:
            return
        records, scans = stated_by[0], self.scans
        firsts = scans[scans["scan_index"] == 0].set_index("patient_id")["scan_serial"]
        keys = zip(scans["scan_serial"], scans["patient_id"], scans["scan_index"], strict=True)
        description = {serial: f"{patient}'s scan number {index + 1}" for serial, patient, index in keys}
        ids, stated = records.frame["patient_id"], records.frame["first_scan_serial"]
        rows = np.flatnonzero(stated.notna() & (stated != ids.map(firsts)) & ids.isin(set(firsts.index)))

        def message(row: int) -> str:
            found = description.get(stated[row])
            there = f"in Table 2 that is {found}" if found else "Table 2 has no such scan"
            cell = records.locate(row, "patient_id")
            other = self.locate(int(np.flatnonzero(scans["patient_id"] == ids[row])[0]), "patient_id")
            return (
                f"the first scan is {stated[row]} here ({there}) and {firsts[ids[row]]} in Table 2, which is used; see "
                f"that the id in {cell.column}{cell.row}, or in {other}, and the values beside it are in the right row"
            )

        owner = dict(zip(scans["scan_serial"], scans["patient_id"], strict=True))
        of_another, given = sum(owner.get(stated[row], ids[row]) != ids[row] for row in rows), stated.notna().sum()
        severity, rule = "warning", ""
        if of_another > max(MOST_SINGLE, _MOST_EQUAL * given):
            severity = "error"
            rule = (
                f"the first scans of {of_another} of {given} patients are other patients' in Table 2; rule: the same "
                "scan in both tables; a column of ids or serials was probably pasted one row off or sorted; correct it"
            )
        records.findings(self.findings).each(
            severity, "first_serial_conflict", rows, "scan_serial", message, lambda row: stated[row], rule
        )

    def _work_out_hours(self) -> None:
        """Work out the hours from onset and from the first scan where the files do not state them."""
        scans = self.scans
        missing = pd.Series(np.nan, index=scans.index)
        time = scans.get("scan_time", pd.Series(pd.NaT, index=scans.index, dtype="datetime64[us]"))
        scans["scan_time"] = time.astype("datetime64[us]")
        is_first = scans["scan_index"] == 0

        def at_first(values: pd.Series) -> pd.Series:
            return values.where(is_first).groupby(scans["patient_id"], sort=False).transform("first")

        since_first = (scans["scan_time"] - at_first(scans["scan_time"])).dt.total_seconds() / _SECONDS
        onset = scans.get("onset_time", pd.Series(pd.NaT, index=scans.index, dtype="datetime64[us]"))
        since_onset = ((scans["scan_time"] - onset).dt.total_seconds() / _SECONDS).fillna(missing)
        given_onset, given_first = scans.get("hours_from_onset", missing), scans.get("hours_from_first_scan", missing)
        to_first = at_first(given_onset).fillna(scans.get("onset_to_first_scan", missing))
        since_first = since_first.fillna(given_onset - to_first).where(~is_first, 0.0)
        scans["hours_from_first_scan"] = given_first.fillna(since_first).round(6)
        to_first = at_first(given_onset.fillna(since_onset)).round(6)
        scans["onset_to_first_scan"] = scans.get("onset_to_first_scan", missing).fillna(to_first)
        derived = scans["onset_to_first_scan"] + scans["hours_from_first_scan"]
        scans["hours_from_onset"] = given_onset.fillna(since_onset).fillna(derived).round(6)

    def _name_serials(self) -> None:
        """Give a scan without a serial the patient id and its number; the published tables must have serials."""
        scans = self.scans
        serials = scans.get("scan_serial", pd.Series(None, index=scans.index, dtype=object))
        if self.strict and "scan_serial" in self.source:
            message = "the scan serial is empty; rule: every scan has a serial; enter it"
            base = self._base_findings()
            rows = np.flatnonzero(serials.isna())
            base.each("error", "serial_missing", rows, "scan_serial", lambda row: message)
        made = scans["patient_id"] + "-" + (scans["scan_index"] + 1).astype(str)
        scans["scan_serial"] = serials.where(serials.notna(), made)
