"""Search the XML of an .xlsx for hidden rows and columns, and for formulas without a value or with an error."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from xml.etree import ElementTree
from zipfile import ZipFile

from xlsxwriter.utility import xl_cell_to_rowcol

from hemexp.cohort.columns import SIMULATED_COMMENT

_BLOCK = 2**24  # bytes searched at a time
_HIDDEN = rb"""\bhidden=["'](?:1|true)["']"""
_ROW = re.compile(rb"<(?:\w+:)?row\b[^>]*?" + _HIDDEN + rb"[^>]*>")
_COLUMN = re.compile(rb"<(?:\w+:)?col\b[^>]*?" + _HIDDEN + rb"[^>]*>")
_ERROR = re.compile(rb"""<(?:\w+:)?c\b([^>]*?\bt=["']e["'][^>]*)>""")
_NO_VALUE = re.compile(  # a cell with a formula (f) whose value (v) is missing or empty
    rb"<(?:\w+:)?c\b([^>]*)>\s*<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</|</)"
)


@dataclass
class SheetXml:
    """The parts of a worksheet that its cells do not show; all positions are 0-based.

    Attributes:
        hidden_rows: rows that a filter or the user has hidden.
        hidden_columns: the columns.
        errors: row and column of each formula with an error.
        uncalculated: row and column of each formula without a value.
    """

    hidden_rows: list[int] = field(default_factory=list)
    hidden_columns: list[int] = field(default_factory=list)
    errors: list[tuple[int, int]] = field(default_factory=list)
    uncalculated: list[tuple[int, int]] = field(default_factory=list)


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
            key = next(value for name, value in element.items() if name.endswith("}id"))
            parts[element.get("name", "")] = str(PurePosixPath("/xl", targets[key])).lstrip("/")
    return parts


def inspect_sheet(book: ZipFile, part: str) -> SheetXml:
    """Search the XML of a worksheet."""
    found = SheetXml()
    for block in _blocks(book, part):
        for match in _COLUMN.finditer(block):
            found.hidden_columns += range(int(_attribute(match[0], "min")) - 1, int(_attribute(match[0], "max")))
        found.hidden_rows += [int(row) - 1 for match in _ROW.finditer(block) if (row := _attribute(match[0], "r"))]
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
            else:
                rest += data
        yield rest


def _attribute(tag: bytes, name: str) -> str:
    match = re.search(rb"""(?:^|\s)%b=["']([^"']*)["']""" % name.encode(), tag)
    return match[1].decode() if match else ""
