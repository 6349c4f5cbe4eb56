"""Hand-made damage of cells."""

import datetime as dt

from damage.folder import Change, Folder
from damage.handmade_tools import (
    CLINICAL,
    INDEX,
    LONG,
    SHAPES,
    VOLUMES,
    find,
    kind,
    map_cells,
)
from damage.redundancy import ALONE


@kind("published", "some volumes with mL behind them")
def _(folder: Folder) -> list[Change]:
    place = find(folder, VOLUMES)
    return map_cells(folder, place, "HM_volume", lambda cell: f"{cell / 1000} mL", slice(2, 6))


@kind("published", "numbers as text in one block")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    grid.pad()
    for row in grid.rows[1:]:
        row[24:48] = [None if cell is None else str(cell) for cell in row[24:48]]
    return [folder.change(file, sheet)]


@kind("published", "percent texts among the ratios")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, VOLUMES), "HM_ACA_R_Ratio", lambda cell: f"{100 * cell:.6f}%", slice(0, 8))


@kind("published", "numbers in scientific notation as text")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, VOLUMES), "HM_volume", lambda cell: f"{cell:.9E}", slice(0, 8))


@kind("published", "serials in scientific notation")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, SHAPES), "流水号", lambda cell: f"{cell:.5E}")


@kind("published", "serials with a space after the date")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, SHAPES, "Hemo"), "流水号", lambda cell: f"{str(cell)[:8]} {str(cell)[8:]}")


@kind("published", "serials that end with .0")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, SHAPES, "Hemo"), "流水号", lambda cell: f"{cell}.0")


@kind("published", "serials whose last two digits a float has lost")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, SHAPES, "Hemo"), "流水号", lambda cell: cell // 100 * 100)


@kind("published", "histories as TRUE and FALSE")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "高血压病史", bool)


@kind("published", "histories as 1 and 2")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "高血压病史", lambda cell: cell + 1)


@kind("published", "a history the other way round")
def _(folder: Folder) -> list[Change]:
    (change,) = map_cells(folder, find(folder, CLINICAL), "饮酒史", lambda cell: 1 - cell)
    change.unknowable = ALONE
    return [change]


@kind("published", "sex as 0 and 1")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "性别", lambda cell: int(cell == "男"))


@kind("published", "ages in months")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "年龄", lambda cell: cell * 12)


@kind("published", "years of birth as ages")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "年龄", lambda cell: 2031 - cell)


@kind("published", "hours from onset in minutes")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "发病到首次影像检查时间间隔", lambda cell: cell * 60)


@kind("published", "hours from onset in days")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "发病到首次影像检查时间间隔", lambda cell: cell / 24)


@kind("published", "hours from onset as clock times")
def _(folder: Folder) -> list[Change]:
    return map_cells(
        folder,
        find(folder, CLINICAL),
        "发病到首次影像检查时间间隔",
        lambda cell: dt.datetime(1899, 12, 31) + dt.timedelta(hours=cell),
    )


@kind("published", "blood pressure in kPa")
def _(folder: Folder) -> list[Change]:
    def convert(cell: object) -> str:
        high, low = (float(text) for text in str(cell).split("/"))
        return f"{high / 7.5:.0f}/{low / 7.5:.0f}"

    return map_cells(folder, find(folder, CLINICAL), "血压", convert)


@kind("published", "diastolic before systolic")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "血压", lambda cell: "/".join(str(cell).split("/")[::-1]))


@kind("published", "blood pressures that a spreadsheet took for dates")
def _(folder: Folder) -> list[Change]:
    return map_cells(folder, find(folder, CLINICAL), "血压", lambda _: dt.datetime(2031, 5, 4), slice(0, 3))


@kind("published", "edema in mL beside hematoma in 10^-3 mL")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    columns = [j for j, text in enumerate(grid.header) if text == "ED_volume"]
    for row in grid.rows[1:]:
        for j in columns:
            if j < len(row) and row[j] is not None:
                row[j] /= 1000
    return [folder.change(file, sheet, columns=columns)]


@kind("published", "one follow-up block in mL")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    j = [j for j, text in enumerate(grid.header) if text == "HM_volume"][1]
    change = folder.change(file, sheet, columns=[j])
    for row in grid.rows[1:]:
        if j < len(row) and row[j] is not None:
            row[j] /= 1000
    return [change]


@kind("published", "a volume of minus zero")
def _(folder: Folder) -> list[Change]:
    (change,) = map_cells(folder, find(folder, VOLUMES), "HM_volume", lambda _: -0.0, slice(4, 5))
    return [change]


@kind("published", "all times at midnight")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    for row in grid.rows[1:]:
        row[:] = [
            dt.datetime(cell.year, cell.month, cell.day) if isinstance(cell, dt.datetime) else cell for cell in row
        ]
    return [folder.change(file, sheet, columns=[j for j, text in enumerate(grid.header) if "时间点" in str(text)])]


@kind("published", "day and month exchanged where both are possible")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    for row in grid.rows[1:]:
        row[:] = [
            cell.replace(month=cell.day, day=cell.month) if isinstance(cell, dt.datetime) and cell.day <= 12 else cell
            for cell in row
        ]
    return [folder.change(file, sheet, columns=[j for j, text in enumerate(grid.header) if "时间点" in str(text)])]


@kind("published", "the year of all times wrong by one")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    for row in grid.rows[1:]:
        row[:] = [cell.replace(year=2030) if isinstance(cell, dt.datetime) else cell for cell in row]
    change = folder.change(file, sheet, columns=[j for j, text in enumerate(grid.header) if "时间点" in str(text)])
    return [change]


for _id in (
    "1e5",
    "2031-05-04",
    "TRUE",
    "nan",
    "None",
    "inf",
    "=1+1",
    "@x",
    "[/red]",
    "a\nb",
    "a/b",
    "<b>x</b>",
    "007",
    "7.0",
    "x" * 300,
    "，",
    "1,5",
    "\u202eabc",
    "\U0001f9e0",
):

    @kind(LONG, f"a patient called {_id[:20]!r}")
    def _(folder: Folder, new: str = _id) -> list[Change]:
        file, sheet, grid = find(folder, "export")
        rows = [i for i in grid.records if grid.rows[i][0] == "P003"]
        change = folder.change(file, sheet, rows, [0])
        change.rename(new, "P003")
        change.row_words.add(new)
        for i in rows:
            grid.rows[i][0] = new
        return [change]
