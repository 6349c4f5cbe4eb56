"""Ask for what no column seems to hold, and apply the answers."""

import re

import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.headers import clean
from hemexp.cohort.mapping.mapping import NO_HOURS, UNUSED, ColumnMapping, Mapping, Question
from hemexp.cohort.mapping.matched_table import MatchedTable

_TIME_WORDS = (
    r"time|hour|hrs?\b|\bh\b|min|delay|interval|between|zeit|stunde|dauer|heure|d[ée]lai|hora|tiempo|\bor[ae]\b|tempo"
    r"|时|间隔"
)
_TIMED = ("scan_time", "scan_date", "hours_from_onset", "hours_from_first_scan")
_ONSETS = ("onset_time", "onset_date", "hours_from_onset", "onset_to_first_scan")


def ask_for_ids(matches: list[MatchedTable]) -> None:
    """Ask for the patient id where no table has one."""
    asked = any(
        question.key == "patient_id" or "patient_id" in question.candidates for m in matches for question in m.questions
    )
    if not asked and not any(match.has("patient_id") or match.has("scan_serial") for match in matches):
        for match in matches:
            if any(column.means != UNUSED for column in match.columns):
                _ask_for_ids_of(match)


def _ask_for_ids_of(table: MatchedTable) -> None:
    """Ask which column is the patient id, where none is recognized."""
    ids = [
        i
        for i, column in enumerate(table.columns)
        if column.means == UNUSED
        and column.column
        and table.cells(i).notna().all()
        and table.cells(i).nunique() > 1
        and not pd.api.types.is_float_dtype(table.cells(i))
        and not table.looks(i) & {"time", "clock", "sex", "yes_no", "pressure"}
    ]
    if ids:
        table.ask_which(ids, "patient_id")


def ask_for_times(matches: list[MatchedTable]) -> None:
    """Ask about unknown columns that may be times, where scans with a volume or the onset have none."""
    means = {column.means for match in matches for column in match.columns}
    needs_onset = not means & set(_ONSETS)
    for match in matches:
        scans = {column.scan for column in match.columns if column.means == "HM_volume"}
        timed = {column.scan for column in match.columns if column.means in _TIMED}
        is_timed_elsewhere = any(  # in a table that is linked to this one
            {column.means for column in other.columns} & set(_TIMED) and not other.has("HM_volume")
            for other in matches
            if other is not match
        )
        untimed = set() if is_timed_elsewhere else {scan for scan in scans - timed if scan is None or scan > 0}
        asked = len(match.questions)
        if untimed or needs_onset:
            _ask_for_times_of(match, sorted(untimed, key=str), needs_onset)
        if len(match.questions) == asked:
            _ask_for_hours_in_headers(match, untimed)


def _ask_for_times_of(table: MatchedTable, scans: list[int | None], needs_onset: bool) -> None:
    """Ask whether a column that is not used holds a missing time of a scan or of the onset."""
    for i, column in enumerate(table.columns):
        if column.means != UNUSED or column.sure == "asked" or table.cells(i).isna().all():
            continue
        looks = table.looks(i)
        if "time" in looks and "number" not in looks:
            kinds = ["scan_time"]
            choices = ["onset_time"] if needs_onset else []
        elif (
            looks & {"number", "duration"} and scans and re.search(_TIME_WORDS, clean(column.column).replace("_", " "))
        ):
            kinds = ["hours_from_onset", "hours_from_first_scan"]
            choices = ["onset_to_first_scan"] if needs_onset else []
        else:
            continue
        for scan in scans:
            choices += [name if scan is None else f"{name} of scan {scan + 1}" for name in kinds]
        if choices:
            table.ask([i], "means", "A time is missing. Is it this column?", [*choices, UNUSED])
            if "hours_from_onset" in kinds:
                column.unit = table.unit_of_header(i, "hours_from_onset")


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
        elif question.key == "hours":
            for column in columns.values():
                column.hours = None if question.answer == NO_HOURS else question.answer
        else:
            name, _, number = question.answer.partition(" of scan ")
            for column in columns.values():
                setattr(column, question.key, name)
                column.scan = int(number) - 1 if number else column.scan


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
