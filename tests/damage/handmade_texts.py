"""Hand-made damage of text files."""

import csv
import gzip
import io
import json

from damage.folder import Change, Folder
from damage.handmade_tools import (
    LONG_CSV,
    LONG_TSV,
    edit_text,
    find,
    kind,
    map_cells,
)


@kind(LONG_CSV, "a byte-order mark in the middle")
def _(folder: Folder) -> list[Change]:
    return edit_text(
        folder, lambda text: text[: text.index("\n", 900) + 1] + "\ufeff" + text[text.index("\n", 900) + 1 :]
    )


@kind(LONG_CSV, "lines that end with CR LF, CR and LF")
def _(folder: Folder) -> list[Change]:
    return edit_text(
        folder, lambda text: "".join(line + ["\r\n", "\n", "\r"][i % 3] for i, line in enumerate(text.splitlines()))
    )


@kind(LONG_CSV, "NUL bytes between the letters of a part")
def _(folder: Folder) -> list[Change]:
    return edit_text(
        folder, lambda text: text[:800].encode() + text[800:1200].encode("utf-16-le") + text[1200:].encode()
    )


@kind(LONG_CSV, "a quotation mark that is not closed")
def _(folder: Folder) -> list[Change]:
    return edit_text(folder, lambda text: text.replace("P005,", '"P005,', 1))


@kind(LONG_CSV, "marks around the whole line")
def _(folder: Folder) -> list[Change]:
    return edit_text(folder, lambda text: "".join(f'"{line}"\n' for line in text.splitlines()))


@kind(LONG_CSV, "rows shown as ####")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, "export"), "Scan date/time", lambda _: "########", slice(3, 9))


@kind(LONG_CSV, "dates in two orders, half and half")
def _(folder: Folder) -> list[Change]:
    def exchange(cell: object) -> str:
        day, month, rest = str(cell).split("/")
        return f"{month}/{day}/{rest}"

    return map_cells(folder, find(folder, "export"), "Scan date/time", exchange, slice(30, None))


@kind(LONG_CSV, "some times with a time zone")
def _(folder: Folder) -> list[Change]:
    (change,) = map_cells(folder, find(folder, "export"), "Scan date/time", lambda cell: f"{cell}+08:00", slice(5, 20))
    return [change]


@kind(LONG_CSV, "a packed file under the name of a table")
def _(folder: Folder) -> list[Change]:
    return edit_text(folder, lambda text: gzip.compress(text.encode()))


@kind(LONG_CSV, "lines of notes in front")
def _(folder: Folder) -> list[Change]:
    return edit_text(folder, lambda text: f"# export, 2031\n# volumes by hand\n{text}")


@kind(LONG_CSV, "a page header every twenty lines")
def _(folder: Folder) -> list[Change]:
    def edit(text: str) -> str:
        lines = text.splitlines()
        return "\n".join(
            each for i, line in enumerate(lines) for each in ([lines[0], line] if i and i % 20 == 0 else [line])
        )

    file, sheet, _grid = find(folder, "export")
    edit_text(folder, edit)
    return [folder.change(file, sheet, [20, 41])]


@kind(LONG_CSV, "columns of fixed width")
def _(folder: Folder) -> list[Change]:
    def edit(text: str) -> str:
        return "\n".join("".join(f"{cell:<26}" for cell in row) for row in csv.reader(io.StringIO(text)))

    return edit_text(folder, edit)


@kind(LONG_CSV, "JSON under the name of a table")
def _(folder: Folder) -> list[Change]:
    return edit_text(folder, lambda text: "\n".join(json.dumps({"id": line[:4]}) for line in text.splitlines()))


@kind(LONG_TSV, "decimal commas and points in one file")
def _(folder: Folder) -> list[Change]:
    return map_cells(
        folder, find(folder, "export"), "Hematoma volume (mL)", lambda cell: str(cell).replace(".", ","), slice(10, 30)
    )


@kind(LONG_TSV, "thousands and decimals in the German form")
def _(folder: Folder) -> list[Change]:
    return map_cells(
        folder, find(folder, "export"), "Hematoma volume (mL)", lambda cell: f"{cell:.3f}".replace(".", ",")
    )


@kind(LONG_TSV, "volumes with a point for thousands")
def _(folder: Folder) -> list[Change]:
    return map_cells(
        folder, find(folder, "export"), "Hematoma volume (mL)", lambda cell: f"{1000 * cell:,.0f}".replace(",", ".")
    )


@kind("linked_tables csv", "zeros of the ids lost in one of two files")
def _(folder: Folder) -> list[Change]:
    for prefix, new in (("patients", lambda text: text[1:]), ("scans", lambda text: str(int(text[1:])))):
        file, _sheet, grid = find(folder, prefix)
        for row in grid.rows[1:]:
            row[0] = new(row[0])
    return [Change(file)]
