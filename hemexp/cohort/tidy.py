"""Our own tables: written by ``prepare.py``, read back as the same cohort."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.cells import Where, numbers, serials, times
from hemexp.cohort.findings import ONE_CELL, Cell, Findings, column_letter

_AS_IT_IS: Any = {
    "header": None, "dtype": str, "encoding": "utf-8-sig", "keep_default_na": False, "na_values": [""],
    "skip_blank_lines": False, "index_col": False,
}  # fmt: skip
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
    header, body = _table(paths[0], findings)
    rows = np.flatnonzero(body.notna().any(axis=1))  # blank lines keep their number
    cells = body.iloc[rows].reset_index(drop=True)
    places = {name: i for i, name in reversed(list(enumerate(header)))}

    def where(record: int, name: str) -> Cell:
        return Cell(file, "", int(rows[record]) + 2, column_letter(places[name]) if name in places else "")

    for name in c.SCAN_COLUMNS:
        letters = ", ".join(column_letter(i) for i, there in enumerate(header) if there == name)
        if not letters:
            findings.error("column_missing", Cell(file, "", 1), f"there is no column {name!r}")
        elif "," in letters:
            findings.error("column_doubled", Cell(file, "", 1), f"column {name!r} stands twice: {letters}")
    for i, name in enumerate(header):
        if name not in (*c.SCAN_COLUMNS, c.SIMULATED):
            findings.warn("unknown_column", Cell(file, "", 1, column_letter(i)), f"{name!r} is not used")
    if cells.empty:
        findings.error("empty_table", Cell(file), _EMPTY)
    findings.stop_on_errors()
    wanted = cells.iloc[:, [places[name] for name in c.SCAN_COLUMNS]].set_axis(c.SCAN_COLUMNS, axis=1)
    return _typed(wanted, where, findings), where


def is_simulated(root: Path) -> bool:
    """Return whether ``scans.csv`` or ``scans.parquet`` has the column by which simulated patients are marked."""
    for name in ("scans.csv", "scans.parquet"):
        if (root / name).is_file():
            return c.SIMULATED in _table(root / name, Findings())[0]
    return False


def _table(path: Path, findings: Findings) -> tuple[list[str], pd.DataFrame]:
    """Return the header and the cells below it."""
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path).astype(object)
            return [str(name) for name in table.columns], table
        with path.open(encoding="utf-8-sig") as lines:
            first = lines.readline()
        for sign, name in ((";", "semicolons"), ("\t", "tabs")):
            if first.count(sign) > first.count(","):
                raise ValueError(f"separated by {name}; rule: commas, and points in numbers")
        table = pd.read_csv(path, **_AS_IT_IS).astype(object)
        return table.iloc[0].fillna("").tolist(), table.iloc[1:]
    except (ValueError, OSError, ImportError) as error:  # pandas' and pyarrow's parse errors are ValueErrors
        findings.error("file_unreadable", Cell(path.name), f"cannot be read: {error}")
        findings.stop_on_errors()
        raise


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
    findings.stop_on_errors(but=ONE_CELL)
    scans = pd.DataFrame(columns)
    return scans.astype({"scan_index": "int64"})
