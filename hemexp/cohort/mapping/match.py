"""Match the tables of a hospital with the columns that hemexp knows."""

from hemexp.cohort.mapping.formats import find_formats
from hemexp.cohort.mapping.given import apply_given
from hemexp.cohort.mapping.guess import guess_meanings, name_families
from hemexp.cohort.mapping.mapping import UNUSED, Mapping, TableMapping
from hemexp.cohort.mapping.matched_table import MatchedTable
from hemexp.cohort.mapping.questions import ask_for_ids, ask_for_times, ask_for_volumes, list_unanswered
from hemexp.cohort.tables.sheet import Sheet
from hemexp.errors import UserError

_SHOWN = 5  # columns in a message
_DICTIONARY = "hemexp"  # in a header of the data dictionary of our template, which holds no data


def match_sheets(sheets: list[Sheet], kind: str, given: Mapping | None = None) -> Mapping:
    """Return the mapping of the tables, with its open questions.

    Args:
        sheets: all tables of the cohort.
        kind: ``workbook`` and ``tidy`` have fixed units and codes, so nothing is asked; ``mapped`` has not.
        given: the mapping of the user, with its answers. Only what it leaves open is guessed.

    Raises:
        UserError: the given mapping names a table or a column that is not there.
    """
    tables = given.tables if given else []
    places = {(table.file, table.sheet): table for table in tables}
    free = [table for table in tables if (table.file, table.sheet) not in {(each.file, each.name) for each in sheets}]
    matches: list[MatchedTable] = []
    named = {(sheet.file, sheet.name): name_families(sheet.header) for sheet in sheets} if kind == "mapped" else {}
    for sheet in sheets:
        of_sheet = places.get((sheet.file, sheet.name))
        if given and of_sheet is None:  # another file with the same columns, such as one with new patients
            headers = set(sheet.header)
            of_sheet = next((each for each in free if {column.column for column in each.columns} <= headers), None)
        if given and of_sheet is None:
            continue
        match = MatchedTable(sheet, kind, len(sheets) == 1)
        match.found_elsewhere = {
            name for place, names in named.items() if place != (sheet.file, sheet.name) for name in names
        }
        if of_sheet is None:
            guess_meanings(match)
        else:
            apply_given(match, of_sheet)
        find_formats(match)
        if is_used(match.mapping) or not holds_dictionary(sheet.header):
            matches.append(match)
    if given and not matches:
        wanted, found = ("; ".join(str(each.place) for each in list_) for list_ in (tables, sheets))
        message = f"data.mapping: is about {wanted}; the cohort holds {found or 'no table'}; rule: the same columns"
        if len(sheets) == len(tables) == 1:
            lost = [column.column for column in tables[0].columns if column.column not in sheets[0].header]
            message += f"; missing: {', '.join(map(repr, lost[:_SHOWN]))}{' ...' if len(lost) > _SHOWN else ''}"
        raise UserError(message)
    if kind == "mapped" and not given:
        ask_for_ids(matches)
        ask_for_volumes(matches)
        ask_for_times(matches)
    if kind == "mapped" and any(is_used(match.mapping) for match in matches):  # a pivot table has no patients
        matches = [match for match in matches if is_used(match.mapping) or "patient_id" in match.asked.values()]
    questions = list_unanswered(given) if given else []
    known = {(question.table, question.column, question.key) for question in questions}
    new = [question for match in matches for question in match.questions]
    questions += [question for question in new if (question.table, question.column, question.key) not in known]
    return Mapping(tables=[match.mapping for match in matches], questions=questions)


def holds_dictionary(header: list[str]) -> bool:
    """Return whether a sheet is the data dictionary of our template."""
    return any(_DICTIONARY in text for text in header)


def is_used(table: TableMapping) -> bool:
    """Return whether a table can be linked to a patient or a scan, and holds something about it."""
    known = {column.means for column in table.columns} - {UNUSED}
    return bool(known & {"patient_id", "scan_serial"}) and len(known) > 1
