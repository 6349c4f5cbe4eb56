"""Read the tables that ``prepare.py`` writes (scans.csv or scans.parquet)."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.cells import Records, numbers, serials, texts, times
from hemexp.cohort.findings import SINGLE_CELL_PROBLEMS, Cell, CellLocator, Findings, column_letter
from hemexp.cohort.sheet import Sheet, find_columns, read_patient_ids
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
    paths = _find_tables(root)
    if len(paths) != 1:
        names = " and ".join(path.name for path in paths) or "neither"
        message = f"found: {names}; rule: {root} holds either scans.csv or scans.parquet; add one or remove the other"
        findings.fail("file_missing", Cell("scans.csv"), message)
    sheet = _read_table(paths[0], findings)
    for i, name in enumerate(sheet.header):
        if name not in (*c.SCAN_COLUMNS, c.SIMULATED):
            findings.warn("unknown_column", Cell(sheet.file, "", 1, column_letter(i)), f"column {name!r} is not used")
    if not sheet.filled[1:].any():
        findings.error("empty_table", Cell(sheet.file), "there are no rows below the header; rule: at least one scan")
    headers = {header: header for header in c.SCAN_COLUMNS}
    columns = find_columns(sheet, headers, findings, rule="all columns that prepare.py writes")
    findings.stop_on_errors()
    records = sheet.records(columns)
    return _convert(records, findings), records.locate


def is_simulated(root: Path) -> bool:
    """Return whether the table has the column that marks simulated patients."""
    return any(c.SIMULATED in _read_table(path, Findings()).header for path in _find_tables(root))


def _find_tables(root: Path) -> list[Path]:
    return [root / name for name in TIDY_FILES if (root / name).is_file()]


def _read_table(path: Path, findings: Findings) -> Sheet:
    """Return the cells of the table, with the header as the first row."""
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path).astype(object)
            return Sheet(path.name, "", np.vstack([table.columns, table.to_numpy()]))
        with path.open(encoding="utf-8-sig") as lines:
            header = lines.readline()
        for separator, name in ((";", "semicolons"), ("\t", "tabs")):
            if header.count(separator) > header.count(","):
                raise ValueError(f"columns are separated by {name}; rule: commas, and decimal points; save it again so")
        return Sheet(path.name, "", pd.read_csv(path, **_AS_TEXT).to_numpy(dtype=object))
    except (ValueError, OSError, ImportError) as error:  # the parse errors of pandas and pyarrow are ValueErrors
        findings.fail("file_unreadable", Cell(path.name), f"cannot be read: {error}")


def _convert(records: Records, findings: Findings) -> pd.DataFrame:
    """Convert the cells of every column to its type."""
    cells, record_findings = records.cells, read_patient_ids(records, findings)
    columns = {"patient_id": cells["patient_id"], "dataset_part": texts(cells["dataset_part"])}
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
