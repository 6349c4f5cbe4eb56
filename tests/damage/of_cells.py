"""Damage of cells: one cell, a run of rows, or a whole column."""

import datetime as dt
from collections.abc import Callable

from damage.choices import Choices
from damage.folder import Change, Folder, Grid
from damage.redundancy import ALONE, ONE_VALUE, SMALL_SHARE, has_partner, is_repeated, is_small, list_tied

Damage = Callable[[Folder, Choices], list[Change]]
_PLAUSIBLE = 8  # a volume that is more times as large as before disagrees with the shape features
_RARELY = 12  # times the volume of the scan before or after it
_LARGE = 10  # mL
_NEARLY_ALL = 0.8  # of the rows: a part of a column of volumes without shape features hardly shows
_SMALL_CHANGE = 0.1  # of a value
_FEW = 0.3  # of the rows: a finding about more need not name the rows
_NEW_YEAR = dt.datetime(1899, 12, 30)


class NotPossible(Exception):
    """The chosen damage cannot be done to the chosen place."""


def require(condition: object) -> None:
    if not condition:
        raise NotPossible


def is_number(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def pick_grid(folder: Folder, choices: Choices) -> tuple[str, str, Grid]:
    return choices.pick(folder.grids())


def pick_column(grid: Grid, choices: Choices, test: Callable[[object], bool] = lambda cell: cell is not None) -> int:
    """Choose a column in which at least three cells pass the test."""
    grid.pad()
    columns = [j for j in range(grid.width) if sum(test(grid.rows[i][j]) for i in grid.records) >= 3]
    require(columns)
    return choices.pick(columns)


def pick_cell(
    folder: Folder, choices: Choices, test: Callable[[object], bool] = lambda cell: cell is not None
) -> tuple[str, str, Grid, int, int]:
    file, sheet, grid = pick_grid(folder, choices)
    j = pick_column(grid, choices, test)
    i = choices.pick([i for i in grid.records if test(grid.rows[i][j])])
    return file, sheet, grid, i, j


def why_one_value(folder: Folder, grid: Grid, i: int, j: int, new: object) -> str:
    """Return why another legal value in one cell cannot be seen; empty where something else repeats the value."""
    old, header = grid.rows[i][j], str(grid.header[j])
    names = folder.names.get(header, {header})
    if isinstance(old, dt.datetime):
        same_day = isinstance(new, dt.datetime) and old.date() == new.date()
        return ONE_VALUE if same_day or not folder.is_published else ""
    if names & {"scan_time", "onset_time", "hours_from_onset"}:
        return ONE_VALUE
    if names & {"HM_volume", "ED_volume"} and is_number(old) and is_number(new) and old > 0 and new > 0:
        return ONE_VALUE if not folder.is_published or 1 / _PLAUSIBLE < new / old < _PLAUSIBLE else ""
    if not is_repeated(folder, grid, j) or is_small(header, old, new):
        return ONE_VALUE
    if j == 0 and len(folder.grids()) == 1:
        return ONE_VALUE
    own = [row for row in grid.rows if set(map(str, row)) & set(map(str, grid.rows[i])) & set(folder.patients)]
    return "" if folder.is_published or len(own) > 1 or j == 0 else ONE_VALUE


def _contradicts_next_scan(grid: Grid, i: int, j: int, new: object) -> bool:
    """Return whether a volume is far from the one before or after it in a hospital's table, hours apart."""
    header = str(grid.header[j])
    if "olume" not in header or "(ml)" not in header.lower() or not is_number(new) or float(str(new)) <= 0:
        return False
    if "CT" in header:
        columns = [k for k, text in enumerate(grid.header) if "olume" in str(text)]
        at = columns.index(j)
        others = [grid.rows[i][k] for k in columns[max(0, at - 1) : at + 2] if k != j]
    else:
        near = [k for k in (i - 1, i + 1) if k in set(grid.records)]
        others = [grid.rows[k][j] for k in near if grid.rows[k][0] == grid.rows[i][0]]
    pairs = [sorted((float(str(new)), float(str(other)))) for other in others if is_number(other)]
    return any(0 < _RARELY * small < large and large > _LARGE for small, large in pairs)


def _change_cell(test: Callable[[object], bool], make: Callable[[object, Choices], object], is_legal: bool) -> Damage:
    """Return a damage that replaces one cell; `is_legal` says that the new value may be right elsewhere."""

    def damage(folder: Folder, choices: Choices) -> list[Change]:
        file, sheet, grid, i, j = pick_cell(folder, choices, test)
        new = make(grid.rows[i][j], choices)
        require(new != grid.rows[i][j])
        change = folder.change(file, sheet, [i], [j])
        if is_legal and not _contradicts_next_scan(grid, i, j, new):
            change.unknowable = why_one_value(folder, grid, i, j, new)
        grid.rows[i][j] = new
        return [change]

    return damage


_BLANKS = [
    "NA", "N/A", "-", "--", "?", "??", ".", "missing", "unknown", "n.d.", "未查", "无", "NULL", "None", "nan", "NaN",
    "*", "/", "#N/A", "x", "pending", "見",
]  # fmt: skip
_BLANKS += ["", " ", "\u00a0", "\u3000", "\u200b"]
_AROUND = [
    "{}mL", "~{}", "ca.{}", ">{}", "<{}", "{}*", "{}?", "({})", "{}+", "{}.", "{},", "'{}", '"{}"', "{}a", "{}/",
    "{}-{}", "{};{}", "={}", "@{}", "[{}]", "{}e0", "+{}", "{}%", "≈{}", "{}±1", "O{}", "１{}",
]  # fmt: skip
_AROUND += ["{} mL", "ca. {}", "{} (repeat)", " {} ", "{} {}", "\u00a0{}", "{}\n", "{}\t", "{}\x00", "{}\u202c"]
_CODES = [0, -1, -9, 9, 99, 999, 9999, 99999, 1e308, -0.0, 1e-300, 2**63, True, False]
_DATES = ["", "31/02/2031 10:00", "2031-13-01 10:00", "2031-05-04", "10:00", "04.05.31 10:00", "May 4, 2031 10 am",
          "2031-05-04T10:00:00Z", "2031-05-04 25:00", "20310504 1000", "unknown", "2031-05-04 24:00",
          "0000-00-00 00:00", "1900-01-00 00:00:00", "44321.5", "2031/5/4 下午 3:20"]  # fmt: skip


def is_time(cell: object) -> bool:
    return isinstance(cell, dt.datetime) or (isinstance(cell, str) and cell.count(":") in {1, 2} and len(cell) > 8)


def shift_time(cell: object, delta: dt.timedelta) -> object:
    """Return a time, or a text of one of the forms of `damage.cohorts`, moved."""
    if isinstance(cell, dt.datetime):
        return cell + delta
    for form in ("%d/%m/%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"):
        try:
            return (dt.datetime.strptime(str(cell), form) + delta).strftime(form)
        except ValueError:
            continue
    raise NotPossible


_TIME_FORMS = [
    "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%Y-%m-%d", "%d.%m.%y %H:%M", "%I:%M %d/%m/%Y", "%Y/%m/%d %I:%M", "%H:%M",
    "%Y%m%d%H%M", "%b %d %Y %H:%M",
]  # fmt: skip
_DELTAS = [
    dt.timedelta(hours=hours) for hours in (-24 * 365, -24 * 30, -24, -12, -8, -1, 1, 8, 12, 24, 24 * 365, 35064)
]


def _drop_digit(cell: object, choices: Choices) -> object:
    text = str(cell)
    at = choices.between(0, len(text) - 1)
    rest = text[:at] + text[at + 1 :]
    require(rest.replace(".", "", 1).isdigit())
    return type(cell)(float(rest))


ONE_CELL: dict[str, Damage] = {
    "a blank or a missing-value mark in one cell": _change_cell(
        lambda cell: cell is not None, lambda cell, choices: choices.pick(_BLANKS), False
    ),
    "text around one number": _change_cell(
        is_number, lambda cell, choices: choices.pick(_AROUND).replace("{}", str(cell)), False
    ),
    "a code or an impossible number in one cell": _change_cell(
        is_number, lambda cell, choices: choices.pick(_CODES), True
    ),
    "the sign of one number": _change_cell(lambda cell: is_number(cell) and cell != 0, lambda cell, _: -cell, False),
    "a digit dropped": _change_cell(lambda cell: is_number(cell) and abs(cell) >= 10, _drop_digit, True),
    "one number times ten or a thousand": _change_cell(
        lambda cell: is_number(cell) and cell != 0,
        lambda cell, choices: cell * choices.pick([10, 100, 1000, 0.1, 0.01, 0.001]),
        True,
    ),
    "a decimal comma in one number": _change_cell(
        lambda cell: isinstance(cell, float), lambda cell, _: str(cell).replace(".", ","), False
    ),
    "one number as text": _change_cell(is_number, lambda cell, _: str(cell), False),
    "one date of another form": _change_cell(is_time, lambda cell, choices: choices.pick(_DATES), True),
    "one time moved": _change_cell(is_time, lambda cell, choices: shift_time(cell, choices.pick(_DELTAS)), True),
    "a text of one cell changed": _change_cell(
        lambda cell: isinstance(cell, str) and len(cell) > 2,
        lambda cell, choices: choices.pick(
            [cell[1:], cell[:-1], cell + cell[-1], cell.swapcase(), f" {cell} ", cell[::-1]]
        ),
        True,
    ),
}  # fmt: skip


def _move_values(
    folder: Folder, choices: Choices, move: Callable[[list[object], Choices], list[object]], whole: bool = False
) -> list[Change]:
    """Change the order of the values of a column within a run of rows."""
    file, sheet, grid = pick_grid(folder, choices)
    j = pick_column(grid, choices)
    records = list(grid.records)
    rows = records if whole else choices.part(records, 4)
    old = [grid.rows[i][j] for i in rows]
    new = move(old, choices)
    changed = [i for i, before, after in zip(rows, old, new, strict=True) if str(before) != str(after)]
    require(changed)
    change = folder.change(file, sheet, changed, [j])
    _explain(folder, grid, change, j, dict(zip(rows, new, strict=True)))
    for i, value in zip(rows, new, strict=True):
        grid.rows[i][j] = value
    return [change]


def _explain(folder: Folder, grid: Grid, change: Change, column: int, new: dict[int, object]) -> None:
    """Say why a change of a column cannot be seen, if so; a change of most rows need not be named by rows."""
    if not is_repeated(folder, grid, column):
        change.unknowable = ALONE
    elif len(change.rows) <= (_FEW if folder.is_published else _NEARLY_ALL) * len(grid.records):
        reasons = [why_one_value(folder, grid, i, column, new[i]) for i in change.rows]
        change.unknowable = reasons[0] if all(reasons) else ""
    elif not folder.is_published and all(_is_rounding(grid.rows[i][column], value) for i, value in new.items()):
        change.unknowable = ONE_VALUE
    if len(change.rows) > _FEW * len(grid.records):
        change.rows.clear()


def _is_rounding(old: object, new: object) -> bool:
    return is_number(old) and is_number(new) and abs(new - old) <= _SMALL_CHANGE * abs(old)


def _sort(values: list[object], choices: Choices) -> list[object]:
    require(len({type(value) for value in values if value is not None}) == 1)
    filled = sorted((value for value in values if value is not None), reverse=bool(choices.below(2)))
    return filled + [None] * (len(values) - len(filled))


def _exchange_two(values: list[object], choices: Choices) -> list[object]:
    a, b = choices.below(len(values)), choices.below(len(values))
    moved = list(values)
    moved[a], moved[b] = moved[b], moved[a]
    return moved


def _exchange_cells(folder: Folder, choices: Choices) -> list[Change]:
    """Exchange two cells of a column; volumes that are much alike show nothing."""
    file, sheet, grid = pick_grid(folder, choices)
    j = pick_column(grid, choices)
    a, b = choices.pick(list(grid.records)), choices.pick(list(grid.records))
    old = grid.rows[a][j], grid.rows[b][j]
    require(str(old[0]) != str(old[1]))
    change = folder.change(file, sheet, [a, b], [j])
    reasons = [why_one_value(folder, grid, i, j, new) for i, new in ((a, old[1]), (b, old[0]))]
    change.unknowable = reasons[0] if all(reasons) else ""
    grid.rows[a][j], grid.rows[b][j] = old[1], old[0]
    return [change]


def _exchange_columns(folder: Folder, choices: Choices) -> list[Change]:
    """Exchange the values of two columns of the same kind, below their headers."""
    file, sheet, grid = pick_grid(folder, choices)
    a = pick_column(grid, choices)
    kind = {type(grid.rows[i][a]) for i in grid.records}
    others = [
        j
        for j in range(grid.width)
        if j != a
        and {type(grid.rows[i][j]) for i in grid.records} & kind - {type(None)}
        and any(grid.rows[i][j] != grid.rows[i][a] for i in grid.records)
    ]
    require(others)
    b = choices.pick(others)
    changes = [folder.change(file, sheet, columns=[j]) for j in (a, b)]
    if not has_partner(folder, grid, a) and not has_partner(folder, grid, b):
        changes[0].unknowable = ALONE
    for i in grid.records:
        grid.rows[i][a], grid.rows[i][b] = grid.rows[i][b], grid.rows[i][a]
    changes[0].columns |= changes[1].columns  # a finding about one of the two columns names the exchange
    changes[0].column_words |= changes[1].column_words
    return changes[:1]


def _map_values(
    test: Callable[[object], bool],
    make: Callable[[Choices], Callable[[object], object]],
    shows: Callable[[Folder, Grid, int], bool],
) -> Damage:
    """Return a damage of all, or of a run of, the cells of a column; `shows` says whether anything repeats it."""

    def damage(folder: Folder, choices: Choices) -> list[Change]:
        file, sheet, grid = pick_grid(folder, choices)
        j = pick_column(grid, choices, test)
        records = [i for i in grid.records if test(grid.rows[i][j])]
        rows = choices.part(records, 3) if choices.below(2) else records
        function = make(choices)
        new = {i: function(grid.rows[i][j]) for i in rows}
        rows = [i for i in rows if str(new[i]) != str(grid.rows[i][j])]
        require(rows)
        change = folder.change(file, sheet, rows, [j])
        if shows is is_repeated:
            _explain(folder, grid, change, j, new)
        elif not shows(folder, grid, j):
            change.unknowable = ALONE
        elif all(is_small(str(grid.header[j]), grid.rows[i][j], new[i]) for i in rows):
            change.unknowable = ONE_VALUE
        if len(rows) > _FEW * len(records):
            change.rows.clear()
        for i in rows:
            grid.rows[i][j] = new[i]
        return [change]

    return damage


def _scale(choices: Choices) -> Callable[[object], object]:
    factor = choices.pick([10, 100, 1000, 0.1, 0.01, 0.001, 60, 1 / 60, 24, 1 / 24, 7.50062, 1e6, -1])
    return lambda cell: cell * factor


def _constant(choices: Choices) -> Callable[[object], object]:
    seen: list[object] = []
    return lambda cell: seen[0] if seen else seen.append(cell) or cell


def _move_column_of_times(folder: Folder, choices: Choices) -> list[Change]:
    """Move all times of a column, or a run of them; only another day than that of a serial shows."""
    file, sheet, grid = pick_grid(folder, choices)
    j = pick_column(grid, choices, is_time)
    rows = [i for i in grid.records if is_time(grid.rows[i][j])]
    rows = choices.part(rows) if choices.below(2) else rows
    delta = choices.pick(_DELTAS)
    change = folder.change(file, sheet, rows, [j])
    new = {i: shift_time(grid.rows[i][j], delta) for i in rows}
    same_day = all(str(new[i])[:10] == str(grid.rows[i][j])[:10] for i in rows)
    change.unknowable = ONE_VALUE if same_day or not folder.is_published else ""
    if len(rows) > _FEW * len(grid.records):
        change.rows.clear()
    for i in rows:
        grid.rows[i][j] = new[i]
    return [change]


def _write_times(choices: Choices) -> Callable[[object], object]:
    form = choices.pick(_TIME_FORMS)

    def write(cell: object) -> object:
        require(isinstance(cell, dt.datetime))
        return cell.strftime(form)

    return write


def _as_serial(choices: Choices) -> Callable[[object], object]:
    offset = choices.pick([0, 1462])

    def count_days(cell: object) -> object:
        require(isinstance(cell, dt.datetime))
        return (cell - _NEW_YEAR).total_seconds() / 86400 - offset

    return count_days


_OF_UNIT = {"age", "systolic", "diastolic"}


def _has_unit(folder: Folder, grid: Grid, column: int) -> bool:
    """Return whether a wrong unit shows: something repeats the values, or they have a usual size."""
    names = folder.names.get(str(grid.header[column]), set())
    return is_repeated(folder, grid, column) or bool(names & _OF_UNIT)


COLUMN: dict[str, Damage] = {
    "a column moved down by a row": lambda folder, choices: _move_values(
        folder, choices, lambda values, _: [None, *values[:-1]], True
    ),
    "a column moved up by a row": lambda folder, choices: _move_values(
        folder, choices, lambda values, _: [*values[1:], None], True
    ),
    "a column rotated by some rows": lambda folder, choices: _move_values(
        folder, choices, lambda values, choices: values[(k := choices.between(1, len(values) - 1)) :] + values[:k], True
    ),
    "a run of a column moved": lambda folder, choices: _move_values(
        folder, choices, lambda values, _: [*values[1:], values[0]]
    ),
    "a run of a column reversed": lambda folder, choices: _move_values(folder, choices, lambda values, _: values[::-1]),
    "a column sorted without the others": lambda folder, choices: _move_values(folder, choices, _sort, True),
    "a run of a column sorted without the others": lambda folder, choices: _move_values(folder, choices, _sort),
    "two cells of a column exchanged": _exchange_cells,
    "the values of two columns exchanged": _exchange_columns,
    "a column in another unit": _map_values(is_number, _scale, _has_unit),
    "one value filled down": _map_values(lambda cell: cell is not None, _constant, is_repeated),
    "a column rounded": _map_values(
        lambda cell: isinstance(cell, float), lambda _: lambda cell: float(round(cell)), is_repeated
    ),
    "a column cleared": _map_values(lambda cell: cell is not None, lambda _: lambda cell: None, lambda *_: True),
    "a column as text": _map_values(is_number, lambda _: str, lambda *_: True),
    "a column with decimal commas": _map_values(
        lambda cell: isinstance(cell, float), lambda _: lambda cell: str(cell).replace(".", ","), lambda *_: True
    ),
    "a column with thousands separated": _map_values(
        lambda cell: is_number(cell) and abs(cell) >= 1000, lambda _: lambda cell: f"{cell:,}", lambda *_: True
    ),
    "times moved": _move_column_of_times,
    "times written as text": _map_values(is_time, _write_times, lambda *_: True),
    "times as numbers of days": _map_values(is_time, _as_serial, lambda *_: True),
}


def _shift_row(folder: Folder, choices: Choices) -> list[Change]:
    """Insert or delete a cell in a row: the cells right of it move."""
    file, sheet, grid = pick_grid(folder, choices)
    grid.pad()
    i, j = choices.pick(list(grid.records)), choices.below(grid.width - 1)
    before = list(grid.rows[i])
    change = folder.change(file, sheet, [i])
    if choices.below(2):
        grid.rows[i].insert(j, None)
        grid.rows[i].pop()
    else:
        grid.rows[i].pop(j)
        grid.rows[i].append(None)
    after, grid.rows[i] = grid.rows[i], before
    moved = [k for k in range(grid.width) if str(before[k]) != str(after[k])]
    require(moved)
    if all(why_one_value(folder, grid, i, k, after[k]) for k in moved):
        change.unknowable = ONE_VALUE
    grid.rows[i] = after
    return [change]


def _have_equal_sums(grid: Grid, a: int, b: int, columns: list[int]) -> bool:
    """Return whether parts of two rows are shares of territories with the same sum."""
    if not all(str(grid.header[j]).startswith("HM_") and str(grid.header[j]).endswith("_Ratio") for j in columns):
        return False
    sums = [sum(grid.rows[i][j] for j in columns if is_number(grid.rows[i][j])) for i in (a, b)]
    return abs(sums[0] - sums[1]) < SMALL_SHARE


def _exchange_rows(folder: Folder, choices: Choices) -> list[Change]:
    """Exchange the cells of two rows in a run of columns."""
    file, sheet, grid = pick_grid(folder, choices)
    grid.pad()
    a, b = choices.pick(list(grid.records)), choices.pick(list(grid.records))
    columns = choices.part(range(grid.width))
    require(any(str(grid.rows[a][j]) != str(grid.rows[b][j]) for j in columns))
    change = folder.change(file, sheet, [a, b])
    others = [j for j in range(grid.width) if j not in columns]  # it is the same to exchange these instead
    if _have_equal_sums(grid, a, b, columns) or _have_equal_sums(grid, a, b, others):
        change.unknowable = ONE_VALUE
    for part in (columns, others):
        reasons = [
            why_one_value(folder, grid, i, j, grid.rows[other][j])
            for j in list_tied(grid, part)
            for i, other in ((a, b), (b, a))
            if str(grid.rows[a][j]) != str(grid.rows[b][j])
        ]
        if all(reasons):
            change.unknowable = reasons[0] if reasons else ONE_VALUE
    for j in columns:
        grid.rows[a][j], grid.rows[b][j] = grid.rows[b][j], grid.rows[a][j]
    return [change]


def _shift_columns_of_table(folder: Folder, choices: Choices) -> list[Change]:
    """Move several neighboring columns down by a row: the table was sorted or pasted in part."""
    file, sheet, grid = pick_grid(folder, choices)
    grid.pad()
    columns = choices.part(range(grid.width), 2)
    records = list(grid.records)
    change = folder.change(file, sheet, columns=columns)
    others = [j for j in range(grid.width) if j not in columns]
    if not all(any(is_repeated(folder, grid, j) for j in part) for part in (columns, others)):
        change.unknowable = ALONE
    for j in columns:
        values = [grid.rows[i][j] for i in records]
        for i, value in zip(records, [values[-1], *values[:-1]], strict=True):
            grid.rows[i][j] = value
    return [change]


ROWS: dict[str, Damage] = {
    "the cells of a row moved sideways": _shift_row,
    "parts of two rows exchanged": _exchange_rows,
    "some columns moved against the others": _shift_columns_of_table,
}
