"""Damage of the structure of a table: headers, columns, rows and sheets."""

import copy
import re

from damage.choices import Choices
from damage.folder import Change, Folder, Grid
from damage.of_cells import Damage, is_number, pick_column, pick_grid, require
from damage.redundancy import ALONE, WHOLE, has_partner

_EDITS = {
    "a space more": lambda text, at: f"{text[:at]} {text[at:]}",
    "a letter less": lambda text, at: text[:at] + text[at + 1 :],
    "a letter twice": lambda text, at: text[: at + 1] + text[at:],
    "another letter": lambda text, at: f"{text[:at]}x{text[at + 1 :]}",
    "upper case": lambda text, at: text.upper(),
    "a line break": lambda text, at: f"{text[:at]}\n{text[at:]}",
    "a mark": lambda text, at: f"{text}*",
    "a number": lambda text, at: f"{text}.1",
    "a zero-width space": lambda text, at: f"{text[:at]}\u200b{text[at:]}",
    "full width": lambda text, at: text.replace("_", "＿").replace("(", "（"),
    "quotation marks": lambda text, at: f'"{text}"',
    "a comment": lambda text, at: f"{text} (new)",
    "two letters exchanged": lambda text, at: text[:at] + text[at : at + 2][::-1] + text[at + 2 :],
    "another digit": lambda text, at: re.sub(r"\d", lambda match: str((int(match[0]) + 1) % 10), text, count=1),
}


def _edit_header(folder: Folder, choices: Choices) -> list[Change]:
    file, sheet, grid = pick_grid(folder, choices)
    columns = [j for j, text in enumerate(grid.header) if isinstance(text, str) and len(text) > 1]
    require(columns)
    j = choices.pick(columns)
    text = str(grid.header[j])
    new = _EDITS[choices.pick(list(_EDITS))](text, choices.below(len(text)))
    require(new != text)
    change = folder.change(file, sheet, columns=[j])
    change.column_words.add(new)
    grid.header[j] = new
    return [change]


def _clear_header(folder: Folder, choices: Choices) -> list[Change]:
    file, sheet, grid = pick_grid(folder, choices)
    j = pick_column(grid, choices)
    change = folder.change(file, sheet, columns=[j])
    grid.header[j] = None
    return [change]


def _exchange_headers(folder: Folder, choices: Choices) -> list[Change]:
    file, sheet, grid = pick_grid(folder, choices)
    a, b = pick_column(grid, choices), pick_column(grid, choices)
    require(grid.header[a] != grid.header[b])
    changes = [folder.change(file, sheet, columns=[j]) for j in (a, b)]
    if not has_partner(folder, grid, a) and not has_partner(folder, grid, b):
        changes[0].unknowable = ALONE
    grid.header[a], grid.header[b] = grid.header[b], grid.header[a]
    changes[0].columns |= changes[1].columns
    changes[0].column_words |= changes[1].column_words
    return changes[:1]


def _delete_column(folder: Folder, choices: Choices) -> list[Change]:
    file, sheet, grid = pick_grid(folder, choices)
    j = pick_column(grid, choices)
    change = folder.change(file, sheet, columns=[j])
    if not folder.is_published:
        change.unknowable = "the file does not have the column, as many hospitals' files"
    grid.delete_column(j)
    change.columns.clear()
    change.columns.add(max(0, j - 1))
    return [change]


def _move_column(folder: Folder, choices: Choices) -> list[Change]:
    file, sheet, grid = pick_grid(folder, choices)
    j = pick_column(grid, choices)
    change = folder.change(file, sheet, columns=[j])
    cells = grid.delete_column(j)
    to = choices.below(grid.width + 1)
    grid.insert_column(to, cells)
    change.columns = {to}
    return [change]


def _double_column(folder: Folder, choices: Choices) -> list[Change]:
    """Copy a column, with other values or with the same, under its header or a similar one."""
    file, sheet, grid = pick_grid(folder, choices)
    j = pick_column(grid, choices)
    change = folder.change(file, sheet, columns=[j])
    cells = [row[j] for row in grid.rows]
    header = str(cells[grid.header_row] or "")
    if choices.below(2):
        cells = [cells[0], *cells[1:][::-1]]
    cells[grid.header_row] = choices.pick([header, f"{header} (2)", f"{header}.1", f"{header} old", None, f"{header} "])
    to = choices.pick([j, j + 1, grid.width])
    grid.insert_column(to, cells)
    change.columns |= {to, j, j + 1}
    if cells[grid.header_row]:
        change.column_words.add(str(cells[grid.header_row]).strip())
    return [change]


def _add_column(folder: Folder, choices: Choices) -> list[Change]:
    file, sheet, grid = pick_grid(folder, choices)
    grid.pad()
    to = choices.below(grid.width + 1)
    header = choices.pick([None, "备注", "Comment", "Volume", "ID", "Date", "x", "1", "Age", "随访9流水号"])
    value = choices.pick([None, "ok", 1, 7.5])
    cells = [value for _ in grid.rows]
    cells[grid.header_row] = header
    grid.insert_column(to, cells)
    change = folder.change(file, sheet, columns=[to])
    if not folder.is_published:
        change.unknowable = "a column that the hospital has added"
    return [change]


def _move_block(folder: Folder, choices: Choices) -> list[Change]:
    """Exchange, repeat, delete or renumber all columns of a follow-up that stands beside the others."""
    file, sheet, grid = pick_grid(folder, choices)
    grid.pad()
    starts = [j for j, text in enumerate(grid.header) if "流水号" in str(text) or str(text).startswith("Onset to CT")]
    starts = [j - 1 if "时间点" in str(grid.header[j - 1]) else j for j in starts]
    require(len(starts) > 2 and starts[0] < 4)
    ends = [*starts[1:], grid.width]
    k = choices.between(1, len(starts) - 1)
    block = range(starts[k], ends[k])
    require(any(grid.rows[i][j] is not None for i in grid.records for j in block))
    change = folder.change(file, sheet, columns=list(block))
    way = choices.pick(["delete", "repeat", "renumber", "no header", "spaces", "cells down", "copy of the one before"])
    if way == "delete":
        if not folder.is_published:
            change.unknowable = WHOLE
        for _ in block:
            grid.delete_column(block[0])
        change.columns = {max(0, block[0] - 1), block[0]}
        change.rows.clear()
    elif way == "repeat":
        for column in [[row[j] for row in grid.rows] for j in block]:
            grid.insert_column(grid.width, column)
        change.columns |= set(range(grid.width - len(block), grid.width))
    elif way == "renumber":
        for j in block:
            grid.header[j] = re.sub(r"\d", "9", str(grid.header[j]))
    elif way == "no header":
        for j in block:
            grid.header[j] = None
    elif way == "spaces":
        for j in block:
            grid.header[j] = re.sub(r"(\d)", r" \1 ", str(grid.header[j]))
    elif way == "cells down":
        if not folder.is_published:
            change.unknowable = ALONE
        for j in block:
            cells = [grid.rows[i][j] for i in grid.records]
            for i, cell in zip(grid.records, [cells[-1], *cells[:-1]], strict=True):
                grid.rows[i][j] = cell
    else:
        if not folder.is_published:
            change.unknowable = ONE_MORE
        for j, source in zip(block, range(starts[k - 1], ends[k - 1]), strict=False):
            for i in grid.records:
                grid.rows[i][j] = grid.rows[i][source]
    return [change]


ONE_MORE = "a second scan that measured the same"


def _delete_row(folder: Folder, choices: Choices) -> list[Change]:
    file, sheet, grid = pick_grid(folder, choices)
    i = choices.pick(list(grid.records))
    change = folder.change(file, sheet, [i])
    if len(folder.grids()) == 1 or (not folder.is_published and len(grid.rows) > 30):
        change.unknowable = WHOLE
    grid.delete_row(i)
    return [change]


def _double_row(folder: Folder, choices: Choices) -> list[Change]:
    """Repeat a row, as it is or with another number in one of its cells."""
    file, sheet, grid = pick_grid(folder, choices)
    i = choices.pick(list(grid.records))
    change = folder.change(file, sheet, [i])
    row = list(grid.rows[i])
    numbers = [j for j, cell in enumerate(row) if is_number(cell) and j > 1]
    if numbers and choices.below(2):
        j = choices.pick(numbers)
        row[j] = row[j] + 1
    to = choices.between(grid.header_row + 1, len(grid.rows))
    grid.insert_row(to, row)
    change.rows.add(to)
    return [change]


def _move_row(folder: Folder, choices: Choices) -> list[Change]:
    file, sheet, grid = pick_grid(folder, choices)
    i = choices.pick(list(grid.records))
    change = folder.change(file, sheet, [i])
    row = grid.delete_row(i)
    to = choices.between(grid.header_row + 1, len(grid.rows))
    grid.insert_row(to, row)
    change.rows = {to}
    return [change]


def _sort_rows(folder: Folder, choices: Choices) -> list[Change]:
    """Bring whole rows into another order; nothing is lost."""
    file, sheet, grid = pick_grid(folder, choices)
    j = pick_column(grid, choices)
    rows = sorted((grid.rows[i] for i in grid.records), key=lambda row: str(row[j]), reverse=bool(choices.below(2)))
    grid.rows[grid.header_row + 1 :] = rows
    return [folder.change(file, sheet)]


def _add_row(folder: Folder, choices: Choices) -> list[Change]:
    """Add a blank row, a title, a note, totals, or the header again."""
    file, sheet, grid = pick_grid(folder, choices)
    grid.pad()
    width = grid.width
    kind = choices.pick(["blank", "spaces", "title", "note", "totals", "header", "units", "numbers", "one cell"])
    row = [None] * width
    if kind == "spaces":
        row = [" "] * width
    elif kind in {"title", "note"}:
        row[0] = choices.pick(["Stroke unit, export of 2031", "* by hand", "注：缺失值未填", "Total", "x"])
    elif kind == "totals":
        filled = [[grid.rows[i][j] for i in grid.records if is_number(grid.rows[i][j])] for j in range(width)]
        row = [sum(cells) / len(cells) if cells else None for cells in filled]
        row[0] = choices.pick(["Mean", "合计", None, "n=24", "mean ± SD"])
    elif kind == "header":
        row = list(grid.header)
    elif kind == "units":
        row = ["unit"] * width
    elif kind == "numbers":
        row = list(range(1, width + 1))
    elif kind == "one cell":
        row[choices.below(width)] = choices.pick(["?", 5, "see file", 0.0])
    at = choices.pick([grid.header_row, grid.header_row + 1, choices.between(1, len(grid.rows)), len(grid.rows)])
    grid.insert_row(at, row)
    return [folder.change(file, sheet, [at])]


def _add_stray_cell(folder: Folder, choices: Choices) -> list[Change]:
    file, sheet, grid = pick_grid(folder, choices)
    grid.pad()
    i = choices.pick([grid.header_row, *grid.records, len(grid.rows) + choices.below(30)])
    j = grid.width + choices.below(20)
    while len(grid.rows) <= i:
        grid.insert_row(len(grid.rows), [None] * grid.width)
    change = folder.change(file, sheet, [i])
    grid.rows[i] += [None] * (j - grid.width) + [choices.pick(["x", 1, "见备注", 12.5])]
    grid.pad()
    return [change]


def _hide(folder: Folder, choices: Choices) -> list[Change]:
    """Hide rows, columns or the sheet: all is read as before."""
    file, sheet, grid = pick_grid(folder, choices)
    require(file.endswith(".xlsx"))
    way = choices.below(3)
    if way == 0:
        grid.hidden_rows |= set(choices.part(list(grid.records)))
    elif way == 1:
        grid.hidden_columns |= set(choices.part(range(grid.width)))
    else:
        require(len(folder.books[file].sheets) > 1)
        grid.is_hidden = True
    return [folder.change(file, sheet)]


def _merge(folder: Folder, choices: Choices) -> list[Change]:
    """Merge cells of a column: only the first one keeps its value."""
    file, sheet, grid = pick_grid(folder, choices)
    require(file.endswith(".xlsx") and not grid.merged)
    j = pick_column(grid, choices)
    i = choices.pick(list(grid.records)[:-1])
    last = min(i + choices.between(1, 3), len(grid.rows) - 1)
    change = folder.change(file, sheet, list(range(i, last + 1)), [j])
    for k in range(i + 1, last + 1):
        grid.rows[k][j] = None
    grid.merged.append((i, j, last, j))
    return [change]


def _cut_table(folder: Folder, choices: Choices) -> list[Change]:
    """Leave out the last rows or the last columns, as a copy of a selection does."""
    file, sheet, grid = pick_grid(folder, choices)
    grid.pad()
    if choices.below(2):
        count = choices.between(1, len(grid.records))
        change = folder.change(file, sheet, list(range(len(grid.rows) - count, len(grid.rows))))
        if len(folder.grids()) == 1 or not folder.is_published:
            change.unknowable = WHOLE
        del grid.rows[-count:]
        change.rows.clear()
    else:
        count = choices.between(1, grid.width - 1)
        columns = list(range(grid.width - count, grid.width))
        require(any(grid.rows[i][j] is not None for i in grid.records for j in columns))
        change = folder.change(file, sheet, columns=columns)
        if not folder.is_published:
            change.unknowable = "the file does not have the column, as many hospitals' files"
        grid.rows = [row[:-count] for row in grid.rows]
        change.columns.clear()
    return [change]


def _transpose(folder: Folder, choices: Choices) -> list[Change]:
    file, sheet, grid = pick_grid(folder, choices)
    grid.pad()
    grid.rows = [list(row) for row in zip(*grid.rows, strict=True)]
    return [folder.change(file, sheet)]


def _change_sheet(folder: Folder, choices: Choices) -> list[Change]:
    """Rename, delete, empty or move a sheet."""
    file = choices.pick([name for name, book in folder.books.items() if list(book.sheets) != [""]] or [None])
    require(file)
    sheets = folder.books[file].sheets
    name = choices.pick(list(sheets))
    change = folder.change(file, name)
    way = choices.pick(["rename", "delete", "empty", "last"])
    if way == "rename":
        new = choices.pick(["Sheet1 (2)", "Tabelle1", f"{name} ", name.lower() + "_old", "备份"])
        folder.books[file].sheets = {new if key == name else key: grid for key, grid in sheets.items()}
    elif way == "delete":
        require(len(sheets) > 1)
        del sheets[name]
    elif way == "empty":
        sheets[name] = Grid([[]])
    else:
        sheets[name] = sheets.pop(name)
    change.sheet = ""
    change.column_words.add(name)
    return [change]


def _add_sheet(folder: Folder, choices: Choices) -> list[Change]:
    """Add a sheet before or after the others: notes, a pivot table, or an older copy of a table."""
    file = choices.pick([name for name, book in folder.books.items() if list(book.sheets) != [""]] or [None])
    require(file)
    sheets = folder.books[file].sheets
    source = choices.pick(list(sheets))
    kind = choices.pick(["notes", "pivot", "copy", "older copy", "fewer rows", "header only", "one row"])
    grid = copy.deepcopy(sheets[source])
    grid.changes = []
    if kind == "notes":
        grid = Grid([["本表说明"], ["Volumes by hand"], [None, "see below"]])
    elif kind == "pivot":
        grid = Grid([["Sex", "Count", "Mean age"], ["M", 14, 66.1], ["F", 12, 64.0], ["Total", 26, 65.1]])
    elif kind == "older copy":
        j = pick_column(grid, choices, is_number)
        for i in grid.records:
            if is_number(grid.rows[i][j]):
                grid.rows[i][j] += 1
    elif kind == "fewer rows":
        del grid.rows[choices.between(2, max(2, len(grid.rows) - 1)) :]
    elif kind == "header only":
        del grid.rows[1:]
    elif kind == "one row":
        del grid.rows[2:]
    name = choices.pick(["Old", f"{source} (2)", "说明", "Sheet9"])
    added = {name: grid}
    folder.books[file].sheets = {**added, **sheets} if choices.below(2) else {**sheets, **added}
    return [Change(file, name)]


STRUCTURE: dict[str, Damage] = {
    "a header edited": _edit_header,
    "a header cleared": _clear_header,
    "two headers exchanged": _exchange_headers,
    "a column deleted": _delete_column,
    "a column moved": _move_column,
    "a column doubled": _double_column,
    "a column added": _add_column,
    "a follow-up block changed": _move_block,
    "a row deleted": _delete_row,
    "a row doubled": _double_row,
    "a row moved": _move_row,
    "the rows sorted": _sort_rows,
    "a row added": _add_row,
    "a stray cell": _add_stray_cell,
    "rows, columns or a sheet hidden": _hide,
    "cells merged": _merge,
    "the last rows or columns left out": _cut_table,
    "a table transposed": _transpose,
    "a sheet renamed, deleted, emptied or moved": _change_sheet,
    "a sheet added": _add_sheet,
}
