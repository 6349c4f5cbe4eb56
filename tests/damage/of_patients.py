"""Damage of identities: a patient under two ids, and ids that are written in another way."""

import datetime as dt

from damage.choices import Choices
from damage.folder import Change, Folder, Grid
from damage.of_cells import Damage, is_time, require, shift_time

_FEW_DIGITS = 2
_WAYS = {
    "upper case": str.upper,
    "a space behind": lambda text: f"{text} ",
    "a space before": lambda text: f" {text}",
    "no zeros": lambda text: text[:1] + text[1:].replace("0", "", 1),
    "a zero more": lambda text: f"{text[:-1]}0{text[-1]}",
    "full width": lambda text: text.translate({ord(str(k)): chr(0xFF10 + k) for k in range(10)}),
    "an apostrophe": lambda text: f"'{text}",
    "a zero-width space": lambda text: f"{text}\u200b",
    "a dot": lambda text: f"{text}.",
    "a decimal": lambda text: f"{text}.0",
    "O for 0": lambda text: text.replace("0", "O"),
    "a hyphen": lambda text: f"{text[:1]}-{text[1:]}",
    "a formula": lambda text: f"=-{text}",
    "another digit": lambda text: text[:-1] + str((int(text[-1]) + 5) % 10),
}


def _id_columns(folder: Folder, grid: Grid) -> list[int]:
    grid.pad()
    return [j for j in range(grid.width) if any(str(grid.rows[i][j]) in folder.patients for i in grid.records)]


def _rewrite_ids(folder: Folder, choices: Choices) -> list[Change]:
    """Write the patient ids of one, of some or of all rows of one table in another way."""
    file, sheet, grid = choices.pick(folder.grids())
    columns = _id_columns(folder, grid)[:1]
    require(columns)
    j = columns[0]
    rows = [i for i in grid.records if isinstance(grid.rows[i][j], str)]
    require(rows)
    rows = choices.pick([rows, choices.part(rows), [choices.pick(rows)]])
    way = _WAYS[choices.pick(list(_WAYS))]
    change = folder.change(file, sheet, rows, [j])
    new = [way(str(grid.rows[i][j])) for i in rows]
    require(any(text != grid.rows[i][j] for text, i in zip(new, rows, strict=True)))
    if len(folder.grids()) == 1:
        whole = {grid.rows[i][j] for i in rows}.isdisjoint(grid.rows[i][j] for i in grid.records if i not in rows)
        if whole and len(set(new)) == len({grid.rows[i][j] for i in rows}):
            for text, i in zip(new, rows, strict=True):
                change.rename(text, str(grid.rows[i][j]))
    change.row_words |= set(new)
    change.columns.clear()
    if len(rows) > 0.3 * len(grid.records):
        change.rows.clear()
    for i, text in zip(rows, new, strict=True):
        grid.rows[i][j] = text
    return [change]


def _exchange_ids(folder: Folder, choices: Choices) -> list[Change]:
    """Give the rows of two patients in one table each other's id."""
    file, sheet, grid = choices.pick(folder.grids())
    columns = _id_columns(folder, grid)[:1]
    require(columns)
    j = columns[0]
    ids = list(dict.fromkeys(str(grid.rows[i][j]) for i in grid.records if str(grid.rows[i][j]) in folder.patients))
    a, b = choices.pick(ids), choices.pick(ids)
    require(a != b)
    rows = [i for i in grid.records if str(grid.rows[i][j]) in {a, b}]
    change = folder.change(file, sheet, rows)
    if not folder.is_published:
        change.unknowable = "the id is the only link between the tables"
    elif a.isdigit() and file.startswith("表3"):
        change.unknowable = "" if _differ_much(grid, rows) else "the two scans are of about the same size"
    for i in rows:
        value = grid.rows[i][j]
        new = b if str(value) == a else a
        grid.rows[i][j] = int(new) if isinstance(value, int) else new
    return [change]


def _differ_much(grid: Grid, rows: list[int]) -> bool:
    """Return whether the volumes of two scans are so far apart that they cannot be each other's."""
    volumes = [float(str(grid.rows[i][grid.header.index("original_shape_VoxelVolume")])) for i in rows]
    return max(volumes) > 8 * min(volumes)


def _copy_patient(folder: Folder, choices: Choices) -> list[Change]:
    """Repeat a patient in all tables under another id, with other serials, the same day or another one."""
    ids = sorted(set(folder.patients.values()))
    patient, number = choices.pick(ids), choices.between(1, 99)
    days = dt.timedelta(days=choices.pick([0, 0, 1, 400]))
    changes = []
    for file, sheet, grid in folder.grids():
        rows = [i for i in grid.records if any(folder.patients.get(str(cell)) == patient for cell in grid.rows[i])]
        if not rows:
            continue
        change = folder.change(file, sheet, rows)
        for i in rows:
            row = [_copy_cell(folder, patient, cell, number, days) for cell in grid.rows[i]]
            change.row_words |= {str(cell) for cell in row if f"X{number:02d}" in str(cell)}
            grid.insert_row(len(grid.rows), row)
        changes.append(change)
    if not folder.is_published and _is_round(folder, patient):
        changes[0].unknowable = "too few values that are not round agree to rule out chance"
    merged = changes[0]  # a finding in one of the tables names the patient
    for change in changes[1:]:
        merged.row_words |= change.row_words
    return [merged]


def _is_round(folder: Folder, patient: str) -> bool:
    """Return whether the volumes of a patient have nearly no digits that another patient's would not have."""
    rows = [row for _, _, grid in folder.grids() for row in grid.rows if patient in map(str, row)]
    volumes = [str(cell).replace(".", "").strip("0") for row in rows for cell in row if isinstance(cell, float)]
    return sum(max(len(digits) - 1, 0) for digits in volumes) <= _FEW_DIGITS


def _copy_cell(folder: Folder, patient: str, cell: object, number: int, days: dt.timedelta) -> object:
    text = str(cell)
    if text == patient or (folder.patients.get(text) == patient and not text.isdigit()):
        return f"X{number:02d}"
    if folder.patients.get(text) == patient:
        day = dt.datetime.strptime(text[:8], "%Y%m%d") + days
        new = f"{day:%Y%m%d}{(int(text[8:]) + number) % 1_000_000:06d}"
        return int(new) if isinstance(cell, int) else new
    return shift_time(cell, days) if is_time(cell) else cell


def _copy_scan(folder: Folder, choices: Choices) -> list[Change]:
    """Repeat the last scan of a patient as a further scan, some hours later."""
    file, sheet, grid = choices.pick(folder.grids())
    times = [j for j in range(grid.width) if is_time(grid.rows[-1][j]) and "nset" not in str(grid.header[j])]
    require(not folder.is_published and len(times) == 1)
    i = choices.pick(list(grid.records))
    change = folder.change(file, sheet, [i])
    change.unknowable = "a second scan that measured the same"
    row = list(grid.rows[i])
    row[times[0]] = shift_time(row[times[0]], dt.timedelta(hours=choices.between(1, 20), minutes=7))
    grid.insert_row(i + 1, row)
    change.rows |= {i + 1}
    return [change]


PATIENTS: dict[str, Damage] = {
    "ids written in another way": _rewrite_ids,
    "the ids of two patients exchanged": _exchange_ids,
    "a patient copied under another id": _copy_patient,
    "a scan copied as a new scan": _copy_scan,
}
