"""Read the four workbooks of the published layout (Chinese headers, follow-ups side by side) and join their tables."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import pandas as pd
from python_calamine import CalamineError

from hemexp.cohort.cells import Records
from hemexp.cohort.findings import SINGLE_CELL_PROBLEMS, Cell, CellLocator, CohortError, Findings
from hemexp.cohort.merge import merge
from hemexp.cohort.sheet import Sheet, first_sheet
from hemexp.cohort.workbook_tables import read_clinical, read_imaging, read_radiomics, read_scan_times
from hemexp.config import WORKBOOKS

SIMULATED = "simulated by hemexp: no real patient"  # the comment in the properties of a simulated workbook
_AS_OBJECTS: Any = {"header": None, "dtype": object, "engine": "calamine", "keep_default_na": False, "na_values": [""]}


def read_workbooks(root: Path, findings: Findings) -> tuple[pd.DataFrame, CellLocator]:
    """Read, check and merge the four workbooks.

    Args:
        root: a folder that holds one file of each name: 表1*.xlsx, 表2*.xlsx, 表3*.xlsx, 附表1*.xlsx.
        findings: collects errors and warnings.

    Returns:
        The scans, columns as in `columns.SCAN_COLUMNS`, and a function from (row, column) to the cell in the file.

    Raises:
        CohortError: a file, sheet or column is missing, or cells are unusable.
    """
    books = {name: _read_book(root, prefix, findings) for name, prefix in WORKBOOKS.items()}
    findings.stop_on_errors()
    readers: dict[str, Callable[[], Records]] = {
        "clinical": lambda: read_clinical(first_sheet(books["clinical"]), findings),
        "imaging": lambda: read_imaging(first_sheet(books["imaging"]), findings),
        "times": lambda: read_scan_times(first_sheet(books["times"]), findings),
        "Hemo": lambda: read_radiomics(books["radiomics"], "Hemo", findings),
        "ED": lambda: read_radiomics(books["radiomics"], "ED", findings),
    }
    tables: dict[str, Records] = {}
    for name, read in readers.items():
        with suppress(CohortError):  # the errors of the other tables are reported with these
            tables[name] = read()
    findings.stop_on_errors(deferred=SINGLE_CELL_PROBLEMS)
    return merge(tables, findings)


def is_simulated(root: Path) -> bool:
    """Return whether a workbook in the folder is marked as written by `hemexp.cohort.synthetic`."""
    for path in root.glob("*.xlsx"):
        with suppress(BadZipFile, KeyError, OSError), ZipFile(path) as book:
            if SIMULATED in book.read("docProps/core.xml").decode("utf-8", "replace"):
                return True
    return False


def _read_book(root: Path, prefix: str, findings: Findings) -> dict[str, Sheet]:
    paths = sorted(root.glob(f"{prefix}*.xls*"))
    if len(paths) != 1:
        names = ", ".join(path.name for path in paths) or "none"
        message = f"found: {names}; rule: {root} holds exactly one such file; add the missing file or remove the others"
        findings.error("file_missing", Cell(f"{prefix}*.xlsx"), message)
        return {}
    file = paths[0].name
    try:
        frames = pd.read_excel(paths[0], sheet_name=None, **_AS_OBJECTS)
    except (CalamineError, ValueError, OSError) as error:
        message = f"cannot be read as a workbook: {error}; save it again as .xlsx"
        findings.error("file_unreadable", Cell(file), message)
        return {}
    return {str(name): Sheet(file, str(name), frame.to_numpy(dtype=object)) for name, frame in frames.items()}
