"""Find and open a hospital's files: workbooks, text files and Parquet, each known by its content, not by its name."""

import csv
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree
from zipfile import BadZipFile, is_zipfile

from python_calamine import CalamineError

from hemexp.cohort.findings import Cell, Findings
from hemexp.cohort.tables.parquet import read_parquet
from hemexp.cohort.tables.sheet import Sheet
from hemexp.cohort.tables.text_file import read_text_file
from hemexp.cohort.tables.workbook import read_workbook
from hemexp.config import TIDY_FILES, WORKBOOKS

BOOK_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
SUFFIXES = (*BOOK_SUFFIXES, ".csv", ".tsv", ".txt", ".parquet")
_ZIP, _OLE, _PARQUET = b"PK", b"\xd0\xcf\x11\xe0", b"PAR1"  # the first bytes of .xlsx and .ods; .xls; .parquet
_IGNORED = b"\xef\xbb\xbf\xfe\xff\0 \r\n\t"  # byte-order marks and white space
_SHOWN = 5  # names in a message
_LONGEST_HEADER = 10_000  # bytes
# What the readers raise for a damaged file. ValueError and OSError: pyarrow and text files; KeyError: a missing part of
# a workbook; zipfile: RuntimeError (a password), NotImplementedError (an unknown compression), EOFError and zlib.error
# (a part that was cut).
_DAMAGED = (
    CalamineError, BadZipFile, csv.Error, OSError, ValueError, KeyError, NotImplementedError, RuntimeError, EOFError,
    ElementTree.ParseError, zlib.error,
)  # fmt: skip
_AS_XLSX = "open it in a spreadsheet program and save it as .xlsx"


def find_files(root: Path, kind: str, findings: Findings) -> list[Path]:
    """Return the files of a cohort; lock files and hidden files are ignored.

    Args:
        root: a folder, or one file.
        kind: ``workbook`` (the published names), ``tidy`` (scans.csv or scans.parquet) or ``mapped`` (any table).
        findings: collects a name that occurs twice.

    Raises:
        CohortError: there is no such file, or both scans.csv and scans.parquet.
    """
    if root.is_file():
        return [root]
    paths = sorted(root.iterdir()) if root.is_dir() else []
    paths = [path for path in paths if path.is_file() and not path.name.startswith((".", "~$"))]
    _warn_unread(root, paths, kind, findings)
    if kind == "workbook":
        books = [path for path in paths if path.suffix.lower() in BOOK_SUFFIXES]
        groups = {f"{prefix}*.xlsx": [p for p in books if p.name.startswith(prefix)] for prefix in WORKBOOKS.values()}
    elif kind == "tidy":
        groups = {" or ".join(TIDY_FILES): [path for path in paths if path.name in TIDY_FILES]}
    else:
        groups = {path.name: [path] for path in paths if path.suffix.lower() in SUFFIXES}
    for name, group in groups.items():
        if len(group) > 1:
            names = ", ".join(path.name for path in group)
            message = f"found: {names}; rule: {root} holds exactly one such file; remove the others"
            findings.error("file_missing", Cell(name), message)
    found = [group[0] for group in groups.values() if group]
    if not found:
        rule = " or ".join(groups) or ", ".join(SUFFIXES)
        message = f"there is no table in {root}; rule: {rule}; add the file or correct data.root"
        findings.fail("file_missing", Cell(root.name), message)
    return found


def _warn_unread(root: Path, paths: list[Path], kind: str, findings: Findings) -> None:
    """Name the tables in a folder that are not read: files with other names, and files in folders below."""
    unread = []
    if kind == "workbook":
        unread = [path.name for path in paths if not path.name.startswith(tuple(WORKBOOKS.values()))]
        unread = [name for name in unread if Path(name).suffix.lower() in SUFFIXES]
    if kind == "tidy":
        unread = [path.name for path in paths if path.suffix.lower() in SUFFIXES and path.name not in TIDY_FILES]
        unread = [name for name in unread if not _is_prepared(root / name)]
    elif root.is_dir():
        folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
        for folder in folders:
            if not (folder / ".hydra").exists():  # what hemexp has written
                tables = [path.name for path in sorted(folder.glob("*")) if path.suffix.lower() in SUFFIXES]
                unread += [f"{folder.name}/{name}" for name in tables]
    if unread:
        names = ", ".join(unread[:_SHOWN]) + (f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else "")
        rules = {
            "workbook": "the published workbooks of the folder itself",
            "tidy": "scans.csv or scans.parquet alone; for all tables of the folder give data=mapped",
        }
        rule = rules.get(kind, "the files of the folder itself")
        message = f"not read: {names}; rule: {rule}; move or rename the files if they belong to the cohort"
        findings.warn("unread_file", Cell(unread[0]), message, value=len(unread))


def _is_prepared(path: Path) -> bool:
    """Return whether a file is one that prepare.py writes beside scans.csv."""
    marks = {"patients.csv": b"scan_index", "labels.csv": b"first_scan_serial", "quality.csv": b"severity"}
    mark = marks.get(path.name)
    if mark is None:
        return False
    with path.open("rb") as file:
        return mark in file.readline(_LONGEST_HEADER)


def read_sheets(paths: list[Path], is_text: Callable[[str], bool], findings: Findings) -> list[Sheet]:
    """Read the tables of all files, in the order of the files and of their worksheets.

    Args:
        paths: as `find_files` returns them.
        is_text: whether the column of a header stays text where the file holds text, such as the patient id ``007``.
        findings: collects what a user does not see in the files, and the files that cannot be read.

    Raises:
        CohortError: a file cannot be read, or none holds a table.
    """
    sheets = []
    for path in paths:
        try:
            sheets += _read(path, is_text, findings)
        except _DAMAGED as error:
            findings.error("file_unreadable", Cell(path.name), _explain(path, error))
    if not sheets and not findings.has_errors:
        message = "there is no table; rule: a row of headers and rows below it; add the table"
        findings.error("empty_table", Cell(", ".join(path.name for path in paths)), message)
    findings.stop_on_errors(deferred=frozenset({"formula_not_calculated"}))
    return sheets


def _read(path: Path, is_text: Callable[[str], bool], findings: Findings) -> list[Sheet]:
    if any("\ud800" <= letter <= "\udfff" for letter in path.name):  # bytes of a name that are not UTF-8
        raise ValueError("the name of the file is not text in UTF-8; rename the file")
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.strip(_IGNORED):
        raise ValueError("the file is empty; copy or export it again")
    if head.startswith((_ZIP, _OLE)):
        return read_workbook(path, findings)
    if head.startswith(_PARQUET):
        return [read_parquet(path, is_text, findings)]
    if head.lstrip(_IGNORED).startswith(b"<"):
        raise ValueError(f"the file is a web page or XML under the name of a table; {_AS_XLSX}")
    if path.suffix.lower() in (*BOOK_SUFFIXES, ".parquet") and b"\t" not in head:
        raise ValueError(f"the content is not {path.suffix}; {_AS_XLSX}")
    return read_text_file(path, is_text, findings)


def _explain(path: Path, error: Exception) -> str:
    """Return what is wrong with a file that could not be read, and what to do."""
    content = path.read_bytes() if isinstance(error, CalamineError | BadZipFile) else b""
    if content.startswith(_ZIP) and not is_zipfile(path):
        return "the file is cut off; copy or download it again"
    if content.startswith(_OLE):
        return (
            "the file is encrypted with a password, or a damaged .xls; open it in a spreadsheet program, remove the "
            "password and save it as .xlsx"
        )
    return f"cannot be read: {' '.join(str(error).split())}; {_AS_XLSX}" if content else f"cannot be read: {error}"
