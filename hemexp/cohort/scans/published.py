"""Check that the tables have the columns that they need, and name the columns that nothing uses."""

from collections.abc import Iterable, Sequence

from hemexp.cohort import columns as c
from hemexp.cohort.findings import Cell, Finding, Findings, column_letter
from hemexp.cohort.headers import read_header
from hemexp.cohort.mapping.mapping import GIVEN, INPUT, UNUSED, TableMapping
from hemexp.cohort.tables.sheet import Sheet
from hemexp.config import WORKBOOKS

_SHOWN = 5
_MOST_LETTERS = 80  # of a header in a message
_CLINICAL = {
    **c.NUMBER_HEADERS,
    c.SEX_HEADER: "sex",
    c.PRESSURE_HEADER: "blood_pressure",
    c.PART_HEADER: "dataset_part",
}
_ESSENTIAL = {  # without these a table cannot be linked, or says nothing
    "clinical": {"patient_id": "the first column holds the patient ids"},
    "imaging": {"patient_id": "the column ID holds the patient ids", "HM_volume": "every scan has a column HM_volume"},
    "radiomics": {"scan_serial": "the column 流水号 of each sheet holds the scan serials"},
    "times": {"scan_serial": "a column 流水号 beside each scan time holds the scan serial"},
}
_DEFERRED = frozenset({"formula_not_calculated"})  # reported with the errors of the cells


def check_workbooks(sheets: Iterable[Sheet], findings: Findings) -> None:
    """Check that the four workbooks are there; only Table 2 cannot be left out.

    Raises:
        CohortError: Table 2 is missing, or a workbook holds rows that cannot be read as a table.
    """
    files = {sheet.file for sheet in sheets}
    for name, prefix in WORKBOOKS.items():
        if any(file.startswith(prefix) for file in files):
            continue
        place, missing = Cell(f"{prefix}*.xlsx"), "there is no such file, or it is blank"
        if lost := _find_unread(prefix, findings):
            _report_unread(name, lost, lost.sheet, findings)
        elif name == "imaging":
            findings.error("file_missing", place, f"{missing}; rule: it holds the volumes; add it")
        else:
            findings.warn("file_missing", place, f"{missing}; its columns are left out")
    findings.stop_on_errors(_DEFERRED)


def check_columns(tables: Sequence[tuple[Sheet, TableMapping]], findings: Findings) -> None:
    """Report the columns of the published layout that are missing, and the columns that are not used.

    Raises:
        CohortError: a table cannot be linked to the scans, a header occurs twice, or one of several scans that are side
            by side lacks a column that the others have.
    """
    tissues, files = set(), {}
    _check_single(tables, findings)
    for sheet, table in tables:
        name = next(name for name, prefix in WORKBOOKS.items() if sheet.file.startswith(prefix))
        files[name] = sheet.file
        means = {column.means for column in table.columns}
        _check_known(sheet, table, findings)
        place = Cell(sheet.file, sheet.name, sheet.header_row + 1)
        for essential, rule in _ESSENTIAL[name].items():
            if essential not in means:
                findings.error("column_missing", place, f"no column is the {essential}; rule: {rule}; add it")
        if name == "clinical":
            _warn_missing(
                place, [f"{text} ({each})" for text, each in _CLINICAL.items() if each not in means], findings
            )
        elif name == "imaging":
            names = ["scan_serial", *(each for each in c.LOCATION if each != "HM_volume")]
            _warn_missing(place, [each for each in names if each not in means], findings)
        elif name == "radiomics":
            for tissue, names in c.RADIOMICS.items():
                if means & set(names):
                    tissues.add(tissue)
                    _warn_missing(place, [each for each in names if each not in means], findings)
        _check_blocks(sheet, table, findings)
        _warn_scan_gap(sheet, table, findings)
    for name, prefix in WORKBOOKS.items():
        if name not in {*files, "radiomics"} and (lost := _find_unread(prefix, findings)):
            _report_unread(name, lost, lost.sheet, findings)
    for tissue in c.RADIOMICS:
        if tissue in tissues:
            continue
        if lost := _find_unread(WORKBOOKS["radiomics"], findings, tissue):
            _report_unread("radiomics", lost, tissue, findings)
        elif "radiomics" in files:
            message = f"there is no sheet {tissue!r}, or it is blank; its columns are left out"
            findings.warn("sheet_missing", Cell(files["radiomics"]), message)
    findings.stop_on_errors(_DEFERRED)


def check_tidy(tables: Iterable[tuple[Sheet, TableMapping]], findings: Findings) -> None:
    """Check the columns of tidy tables."""
    for sheet, table in tables:
        _check_known(sheet, table, findings)


def check_mapped(tables: Iterable[tuple[Sheet, TableMapping]], findings: Findings) -> None:
    """Warn of the columns of a hospital's tables that nothing uses, and of gaps in the numbers of scans."""
    for sheet, table in tables:
        _warn_unknown(sheet, table, findings)
        _warn_scan_gap(sheet, table, findings)


def _warn_scan_gap(sheet: Sheet, table: TableMapping, findings: Findings) -> None:
    """Warn where scans stand side by side and their headers are numbered with a gap, such as CT1 and CT3."""
    columns: dict[str, dict[int, int]] = {"follow_up": {}, "number": {}}  # the first column of each number
    for position, column in enumerate(table.columns):
        kind, number = read_header(column.column).occasion or ("", 0)
        kind = "number" if kind == "ordinal" else kind
        if column.scan is not None and kind in columns:
            columns[kind].setdefault(int(number), position)
    for kind, first in columns.items():
        numbers = sorted(first)
        start = 1 if kind == "follow_up" else min(numbers, default=0)
        missing = [str(number) for number in range(start, max(numbers, default=0)) if number not in first]
        if missing and (kind == "follow_up" or len(missing) < len(numbers)):  # volume_6 and volume_24 are hours
            header = table.columns[first[numbers[-1]]].column
            what = "follow-up" if kind == "follow_up" else "scan"
            message = (
                f"no column is of {what} {_list(missing)}, but {header!r} is there; rule: the numbers have no gap; "
                "they are taken in order: see that no columns were lost"
            )
            findings.warn("scan_gap", sheet.header_cell(first[numbers[-1]]), message)


def _check_single(tables: Iterable[tuple[Sheet, TableMapping]], findings: Findings) -> None:
    """Check that no two sheets are the same table, such as an older copy beside the current one.

    Two sheets of Table 2 may hold different patients; the scans show whether they do.
    """
    seen: dict[str, Sheet] = {}
    for sheet, table in tables:
        name = next(name for name, prefix in WORKBOOKS.items() if sheet.file.startswith(prefix))
        means = {column.means for column in table.columns}
        tissues = [tissue for tissue, names in c.RADIOMICS.items() if means & set(names)]
        for part in (tissues or ["radiomics"]) if name == "radiomics" else [name]:
            other = seen.setdefault(part, sheet)
            if other is not sheet and name != "imaging":
                message = f"{other.place} and {sheet.place} hold the same table ({part}); rule: one; delete the other"
                findings.error("doubled_table", sheet.place, message)


def _find_unread(prefix: str, findings: Findings, sheet: str = "") -> Finding | None:
    """Return the finding that a sheet of this file was not read; None if there is no such sheet."""
    for finding in findings.rows:
        if finding.problem in {"unread_sheet", "unknown_sheet"} and finding.file.startswith(prefix):
            names = finding.value.split(", ") if finding.problem == "unread_sheet" else [repr(finding.sheet)]
            if not sheet or repr(sheet) in names:
                return finding
    return None


def _report_unread(name: str, lost: Finding, sheet: str, findings: Findings) -> None:
    """Report a published table that would be lost with all its values."""
    place = Cell(lost.file, sheet)
    if lost.problem == "unread_sheet":
        message = "it does not hold a table; rule: a row of headers and at least one row below; correct the sheet"
        findings.error("empty_table", place, message)
    else:
        rule = next(iter(_ESSENTIAL[name].values()))
        findings.error("column_missing", place, f"the table cannot be linked to the scans; rule: {rule}; add it")


def _check_known(sheet: Sheet, table: TableMapping, findings: Findings) -> None:
    """Warn of the columns of a published or tidy table that hemexp does not know; one that occurs twice is an error."""
    _warn_unknown(sheet, table, findings)
    _check_doubled(sheet, table, findings)


def _warn_unknown(sheet: Sheet, table: TableMapping, findings: Findings) -> None:
    """Warn of filled columns that hemexp does not know, unless the user's mapping leaves them out."""
    unused = [
        position
        for position, column in enumerate(table.columns)
        if column.means == UNUSED
        and column.column not in {"", c.SIMULATED}
        and column.sure != GIVEN
        and sheet.columns[position].notna().any()
    ]
    if unused:
        names = [repr(sheet.header[i][:_MOST_LETTERS]) + _explain(table.columns[i].sure) for i in unused]
        one = f"column {names[0]} is" if len(names) == 1 else f"{len(names)} columns are"
        listed = "" if len(names) == 1 else f": {', '.join(names)}"
        message = (
            f"{one} not known, and not used{listed}; a name in features.columns or label.column uses it, or, in a "
            "hospital's own table, means: input in mapping.yaml"
        )
        findings.warn("unknown_column", sheet.header_cell(unused[0]), message)


def _explain(sure: str) -> str:
    """Return in parentheses why a column is not what its header says, such as ``Age? not in months``."""
    return f" ({sure})" if "? " in sure else ""


def _check_doubled(sheet: Sheet, table: TableMapping, findings: Findings) -> None:
    """Report columns that occur twice."""
    places: dict[tuple[str, int | None], list[int]] = {}
    for position, column in enumerate(table.columns):
        if column.means not in {UNUSED, INPUT}:
            places.setdefault((column.means, column.scan), []).append(position)
    doubled = {key: positions for key, positions in places.items() if len(positions) > 1}
    if doubled:
        names = [
            f"{sheet.header[positions[0]]!r} occurs twice: {', '.join(map(column_letter, positions))}"
            for positions in doubled.values()
        ]
        rule = "once" if {scan for _, scan in doubled} == {None} else "once for each scan, after its serial"
        cell = sheet.header_cell(next(iter(doubled.values()))[1])
        findings.error("column_doubled", cell, f"column {_list(names, '; ')}; rule: {rule}; remove or rename one")


def _warn_missing(place: Cell, names: list[str], findings: Findings) -> None:
    if names:
        what = "1 column of the published layout is" if len(names) == 1 else f"{len(names)} columns of the layout are"
        findings.warn("column_missing", place, f"{what} missing and left out: {', '.join(names)}")


def _check_blocks(sheet: Sheet, table: TableMapping, findings: Findings) -> None:
    """Check that each scan has the columns that any scan has, because a lost column loses values."""
    blocks: dict[int, dict[str, int]] = {}
    for position, column in enumerate(table.columns):
        if column.means != UNUSED and column.scan is not None:
            blocks.setdefault(column.scan, {})[column.means] = position
    names = list(dict.fromkeys(name for found in blocks.values() for name in found))
    for scan, found in blocks.items():
        missing = [name for name in names if name not in found]
        if missing:
            message = (
                f"scan {scan + 1} has no column {_list(missing)}, but other scans have; rule: the same; correct it"
            )
            findings.error("column_missing", sheet.header_cell(min(found.values())), message)


def _list(names: list[str], sign: str = ", ") -> str:
    return sign.join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
