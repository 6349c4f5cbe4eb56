"""Ask for what no column seems to hold, and apply the answers."""

import re

import pandas as pd

from hemexp.cohort import cells
from hemexp.cohort import columns as c
from hemexp.cohort.headers import FACTORS, clean, fold, read_unit
from hemexp.cohort.mapping.mapping import MISSING_CODES, NO_HOURS, UNUSED, ColumnMapping, Mapping, Question
from hemexp.cohort.mapping.matched_table import MatchedTable
from hemexp.cohort.mapping.side_by_side import number_scans

_TIME_WORDS = (
    r"time|hour|hrs?\b|\bh\b|min|delay|interval|between|zeit|stunde|dauer|heure|d[ée]lai|hora|tiempo|\bor[ae]\b|tempo"
    r"|\bday|tag\b|jour|\bd[ií]a|giorno|时|间隔|天"
)
_OTHER_TIMES = (
    r"birth|\bdob\b|geburt|naissance|nacimiento|nascita|nascimento|discharge|admission|arriv|door|\ber\b|death|"
    r"deceas|died|surg|\bop\b|aufnahme|entlass|entree|sortie|ingreso|alta\b|ricovero|dimission|lab|visit|"
    r"出生|出院|入院时间|入院日期|手术|死亡|化验"
)
_TIMED = ("scan_time", "scan_date", "hours_from_onset", "hours_from_first_scan")
_ONSETS = ("onset_time", "onset_date", "hours_from_onset", "onset_to_first_scan")
_HOURS = ["hours_from_onset", "hours_from_first_scan"]
_LEAST_FILLED = 0.8  # of the rows have a patient id; others may be notes below the table
_LEAST_IDS = 0.2  # different ids among the rows
_MOST_UNNAMED = 6  # columns of numbers that are asked about although no header names a time


def ask_about(table: MatchedTable, positions: list[int]) -> None:
    """Ask whether columns are what they are taken for; columns of the same scan compete with each other.

    Where the scans of a patient stand side by side and no header numbers them, the question is which scan it is.
    """
    groups: dict[tuple[str, int | None], list[int]] = {}
    for i in positions:
        groups.setdefault((table.columns[i].means, table.columns[i].scan), []).append(i)
    for (name, scan), group in groups.items():
        known = table.known[name]
        rivals = [i for i in table.positions(name) if table.columns[i].scan == scan and i not in group]
        is_numbered = all(table.headers[i].occasion for i in group + rivals)
        if len(group + rivals) == 1:
            of_scan = "" if scan is None else f" of scan {scan + 1}"
            others = ["onset_time"] if name == "scan_time" and not table.has("onset_time") else []
            candidates = [f"{name}{of_scan}", *others, UNUSED]
            table.ask(group, "means", f"Is this the {known.meaning.lower()}{of_scan}?", candidates)
        elif known.of == "scan" and table.has_patient_rows and not is_numbered:
            most = max(len(group + rivals), 2 + max(column.scan or 0 for column in table.columns))
            scans = [f"{name} of scan {k + 1}" for k in range(most)]
            for i in sorted(group + rivals):
                table.ask([i], "means", f"Is this a {known.meaning.lower()}? Of which scan?", [*scans, UNUSED])
        else:
            table.ask_which(sorted(group + rivals), name)
        table.set_aside(group + rivals, name)


def ask_for_ids(matches: list[MatchedTable]) -> None:
    """Ask for the patient id where no table has one."""
    if any(match.claims("patient_id", "scan_serial") for match in matches):
        return
    used = [match for match in matches if match.asked or any(column.means != UNUSED for column in match.columns)]
    for match in used or matches:
        _ask_for_ids_of(match)


def _ask_for_ids_of(table: MatchedTable) -> None:
    """Ask which column is the patient id, where none is recognized; a single candidate is taken."""
    ids = [i for i, column in enumerate(table.columns) if column.means == UNUSED and _may_be_id(table, i)]
    if len(ids) == 1 and table.cells(ids[0]).is_unique:
        table.columns[ids[0]].means, table.columns[ids[0]].sure = "patient_id", "the only column that can be it"
    elif ids:
        table.ask_which(ids, "patient_id")


def _may_be_id(table: MatchedTable, position: int) -> bool:
    """Return whether a column has a header without a unit, and cells that can be the ids of many patients."""
    values, text = table.cells(position), table.sheet.header[position]
    filled = values.dropna()
    is_measure = table.headers[position].unit or re.search(f"%|{_TIME_WORDS}", clean(text).replace("_", " "))
    if position in table.asked or not text or is_measure or len(filled) < _LEAST_FILLED * len(values):
        return False
    if pd.api.types.is_float_dtype(values) and (filled % 1 != 0).any():
        return False
    has_many = filled.nunique() > max(1, _LEAST_IDS * len(filled))
    return has_many and not table.looks(position) & {"time", "clock", "sex", "yes_no", "pressure"}


def ask_for_volumes(matches: list[MatchedTable]) -> None:
    """Ask about unknown columns of numbers with a unit of volume, where no table has a hematoma volume."""
    if any(match.claims("HM_volume") for match in matches):
        return
    for match in matches:
        found = []
        for i, column in enumerate(match.columns):
            units = {match.headers[i].unit, *map(read_unit, cells.cell_units(match.cells(i)))}
            is_volume = units & set(FACTORS["volume"]) or re.search(r"vol|体积|용적|부피", clean(column.column))
            if column.means == UNUSED and i not in match.asked and "number" in match.looks(i) and is_volume:
                found.append(i)
        for i in found:
            match.columns[i].means = "HM_volume"
        if found:
            number_scans(match)
            ask_about(match, found)


def ask_for_times(matches: list[MatchedTable]) -> None:
    """Ask about unknown columns that may be times, where scans with a volume or the onset have none."""
    needs_onset = not any(match.claims(*_ONSETS) for match in matches)
    for match in matches:
        volumes = match.claims("HM_volume")
        scans = {match.columns[i].scan for i in volumes}
        timed = {match.columns[i].scan for i in match.claims(*_TIMED)}
        is_timed_elsewhere = any(  # in a table that is linked to this one
            {column.means for column in other.columns} & set(_TIMED) and not other.has("HM_volume")
            for other in matches
            if other is not match
        )
        untimed = set() if is_timed_elsewhere else {scan for scan in scans - timed if scan is None or scan > 0}
        if untimed == {None} and len(volumes) > 1 and match.has_patient_rows:
            untimed = set(range(len(volumes)))
        clocks = _list_missing_clocks(match)
        if untimed or needs_onset or clocks:
            _ask_for_times_of(match, sorted(untimed, key=str), needs_onset, clocks)
        _ask_for_hours_in_headers(match, untimed)
        if untimed == {None}:
            _ask_for_hours_in_events(match)


def _list_missing_clocks(table: MatchedTable) -> list[str]:
    """Return the times of day that are missing beside dates, such as ``onset_clock``."""
    missing = []
    for i, column in enumerate(table.columns):
        for stem in ("onset", "scan"):
            clock = f"{stem}_clock"
            has_clock = any(
                table.holds(k, clock) and table.columns[k].scan == column.scan for k in range(len(table.columns))
            )
            if table.holds(i, f"{stem}_time", f"{stem}_date") and not has_clock and cells.holds_days(table.cells(i)):
                missing.append(
                    clock if column.scan is None or stem == "onset" else f"{clock} of scan {column.scan + 1}"
                )
    return missing


def _ask_for_times_of(
    table: MatchedTable, scans: list[int | None], needs_onset: bool, missing_clocks: list[str]
) -> None:
    """Ask whether a column that is not used holds a missing time of a scan or of the onset."""
    free = [i for i, column in enumerate(table.columns) if column.means == UNUSED and column.sure != "asked"]
    looks = {i: table.looks(i) for i in free if table.cells(i).notna().any()}
    times = {i for i, found in looks.items() if "time" in found}
    clocks = {i for i, found in looks.items() if "clock" in found and not found & {"time", "number"}}
    numbers = {i for i, found in looks.items() if found & {"number", "duration"} and i not in times | clocks and scans}
    numbers -= {i for i in numbers if _may_be_counter(table.cells(i)) or _has_other_unit(table, i)}
    others = {i for i in looks if _names_other_time(table, i)}
    times, clocks, numbers = times - others, clocks - others, numbers - others
    named = {i for i in numbers if re.search(_TIME_WORDS, clean(table.sheet.header[i]).replace("_", " "))}
    if not named and len(numbers) <= _MOST_UNNAMED:
        named = {i for i in numbers if table.sheet.header[i] and "yes_no" not in looks[i]}
    to_first = "onset_to_first_scan" if None in scans else "hours_from_onset of scan 1"
    for i in sorted(times | clocks | named):
        kinds = ["scan_time"] if i in times else ["scan_clock"] if i in clocks else _HOURS
        choices = [] if not needs_onset else [kinds[0].replace("scan", "onset") if i not in named else to_first]
        for scan in scans:
            choices += [name if scan is None else f"{name} of scan {scan + 1}" for name in kinds]
        choices = list(dict.fromkeys([*missing_clocks, *choices] if i in clocks else choices))
        if choices:
            table.ask([i], "means", "A time is missing. Which time does this column hold?", [*choices, UNUSED])
            if i in named:
                table.columns[i].unit = table.unit_of_header(i, "hours_from_onset")


def _ask_for_hours_in_events(table: MatchedTable) -> None:
    """Ask whether the names of events, such as Baseline and 24h, are the hours of the scans."""
    for i in table.positions("event_name"):
        hours = cells.event_hours(table.cells(i))
        if hours.notna().all() and hours.nunique() > 1:
            question = "No column holds the time of the scans. Are these the hours of the scans?"
            table.ask([i], "means", question, ["hours_from_first_scan", "hours_from_onset", "event_name"])


def _has_other_unit(table: MatchedTable, position: int) -> bool:
    """Return whether a header names a unit that is not one of time."""
    unit = table.headers[position].unit
    return bool(unit) and unit not in FACTORS["hours"]


def _names_other_time(table: MatchedTable, position: int) -> bool:
    """Return whether a header names the time of something else than a scan or the onset."""
    return bool(re.search(_OTHER_TIMES, fold(table.sheet.header[position]).replace("_", " ")))


def _may_be_counter(cells: pd.Series) -> bool:
    """Return whether the cells number the rows."""
    return pd.api.types.is_integer_dtype(cells) and bool(cells.is_unique) and cells.max() - cells.min() < len(cells)


def _ask_for_hours_in_headers(table: MatchedTable, scans: set[int | None]) -> None:
    """Ask whether a scan without a time was at the hours in the header of its volume, such as ``24 h volume``."""
    for i in table.positions("HM_volume"):
        kind, hours = table.headers[i].occasion or ("", 0)
        if table.columns[i].scan in scans and kind == "hours":
            question = "No column holds the time of this scan. When was it? You may write another number of hours."
            table.ask([i], "hours", question, [f"{hours} from first scan", f"{hours} from onset", NO_HOURS])


def apply_answers(mapping: Mapping) -> None:
    """Set what the answered questions say in the columns of the mapping."""
    for question in mapping.questions:
        if question.answer is None:
            continue
        columns = _find_columns(mapping, question)
        if question.key in c.known_columns():  # which of several columns it is
            for label, column in columns.items():
                column.means = question.key if label == question.answer else UNUSED
        elif question.key == "values":
            pairs = (pair.split(" = ") for pair in question.answer.split(", "))
            for column in columns.values():
                column.values = dict(pairs)
        elif question.key == "missing":
            found = question.answer.removesuffix(MISSING_CODES)
            for column in columns.values():
                column.missing = found.split(" and ") if found != question.answer else []
        elif question.key == "hours":
            for column in columns.values():
                column.hours = None if question.answer == NO_HOURS else question.answer
        else:
            name, _, number = question.answer.partition(" of scan ")
            for column in columns.values():
                setattr(column, question.key, name)
                column.scan = int(number) - 1 if number else column.scan


def list_unanswered(mapping: Mapping) -> list[Question]:
    """Return the questions that are open, apart from those that the user has answered in the columns themselves."""
    unanswered = []
    for question in mapping.open_questions:
        columns = _find_columns(mapping, question).values()
        if question.key == "means" or question.key in c.known_columns():
            is_settled = any(column.means != UNUSED for column in columns)
        else:
            is_settled = all(getattr(column, question.key) is not None for column in columns)
        if not is_settled:
            unanswered.append(question)
    return unanswered


def _find_columns(mapping: Mapping, question: Question) -> dict[str, ColumnMapping]:
    labels = question.column.split(" | ")
    found = {}
    for table in mapping.tables:
        if table.place != question.table:
            continue
        for column in table.columns:
            for label in (column.column, f"{column.column} [{column.letter}]".strip()):
                if label in labels:
                    found[label] = column
    return found
