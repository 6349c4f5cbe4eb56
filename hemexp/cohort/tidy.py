"""Read the tables that ``prepare.py`` writes (scans.csv or scans.parquet)."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.cells import numbers, serials, texts, times
from hemexp.cohort.findings import SINGLE_CELL_PROBLEMS, Cell, CellLocator, Findings, RecordFindings, column_letter
from hemexp.config import TIDY_FILES

_AS_TEXT: Any = {
    "header": None, "dtype": str, "encoding": "utf-8-sig", "keep_default_na": False, "na_values": [""],
    "skip_blank_lines": False, "index_col": False,
}  # fmt: skip


def read_tidy(root: Path, findings: Findings) -> tuple[pd.DataFrame, CellLocator]:
    """Read ``scans.csv`` or ``scans.parquet``; other files in the folder are ignored.

    Returns:
        The scans, columns as in `columns.SCAN_COLUMNS`, and a function from (row, column) to the cell in the file.

    Raises:
        CohortError: a column is missing, or cells are unusable.
    """
    paths = [root / name for name in TIDY_FILES if (root / name).is_file()]
    if len(paths) != 1:
        names = " and ".join(path.name for path in paths) or "neither"
        message = f"found: {names}; rule: {root} holds either scans.csv or scans.parquet; add one or remove the other"
        findings.fail("file_missing", Cell("scans.csv"), message)
    file = paths[0].name
    header, body = _read_table(paths[0], findings)
    rows = np.flatnonzero(body.notna().any(axis=1))  # blank lines are skipped; the row numbers of the file stay
    cells = body.iloc[rows].reset_index(drop=True)
    column_of = {name: i for i, name in reversed(list(enumerate(header)))}

    def locate(record: int, name: str) -> Cell:
        return Cell(file, "", int(rows[record]) + 2, column_letter(column_of[name]) if name in column_of else "")

    for name in c.SCAN_COLUMNS:
        letters = [column_letter(i) for i, text in enumerate(header) if text == name]
        if not letters:
            message = f"there is no column {name!r}; rule: all columns that prepare.py writes; add it"
            findings.error("column_missing", Cell(file, "", 1), message)
        elif len(letters) > 1:
            message = f"column {name!r} occurs twice: {', '.join(letters)}; rule: once; remove or rename one"
            findings.error("column_doubled", Cell(file, "", 1), message)
    for i, name in enumerate(header):
        if name not in (*c.SCAN_COLUMNS, c.SIMULATED):
            findings.warn("unknown_column", Cell(file, "", 1, column_letter(i)), f"column {name!r} is not used")
    if cells.empty:
        findings.error("empty_table", Cell(file), "there are no rows below the header; rule: at least one scan")
    findings.stop_on_errors()
    selected = cells.iloc[:, [column_of[name] for name in c.SCAN_COLUMNS]].set_axis(c.SCAN_COLUMNS, axis=1)
    return _convert(selected, locate, findings), locate


def is_simulated(root: Path) -> bool:
    """Return whether the table has the column that marks simulated patients."""
    paths = [root / name for name in TIDY_FILES if (root / name).is_file()]
    return bool(paths) and c.SIMULATED in _read_table(paths[0], Findings())[0]


def _read_table(path: Path, findings: Findings) -> tuple[list[str], pd.DataFrame]:
    """Return the header and the cells below it."""
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path).astype(object)
            return [str(name) for name in table.columns], table
        with path.open(encoding="utf-8-sig") as lines:
            header = lines.readline()
        for separator, name in ((";", "semicolons"), ("\t", "tabs")):
            if header.count(separator) > header.count(","):
                raise ValueError(f"columns are separated by {name}; rule: commas, and decimal points; save it again so")
        table = pd.read_csv(path, **_AS_TEXT).astype(object)
        return table.iloc[0].fillna("").tolist(), table.iloc[1:]
    except (ValueError, OSError, ImportError) as error:  # the parse errors of pandas and pyarrow are ValueErrors
        findings.fail("file_unreadable", Cell(path.name), f"cannot be read: {error}")


def _convert(cells: pd.DataFrame, locate: CellLocator, findings: Findings) -> pd.DataFrame:
    """Convert the cells of every column to its type."""
    ids = texts(cells["patient_id"]).fillna("")
    record_findings = RecordFindings(ids, locate, findings)
    for i in np.flatnonzero(ids == ""):
        message = "the patient id is empty; rule: every row has a patient id; enter it"
        record_findings.error("patient_id_missing", i, "patient_id", message)
    columns = {"patient_id": ids, "dataset_part": texts(cells["dataset_part"])}
    converters = {"scan_serial": serials, "scan_time": times}
    for name in (name for name in c.SCAN_COLUMNS if name not in columns):
        columns[name] = converters.get(name, numbers)(cells[name], record_findings)
    for i in np.flatnonzero(columns["scan_serial"].isna()):
        message = "the scan serial is empty; rule: every scan has a serial; enter it"
        record_findings.error("serial_missing", i, "scan_serial", message)
    index = columns["scan_index"]
    for i in np.flatnonzero(~(index.ge(0) & (index % 1 == 0))):
        text = cells["scan_index"].iloc[i]
        message = f"scan_index is {text!r}; rule: 0 for the first scan, then 1, 2, ...; correct the cell"
        record_findings.error("scan_index", i, "scan_index", message)
    findings.stop_on_errors(deferred=SINGLE_CELL_PROBLEMS)
    return pd.DataFrame(columns)[c.SCAN_COLUMNS].astype({"scan_index": "int64"})
