"""Search the XML of an .ods for the extent of its cells, and for hidden rows and columns."""

from xml.etree import ElementTree
from zipfile import ZipFile

from hemexp.cohort.tables.sheet_xml import SheetXml

_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TYPE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}value-type"
_CELLS = (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell")


def inspect_opendocument(book: ZipFile) -> dict[str, SheetXml]:
    """Return what the XML says about each sheet, by its name; empty for other kinds of files.

    Raises:
        ValueError: the file is encrypted.
    """
    names = book.namelist()
    if "content.xml" not in names:
        return {}
    if "META-INF/manifest.xml" in names and b"encryption-data" in book.read("META-INF/manifest.xml"):
        raise ValueError("the file is encrypted with a password; open it, remove the password and save it again")
    found: dict[str, SheetXml] = {}
    xml = SheetXml()
    row = column = last = -1
    with book.open("content.xml") as file:
        for event, element in ElementTree.iterparse(file, ("start", "end")):
            tag = element.tag
            if event == "start" and tag == f"{_TABLE}table":
                xml = found[element.get(f"{_TABLE}name", "")] = SheetXml()
                row = column = -1
            elif event == "start" and tag == f"{_TABLE}table-row":
                column = last = -1
            elif event == "end" and tag == f"{_TABLE}table-column":
                repeats = _count(element, "number-columns-repeated")
                if _is_hidden(element):
                    xml.hidden_columns += range(column + 1, column + 1 + repeats)
                column += repeats
            elif event == "end" and tag in _CELLS:
                column += _count(element, "number-columns-repeated")
                last = column if element.get(_TYPE) else last
                element.clear()
            elif event == "end" and tag == f"{_TABLE}table-row":
                repeats = _count(element, "number-rows-repeated")
                if last >= 0:
                    if _is_hidden(element):
                        xml.hidden_rows += range(row + 1, row + 1 + repeats)
                    xml.add_row(row + repeats, last, repeats)
                row += repeats
                element.clear()
    return found


def _count(element: ElementTree.Element, name: str) -> int:
    return int(element.get(f"{_TABLE}{name}", "1"))


def _is_hidden(element: ElementTree.Element) -> bool:
    return element.get(f"{_TABLE}visibility") in {"collapse", "filter"}
