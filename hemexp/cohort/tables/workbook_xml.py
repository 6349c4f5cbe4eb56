"""Search the XML of an .xlsx for the extent of its cells, hidden rows and columns, and formulas without a value."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from xml.etree import ElementTree
from zipfile import ZipFile

from xlsxwriter.utility import xl_cell_to_rowcol

from hemexp.cohort.columns import SIMULATED_COMMENT
from hemexp.cohort.tables.sheet_xml import SheetXml

_BLOCK = 2**24  # bytes searched at a time
_LONGEST_ROW = 2**28  # bytes
_HIDDEN = rb"""\bhidden=["'](?:1|true)["']"""
_ROW = re.compile(rb"<(?:\w+:)?row\b([^>]*)>")
_HIDDEN_ROW = re.compile(_HIDDEN + rb"""|\bht=["']0(?:\.0+)?["']""")
_COLUMN = re.compile(rb"<(?:\w+:)?col\b[^>]*?(?:" + _HIDDEN + rb"""|\bwidth=["']0(?:\.0+)?["'])[^>]*>""")
_LAST_CELL = re.compile(rb".*<(?:\w+:)?c\b([^>]*[^/>])>\s*<[^/]", re.DOTALL)  # of a row: the last that holds anything
_ERROR = re.compile(rb"""<(?:\w+:)?c\b([^>]*?\bt=["']e["'][^>]*)>""")
_NO_VALUE = re.compile(  # a cell with a formula (f) whose value (v) is missing or empty
    rb"<(?:\w+:)?c\b([^>]*)>\s*<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</|</)"
)


def is_marked_simulated(book: ZipFile) -> bool:
    """Return whether the workbook's properties hold the comment of `hemexp.cohort.synthetic`."""
    name = "docProps/core.xml"
    return name in book.namelist() and SIMULATED_COMMENT in book.read(name).decode("utf-8", "replace")


def find_parts(book: ZipFile) -> dict[str, str]:
    """Return the part of the archive that holds each worksheet, by its name; empty for other kinds of files."""
    if "xl/workbook.xml" not in book.namelist():
        return {}
    links = ElementTree.fromstring(book.read("xl/_rels/workbook.xml.rels"))
    targets = {link.get("Id"): link.get("Target", "") for link in links}
    parts = {}
    for element in ElementTree.fromstring(book.read("xl/workbook.xml")).iter():
        if element.tag.endswith("}sheet"):
            key = next((value for name, value in element.items() if name.endswith("}id")), "")
            parts[element.get("name", "")] = str(PurePosixPath("/xl", targets.get(key, ""))).lstrip("/")
    return parts


def inspect_sheet(book: ZipFile, part: str) -> SheetXml:
    """Search the XML of a worksheet."""
    found = SheetXml()
    row = -1
    for block in _blocks(book, part):
        for match in _COLUMN.finditer(block):
            found.hidden_columns += range(int(_attribute(match[0], "min")) - 1, int(_attribute(match[0], "max")))
        starts = [*_ROW.finditer(block)]
        for i, match in enumerate(starts):
            row = int(_attribute(match[1], "r") or row + 2) - 1  # a row without a number follows the one before
            if _HIDDEN_ROW.search(match[1]):
                found.hidden_rows.append(row)
            end = starts[i + 1].start() if i + 1 < len(starts) else len(block)
            if (last := _LAST_CELL.match(block, match.end(), end)) and (cell := _attribute(last[1], "r")):
                found.add_row(row, xl_cell_to_rowcol(cell)[1])
        for match in _ERROR.finditer(block):
            if cell := _attribute(match[1], "r"):
                found.errors.append(xl_cell_to_rowcol(cell))
        for match in _NO_VALUE.finditer(block):
            if (cell := _attribute(match[1], "r")) and _attribute(match[1], "t") != "str":  # a text may be empty
                found.uncalculated.append(xl_cell_to_rowcol(cell))
    return found


def _blocks(book: ZipFile, part: str) -> Iterator[bytes]:
    """Yield the XML in blocks that end with a row."""
    with book.open(part) as file:
        rest = b""
        while data := file.read(_BLOCK):
            end = data.rfind(b"row>") + 4
            if end > 3:
                yield rest + data[:end]
                rest = data[end:]
            elif len(rest) > _LONGEST_ROW:
                raise ValueError("a row of a sheet is longer than any spreadsheet program allows; the file is damaged")
            else:
                rest += data
        yield rest


def _attribute(tag: bytes, name: str) -> str:
    match = re.search(rb"""(?:^|\s)%b=["']([^"']*)["']""" % name.encode(), tag)
    return match[1].decode() if match else ""
