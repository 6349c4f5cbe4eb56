"""Number the scans of a patient that stand side by side, and tell their times apart."""

from collections import Counter

from hemexp.cohort.mapping.mapping import UNUSED, ColumnMapping
from hemexp.cohort.mapping.matched_table import MatchedTable

_NUMBERS = {"number", "ordinal"}
_TIMES = {"scan": ("scan_time", "scan_date", "scan_clock"), "onset": ("onset_time", "onset_date", "onset_clock")}


def find_bare_times(table: MatchedTable) -> None:
    """Take a column of times such as ``CT`` or ``Repeat CT`` for the time of the scan."""
    for i, header in enumerate(table.headers):
        is_free = header.is_bare and not header.unit and table.columns[i].means == UNUSED
        if is_free and "time" in table.looks(i):
            table.columns[i].means, table.columns[i].sure = "scan_time", "header and values"


def number_scans(table: MatchedTable) -> None:
    """Number the scans that stand side by side: an occasion in the header, or a header that is repeated."""
    occasions: dict[int, tuple[str, int]] = {}
    latest: tuple[str, int] | None = None
    seen: Counter[str] = Counter()
    counts = table.has_patient_rows and not any(header.occasion for header in table.headers)
    repeated = {text for text, count in Counter(table.sheet.header).items() if count > 1}
    is_row_a_scan = not table.has_patient_rows and _tells_scans_apart(table)
    for i, (header, column) in enumerate(zip(table.headers, table.columns, strict=True)):
        latest = header.occasion or latest
        known = table.known.get(column.means)
        if known is None:
            continue
        is_of_patient = known.of == "patient" or (is_row_a_scan and known.role == "extra")
        if is_of_patient and header.occasion is not None:
            if table.is_later(i) and known.role != "source":
                column.means, column.sure = UNUSED, f"{known.meaning}? at a later time"
            continue
        if known.of != "scan" or is_row_a_scan:
            continue
        if header.occasion is None and table.sheet.header[i] in repeated and (latest or counts):
            seen[table.sheet.header[i]] += 1
            occasions[i] = latest or ("number", seen[table.sheet.header[i]])
        elif header.occasion is not None:
            occasions[i] = header.occasion
    keys = {i: _rank_occasion(table, i, occasions) for i in occasions}
    scan_columns = [i for i, each in enumerate(table.columns) if _is_scan_level(table, each)]
    extra = [i for i in scan_columns if table.known[table.columns[i].means].role == "extra"]
    core = [i for i in scan_columns if i not in extra]
    doubled = Counter(table.columns[i].means for i in core)
    is_wide = max(doubled.values(), default=0) > 1 and any(keys.get(i, -1) != -1 for i in core)
    if is_wide or len({keys[i] for i in core if i in keys}) > 1:
        _number_core(table, {i: keys.get(i, -1.0) for i in core})
    numbers = {keys.get(i, -1.0): table.columns[i].scan for i in core}
    for i in extra:
        key = keys.get(i, -1.0)
        if key != -1 and numbers.get(key) is None:
            meaning = table.known[table.columns[i].means].meaning
            table.columns[i].means, table.columns[i].sure = UNUSED, f"{meaning}? at a later time"
        else:
            table.columns[i].scan = numbers.get(key, 0 if any(numbers.values()) else None)


def _rank_occasion(table: MatchedTable, position: int, occasions: dict[int, tuple[str, int]]) -> float:
    """Return the place of a column's scan: a follow-up comes after the scans that have a number, as CT1 does."""
    kind, number = occasions[position]
    if kind == "first":
        return -1.0
    means = table.columns[position].means
    numbered = [n for i, (other, n) in occasions.items() if other in _NUMBERS and table.columns[i].means == means]
    if kind == "next":
        return max(numbered, default=0) + 0.5
    return float(number) + (max(numbered, default=0) if kind == "follow_up" else 0)


def _tells_scans_apart(table: MatchedTable) -> bool:
    """Return whether a column without a scan number differs between the rows of a patient: a row is then a scan."""
    ids = table.positions("patient_id")
    times = table.positions("scan_time", "scan_date", "scan_number", "scan_serial", "hours_from_onset")
    if not ids or not times or any(table.headers[i].occasion for i in times):
        return False
    groups = table.cells(times[0]).astype(str).groupby(table.cells(ids[0]).astype(str))
    return bool(groups.nunique().max() > 1)


def _number_core(table: MatchedTable, keys: dict[int, float]) -> None:
    """Number the scans by the occasions of their columns.

    Columns such as ``Baseline volume, Follow-up volume, CT1 time, CT2 time`` are numbered each by their own order.
    """
    of_means: dict[str, list[float]] = {}
    for i, key in keys.items():
        of_means.setdefault(table.columns[i].means, []).append(key)
    several = [sorted(set(each)) for each in of_means.values() if len(set(each)) > 1]
    all_keys = sorted(set(keys.values()))
    is_ranked = bool(several) and {len(each) for each in several} == {len(several[0])} and all_keys != several[0]
    for i, key in keys.items():
        own = sorted(set(of_means[table.columns[i].means]))
        if not is_ranked:
            table.columns[i].scan = all_keys.index(key)
        elif len(own) > 1:
            table.columns[i].scan = own.index(key)
        else:
            same = [each.index(key) for each in several if key in each]
            table.columns[i].scan = same[0] if same else 0 if key == -1 else len(several[0]) - 1
    count = 1 + max(table.columns[i].scan or 0 for i in keys)
    alone = [i for i in table.positions("hours_from_first_scan") if keys[i] == -1]
    if len(alone) == 1 and table.positions("hours_from_first_scan") == alone:
        if count == 2:
            table.columns[alone[0]].scan = 1
        else:
            table.columns[alone[0]].means, table.columns[alone[0]].sure = UNUSED, "of which scan?"


def _is_scan_level(table: MatchedTable, column: ColumnMapping) -> bool:
    known = table.known.get(column.means)
    return known is not None and known.of == "scan"


def tell_times_apart(table: MatchedTable) -> None:
    """Decide by the values which columns hold date and time, only a date, or only a time of day."""
    for names in _TIMES.values():
        positions = table.positions(*names)
        groups: dict[int | None, list[int]] = {}
        for i in positions:
            groups.setdefault(table.columns[i].scan, []).append(i)
        for group in groups.values():
            looks = {i: table.looks(i) for i in group}
            clocks = [i for i in group if "clock" in looks[i] and "time" not in looks[i]]
            for i in group:
                if i in clocks:
                    table.columns[i].means = names[2]
                elif "time" in looks[i]:
                    table.columns[i].means = names[1] if clocks else names[0]
                elif looks[i] & {"number", "duration"} and table.asks and table.cells(i).notna().any():
                    hours = ["hours_from_onset", "onset_to_first_scan", "hours_from_first_scan", UNUSED]
                    table.ask([i], "means", "The cells are numbers, not dates. What do they hold?", hours)
                    table.columns[i].means = UNUSED


def tell_hours_apart(table: MatchedTable) -> None:
    """Hours from onset that are the same in all scans of a patient are those of the first scan."""
    for i in table.positions("hours_from_onset"):
        ids = table.positions("patient_id")
        if not ids or table.columns[i].scan is not None:
            continue
        groups = table.cells(i).astype(str).groupby(table.cells(ids[0]).astype(str))
        if groups.size().max() > 1 and groups.nunique().max() == 1 and not table.positions("onset_to_first_scan"):
            table.columns[i].means, table.columns[i].sure = "onset_to_first_scan", "header; one value a patient"
