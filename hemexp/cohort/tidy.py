"""Our own tables: written by ``prepare.py``, read back as the same cohort."""

from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.cells import Where, numbers, serials, times
from hemexp.cohort.findings import Cell, Findings, column_letter
from hemexp.run_directory import write_text

_EMPTY = "no rows below the header; rule: at least one scan"


def read_tidy(root: Path, findings: Findings) -> tuple[pd.DataFrame, Where]:
    """Read ``scans.csv`` or ``scans.parquet``; nothing else in the folder is looked at.

    Returns:
        The scans, columns as in `columns.SCAN_COLUMNS`, and a function from (row, column) to the cell it came from.

    Raises:
        CohortError: a column is missing, or cells are unusable.
    """
    paths = [root / name for name in ("scans.csv", "scans.parquet") if (root / name).is_file()]
    if len(paths) != 1:
        there = " and ".join(path.name for path in paths) or "neither"
        findings.error("file_missing", Cell("scans.csv"), f"rule: scans.csv or scans.parquet in {root}; found: {there}")
        findings.stop_on_errors()
    file = paths[0].name
    try:
        if file.endswith(".csv"):
            cells = pd.read_csv(paths[0], dtype=str, encoding="utf-8-sig", keep_default_na=False, na_values=[""])
            cells = cells.astype(object)
        else:
            cells = pd.read_parquet(paths[0]).astype(object)
    except (ValueError, OSError, ImportError) as error:  # pandas' and pyarrow's parse errors are ValueErrors
        findings.error("file_unreadable", Cell(file), f"cannot be read: {error}")
        findings.stop_on_errors()
    places = {str(name): i for i, name in enumerate(cells.columns)}

    def where(record: int, name: str) -> Cell:
        return Cell(file, "", record + 2, column_letter(places[name]) if name in places else "")

    for name in (name for name in c.SCAN_COLUMNS if name not in places):
        findings.error("column_missing", Cell(file, "", 1), f"there is no column {name!r}")
    for name in (name for name in places if name not in c.SCAN_COLUMNS):
        findings.warn("unknown_column", Cell(file, "", 1, column_letter(places[name])), f"{name!r} is not used")
    if cells.empty:
        findings.error("empty_table", Cell(file), _EMPTY)
    findings.stop_on_errors()
    return _typed(cells[c.SCAN_COLUMNS].reset_index(drop=True), where, findings), where


def _typed(cells: pd.DataFrame, where: Where, findings: Findings) -> pd.DataFrame:
    ids = cells["patient_id"].map(lambda v: str(v).strip() if pd.notna(v) else "").astype(object)
    for i in range(len(ids)):
        if not ids.iloc[i]:
            findings.error("patient_id_missing", where(i, "patient_id"), "rule: every row has a patient id")
    columns: dict[str, pd.Series] = {}
    for name in c.SCAN_COLUMNS:
        if name == "patient_id":
            columns[name] = ids
        elif name == "scan_serial":
            columns[name] = serials(cells[name], ids, where, findings)
        elif name == "dataset_part":
            columns[name] = cells[name].map(lambda v: str(v).strip() if pd.notna(v) else None).astype(object)
        elif name == "scan_time":
            columns[name] = times(cells[name], ids, where, findings)
        else:
            columns[name] = numbers(cells[name], ids, where, findings)
    for i in [i for i, serial in enumerate(columns["scan_serial"]) if serial is None]:
        findings.error("serial_missing", where(i, "scan_serial"), "rule: every scan has a serial", patient=ids.iloc[i])
    index = columns["scan_index"]
    for record in np.flatnonzero(~(index.ge(0) & (index % 1 == 0))):
        message = f"scan_index is {cells['scan_index'].iloc[record]!r}; rule: 0 for the first scan, then 1, 2, ..."
        findings.error("scan_index", where(int(record), "scan_index"), message, patient=ids.iloc[record])
    findings.stop_on_errors()
    scans = pd.DataFrame(columns)
    return scans.astype({"scan_index": "int64"})


def to_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV text that reads back to the same bits; whole-number columns are written without a point."""
    whole = [
        name
        for name in table.select_dtypes("float")
        if (values := table[name].dropna()).empty or ((values % 1 == 0) & (values.abs() < 2**53)).all()
    ]
    text = table.astype(dict.fromkeys(whole, "Int64")).to_csv(index=False, date_format="%Y-%m-%d %H:%M:%S")
    return str(text)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as `to_csv` gives it."""
    write_text(path, to_csv(table))
