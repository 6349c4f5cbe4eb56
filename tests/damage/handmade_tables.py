"""Hand-made damage of whole tables."""

import datetime as dt
import re

from damage.folder import Change, Folder
from damage.handmade_tools import CLINICAL, INDEX, LONG, SHAPES, VOLUMES, at, find, kind, map_cells, replace_rows


@kind("published", "a header of two rows")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    grid.insert_row(0, [None if j % 23 != 1 else f"第{j // 23 + 1}次" for j in range(grid.width)])
    return [folder.change(file, sheet)]


@kind("published", "the header in row 7")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, CLINICAL)
    for text in ("某医院", "脑出血患者信息表", None, "导出日期 2031-05-04", None, None):
        grid.insert_row(0, [text])
    grid.pad()
    return [folder.change(file, sheet)]


@kind("published", "twenty blank columns in front")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    for row in grid.rows:
        row[:0] = [None] * 20
    return [folder.change(file, sheet)]


@kind(LONG, "a pivot table beneath")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    first = len(grid.rows) + 3
    grid.rows += [
        [None],
        [None],
        [None],
        ["Row labels", "Count of scans", "Mean of Age"],
        ["F", 30, 66.2],
        ["M", 34, 63.0],
        ["Grand total", 64, 64.5],
    ]
    grid.pad()
    return [folder.change(file, sheet, list(range(first, first + 4)))]


@kind(LONG, "a pivot table beside")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    width = grid.width
    for i, cells in enumerate([["Row labels", "Count"], ["F", 30], ["M", 34]]):
        grid.rows[i] += [None, None, *cells]
    grid.pad()
    change = folder.change(file, sheet, columns=[width + 2, width + 3])
    return [change]


@kind(LONG, "a second table beneath with its own header")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    rows = [list(row) for row in grid.rows]
    grid.rows[40:] = []
    first = len(grid.rows) + 1
    grid.rows += [[None], [*rows[0][:8][::-1], *rows[0][8:]]] + [[*row[:8][::-1], *row[8:]] for row in rows[40:]]
    grid.pad()
    return [folder.change(file, sheet, list(range(first, len(grid.rows))))]


@kind("published", "rows below an empty row")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, CLINICAL)
    for _ in range(3):
        grid.insert_row(10, [None] * grid.width)
    return [folder.change(file, sheet)]


@kind("published", "a row of spaces")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    grid.insert_row(10, [" ", "\u3000", "\u00a0"] * 5)
    return [folder.change(file, sheet, [10])]


@kind("published", "the last scan copied as a new scan")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    grid.pad()
    blocks = list(range(1, grid.width, 23))
    i, k = next(
        (i, k) for i in grid.records for k in range(1, len(blocks) - 1)
        if grid.rows[i][blocks[k]] is not None and grid.rows[i][blocks[k + 1]] is None
    )  # fmt: skip
    change = folder.change(file, sheet, [i], list(range(blocks[k + 1], blocks[k + 1] + 23)))
    grid.rows[i][blocks[k + 1] : blocks[k + 1] + 23] = grid.rows[i][blocks[k] : blocks[k] + 23]
    grid.rows[i][blocks[k + 1]] = int(grid.rows[i][blocks[k + 1]]) + 1
    change.row_words.add(str(grid.rows[i][blocks[k + 1]]))
    return [change]


@kind("published", "a follow-up block pasted twice under the next number")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    grid.pad()
    width = grid.width
    last = re.sub(r"\d", lambda match: str(int(match[0]) + 1), str(grid.header[width - 23]))
    for row in grid.rows:
        row += row[-23:]
    grid.header[width] = last
    return [folder.change(file, sheet, columns=list(range(width, width + 23)))]


@kind("published", "the sheets ED and Hemo under each other's name")
def _(folder: Folder) -> list[Change]:
    file, *_ = find(folder, SHAPES)
    sheets = folder.books[file].sheets
    folder.books[file].sheets = {"ED": sheets["Hemo"], "Hemo": sheets["ED"]}
    change = Change(file)
    change.column_words = {"Hemo", "ED", "HM_volume", "ED_volume"}
    return [change]


@kind("published", "two workbooks under each other's name")
def _(folder: Folder) -> list[Change]:
    (a, *_), (b, *_) = find(folder, CLINICAL), find(folder, SHAPES)
    folder.books[a], folder.books[b] = folder.books[b], folder.books[a]
    return [Change(a)]


@kind("published", "the shape features of another cohort")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, SHAPES, "Hemo")
    columns = range(2, grid.width)
    values = [row[2:] for row in grid.rows[1:]]
    for row, other in zip(grid.rows[1:], values[7:] + values[:7], strict=True):
        row[2:] = other
    change = folder.change(file, sheet, columns=list(columns))
    change.column_words |= {"HM_volume"}
    return [change]


@kind("published", "the index cut after ten patients")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    change = folder.change(file, sheet, list(range(11, len(grid.rows))))
    del grid.rows[11:]
    change.rows.clear()
    return [change]


@kind("published", "the index sorted by time below its ids")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    change = folder.change(file, sheet, columns=[0])
    ids = [row[0] for row in grid.rows[1:]][::-1]
    for row, name in zip(grid.rows[1:], ids, strict=True):
        row[0] = name
    return [change]


@kind("published", "the ids of Table 2 against its rows")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    change = folder.change(file, sheet, columns=[0])
    ids = [row[0] for row in grid.rows[1:]]
    for row, name in zip(grid.rows[1:], [ids[-1], *ids[:-1]], strict=True):
        row[0] = name
    return [change]


@kind("published", "two times of a patient exchanged in the index")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    i = next(i for i in grid.records if grid.rows[i][4] is not None)
    change = folder.change(file, sheet, [i], [2, 4])
    grid.rows[i][2], grid.rows[i][4] = grid.rows[i][4], grid.rows[i][2]
    return [change]


@kind("published", "two scans of a patient exchanged in the index")
def _(folder: Folder) -> list[Change]:
    """Time and serial move together: nothing is lost."""
    file, sheet, grid = find(folder, INDEX)
    i = next(i for i in grid.records if grid.rows[i][4] is not None)
    change = folder.change(file, sheet, [i])
    grid.rows[i][2:4], grid.rows[i][4:6] = grid.rows[i][4:6], grid.rows[i][2:4]
    return [change]


@kind(LONG, "the rows of two patients interleaved")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    grid.rows[1:] = sorted(grid.rows[1:], key=lambda row: row[1])
    return [folder.change(file, sheet)]


@kind(LONG, "two readers measured every scan")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    j = at(grid, "Hematoma volume (mL)")
    grid.rows[1:] = [each for row in grid.rows[1:] for each in (row, [*row[:j], row[j] + 0.7, *row[j + 1 :]])]
    return [folder.change(file, sheet)]


@kind(LONG, "the patient id only in the first of a patient's rows")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    seen: set[object] = set()
    for row in grid.rows[1:]:
        row[0] = seen.add(row[0]) or row[0] if row[0] not in seen else None
    return [folder.change(file, sheet, columns=[0])]


@kind(LONG, "ages as dates of birth")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, "export"), "Age", lambda cell: dt.datetime(2031 - int(str(cell)), 5, 4))


@kind(LONG, "a second column of volumes")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    j = at(grid, "Hematoma volume (mL)")
    grid.insert_column(j, ["ABC/2 volume (mL)", *(row[j] * 1.3 for row in grid.rows[1:])])
    return [folder.change(file, sheet, columns=[j])]


@kind(LONG, "one patient")
def _(folder: Folder) -> list[Change]:
    return replace_rows(folder, lambda _, row: row[0] == "P001")


@kind(LONG, "one row")
def _(folder: Folder) -> list[Change]:
    return replace_rows(folder, lambda i, _: i == 0)


@kind(LONG, "a header without rows")
def _(folder: Folder) -> list[Change]:
    return replace_rows(folder, lambda *_: False, "")


@kind(LONG, "no patient has a follow-up")
def _(folder: Folder) -> list[Change]:
    seen: set[object] = set()
    return replace_rows(folder, lambda _, row: not (row[0] in seen or seen.add(row[0])))


@kind("published", "no follow-up in Table 2")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    grid.pad()
    change = folder.change(file, sheet, columns=list(range(24, grid.width)))
    grid.rows = [row[:24] for row in grid.rows]
    change.columns.clear()
    return [change]


@kind(LONG, "three header cells with the same text")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    change = folder.change(file, sheet, columns=[5, 6, 7])
    grid.header[5:8] = ["SBP"] * 3
    return [change]


@kind(LONG, "an export with the row numbers of pandas")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, "export")
    grid.insert_column(0, [None, *range(len(grid.rows) - 1)])
    change = folder.change(file, sheet, columns=[0])
    return [change]
