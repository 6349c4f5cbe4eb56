"""Guess the mapping of a hospital's tables from headers and values, and ask where a guess would not be safe."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.findings import column_letter
from hemexp.cohort.reading import cells
from hemexp.cohort.reading.headers import FACTORS, Header, clean, read_header, read_unit, squeeze, synonyms
from hemexp.cohort.reading.mapping import INPUT, UNUSED, ColumnMapping, Mapping, Question, TableMapping
from hemexp.cohort.reading.sheet import Sheet
from hemexp.errors import UserError

ESSENTIAL = {  # a doubtful guess of these is asked
    "patient_id", "HM_volume", "ED_volume", "scan_time", "scan_date", "onset_time", "onset_date", "hours_from_onset",
    "hours_from_first_scan", "onset_to_first_scan",
}  # fmt: skip
_TIMES = {"scan": ("scan_time", "scan_date", "scan_clock"), "onset": ("onset_time", "onset_date", "onset_clock")}
_LOOKS = {  # what the cells of a kind look like
    "number": {"number"}, "whole": {"number"}, "volume": {"number"}, "hours": {"number", "duration", "clock"},
    "yes_no": {"yes_no"}, "sex": {"sex", "yes_no"}, "pressure": {"pressure"}, "time": {"time"}, "date": {"time"},
    "clock": {"clock"}, "event": {"text", "number"},
}  # fmt: skip
_MEASURES = {"number", "volume", "hours"}
_KIND_WORDS = {
    "number": "numbers", "whole": "whole numbers", "volume": "volumes", "hours": "hours", "yes_no": "yes or no",
    "sex": "male or female", "pressure": "such as 180/90", "time": "dates", "date": "dates", "clock": "times of day",
}  # fmt: skip
_TISSUES = {"Hemo": r"hemo|hema|haema|hm|血肿", "ED": r"ed|edema|oedema|水肿"}
_MALE_WORDS = ("male", "malesex", "malegender", "男性")
_YES = {"1", "1.0", "true", "yes", "y", "ja", "oui", "si", "sí", "x", "是", "有"}
_FEMALE_WORDS = ("female", "femalesex", "女性")
_TOKEN = r"\d+|[^\W\d_]+"
_TIME_WORDS = (
    r"time|hour|hrs?\b|\bh\b|min|delay|interval|between|zeit|stunde|dauer|heure|d[ée]lai|hora|tiempo|\bor[ae]\b|tempo"
    r"|时|间隔"
)
_TIMED = ("scan_time", "scan_date", "hours_from_onset", "hours_from_first_scan")
_ONSETS = ("onset_time", "onset_date", "hours_from_onset", "onset_to_first_scan")
_SHOWN = 5  # columns in a message
_COUNTERS = {"序号", "no", "nr"}  # they may count the rows
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
    matches = []
    for sheet in sheets:
        of_sheet = places.get((sheet.file, sheet.name))
        if given and of_sheet is None:  # another file with the same columns, such as one with new patients
            headers = set(sheet.header)
            of_sheet = next((each for each in free if {column.column for column in each.columns} <= headers), None)
        if given and of_sheet is None:
            continue
        match = _Table(sheet, kind, len(sheets) == 1)
        if of_sheet is None:
            match.guess()
        else:
            match.take(of_sheet)
        match.complete()
        if is_used(match.mapping) or not any(_DICTIONARY in text for text in sheet.header):
            matches.append(match)
    if given and not matches:
        wanted, found = ("; ".join(str(each.place) for each in list_) for list_ in (tables, sheets))
        message = f"data.mapping: is about {wanted}; the cohort holds {found or 'no table'}; rule: the same columns"
        if len(sheets) == len(tables) == 1:
            lost = [column.column for column in tables[0].columns if column.column not in sheets[0].header]
            message += f"; missing: {', '.join(map(repr, lost[:_SHOWN]))}{' ...' if len(lost) > _SHOWN else ''}"
        raise UserError(message)
    if kind == "mapped" and not given:
        _ask_for_times(matches)
        _ask_for_ids(matches)
    questions = [question for match in matches for question in match.questions]
    return Mapping(tables=[match.mapping for match in matches], questions=questions)


def _ask_for_ids(matches: list["_Table"]) -> None:
    """Ask for the patient id where no table has one."""
    asked = any(
        question.key == "patient_id" or "patient_id" in question.candidates for m in matches for question in m.questions
    )
    if not asked and not any(match.has("patient_id") or match.has("scan_serial") for match in matches):
        for match in matches:
            if any(column.means != UNUSED for column in match.columns):
                match.ask_for_ids()


def _ask_for_times(matches: list["_Table"]) -> None:
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
        if untimed or needs_onset:
            match.ask_for_times(sorted(untimed, key=str), needs_onset)


def is_used(table: TableMapping) -> bool:
    """Return whether a table can be linked to a patient or a scan, and holds something about it."""
    known = {column.means for column in table.columns} - {UNUSED}
    return bool(known & {"patient_id", "scan_serial"}) and len(known) > 1


def get_factor(means: str, unit: str | None) -> float | None:
    """Return the factor from a unit to the unit of our column; None if the column cannot have this unit."""
    column = c.known_columns().get(means)
    if not unit or column is None:
        return 1.0
    spelling = read_unit(unit) or unit
    own = column.unit or ""
    if clean(spelling) == clean(own) or spelling == read_unit(own):
        return 1.0
    if column.kind in FACTORS:
        return FACTORS[column.kind].get(spelling)
    return dict(column.units).get(spelling)


class _Table:
    """The match of one table."""

    def __init__(self, sheet: Sheet, kind: str, is_alone: bool = False) -> None:
        self.sheet, self.kind, self.asks, self.is_alone = sheet, kind, kind == "mapped", is_alone
        self.known = c.known_columns()
        self.headers = [self._read(text) for text in sheet.header]
        self.columns = [
            ColumnMapping(column=text, letter=column_letter(i), means=header.means or UNUSED, unit=header.unit or None)
            for i, (text, header) in enumerate(zip(sheet.header, self.headers, strict=True))
        ]
        self.mapping = TableMapping(file=sheet.file, sheet=sheet.name, columns=self.columns)
        self.questions: list[Question] = []

    def guess(self) -> None:
        """Guess the meaning of every column from its header and its values."""
        for column, header in zip(self.columns, self.headers, strict=True):
            column.sure = "header" if header.means else ""
        self._find_patient_id()
        self._find_bare_times()
        self._number_scans()
        self._tell_times_apart()
        self._tell_hours_apart()
        if self.asks:
            self._drop_what_does_not_fit()
            self._ask_about_doubtful()
        self._choose_among_doubled()
        self._set_rows()

    def take(self, given: TableMapping) -> None:
        """Take the meaning of every column from a mapping; a column that it does not name is not used.

        Raises:
            UserError: a column of the mapping is not in the table.
        """
        by_letter = {(column.column, column.letter): column for column in given.columns}
        by_text = {column.column: column for column in given.columns}
        for position, text in enumerate(self.sheet.header):
            found = by_letter.get((text, column_letter(position)))
            if found is None and self.sheet.header.count(text) == 1:
                found = by_text.get(text)
            if found is not None:
                self.columns[position] = replace(found, letter=column_letter(position), sure="your mapping")
            else:
                self.columns[position] = ColumnMapping(
                    column=text, letter=column_letter(position), sure="not in your mapping"
                )
        texts = set(self.sheet.header)
        for column in given.columns:
            if column.column not in texts and column.means != UNUSED:
                raise UserError(
                    f"data.mapping: {self.sheet.place} has no column {column.column!r}; rule: the same headers"
                )
        for column in self.columns:
            if get_factor(column.means, column.unit) is None:
                units = " or ".join(_list_units(self.known[column.means])) or "no unit"
                place = f"data.mapping: {self.sheet.place}, column {column.column!r}"
                raise UserError(f"{place}: the unit is {column.unit!r}; rule: {units}")
            if column.values is not None:
                column.values = self._check_values(column)
        self._check_doubled(given)
        self.mapping.columns, self.mapping.rows = self.columns, given.rows

    def _check_values(self, column: ColumnMapping) -> dict[str, str]:
        """Return the codes of a column in our words.

        Raises:
            UserError: the column has no codes, or a code is not one of our words.
        """
        known = self.known.get(column.means)
        place = f"data.mapping: {self.sheet.place}, column {column.column!r}: values"
        if known is None or known.kind not in {"sex", "yes_no"}:
            raise UserError(f"{place} are given; rule: only for a column of the sex or of yes and no; remove them")
        words = {text: cells.read_code(clean(word), known.kind) for text, word in (column.values or {}).items()}
        for text, word in words.items():
            if not word:
                rule = "male or female" if known.kind == "sex" else "yes or no"
                raise UserError(f"{place}: {text!r} is {(column.values or {})[text]!r}; rule: {rule}")
        return words

    def _check_doubled(self, given: TableMapping) -> None:
        """Check that two columns of the user's mapping do not hold the same.

        Raises:
            UserError: two do.
        """
        groups: dict[tuple[str, int | None], list[int]] = {}
        for i, column in enumerate(self.columns):
            if column.means not in {UNUSED, INPUT} and self.asks:
                groups.setdefault((column.means, column.scan), []).append(i)
        for (name, _), positions in groups.items():
            if len(positions) > 1:
                labels = " and ".join(map(self._label, positions))
                rule = "one of them, or scan: 0, 1, ... where the scans of a patient are side by side"
                raise UserError(f"data.mapping: {given.place}: {labels} are {name}; rule: {rule}")

    def complete(self) -> None:
        """Find or ask the unit, the codes and the order of dates of every used column that lacks them."""
        for position, column in enumerate(self.columns):
            if column.means in {UNUSED, INPUT}:
                column.unit = None
                continue
            self._find_unit(position, column)
            if column.values is None:
                self._find_codes(position, column)
        self._find_date_orders()
        for position, column in enumerate(self.columns):
            column.examples = self._examples(position)

    def ask_for_times(self, scans: list[int | None], needs_onset: bool) -> None:
        """Ask whether a column that is not used holds a missing time of a scan or of the onset."""
        for i, column in enumerate(self.columns):
            if column.means != UNUSED or column.sure == "asked" or self._cells(i).isna().all():
                continue
            looks = self._looks(i)
            if "time" in looks and "number" not in looks:
                kinds = ["scan_time"]
                choices = ["onset_time"] if needs_onset else []
            elif (
                looks & {"number", "duration"}
                and scans
                and re.search(_TIME_WORDS, clean(column.column).replace("_", " "))
            ):
                kinds = ["hours_from_onset", "hours_from_first_scan"]
                choices = ["onset_to_first_scan"] if needs_onset else []
            else:
                continue
            for scan in scans:
                choices += [name if scan is None else f"{name} of scan {scan + 1}" for name in kinds]
            if choices:
                self._ask([i], "means", "A time is missing. Is it this column?", [*choices, UNUSED])
                if "hours_from_onset" in kinds:
                    column.unit = self._unit_of_header(i, "hours_from_onset")

    def ask_for_ids(self) -> None:
        """Ask which column is the patient id, where none is recognized."""
        ids = [
            i
            for i, column in enumerate(self.columns)
            if column.means == UNUSED
            and column.column
            and self._cells(i).notna().all()
            and self._cells(i).nunique() > 1
            and not pd.api.types.is_float_dtype(self._cells(i))
            and not self._looks(i) & {"time", "clock", "sex", "yes_no", "pressure"}
        ]
        if ids:
            self._ask_which(ids, "patient_id")

    def has(self, means: str) -> bool:
        """Return whether a column has this meaning."""
        return bool(self._positions(means))

    def _unit_of_header(self, position: int, means: str) -> str | None:
        """Return the unit in a header, if the column may have it."""
        unit = self.headers[position].unit or None
        return unit if get_factor(means, unit) is not None else None

    def _read(self, text: str) -> Header:
        if text in (*c.SHAPE, *c.FIRST_ORDER):
            for tissue, pattern in _TISSUES.items():
                if re.search(rf"(?<![a-z])(?:{pattern})(?![a-z])", clean(self.sheet.name)):
                    return Header(f"{tissue}_{text}", True)
            return Header(guess="", unit="")
        if text == c.SIMULATED:
            return Header()
        return read_header(text)

    def _cells(self, position: int) -> pd.Series:
        return self.sheet.columns[position]

    def _looks(self, position: int) -> set[str]:
        return cells.looks_like(self._cells(position))

    def _examples(self, position: int) -> list[str]:
        values = self._cells(position).dropna().head(1000).unique()[:3]
        return [_show(value) for value in values]

    def _positions(self, *means: str) -> list[int]:
        return [i for i, column in enumerate(self.columns) if column.means in means]

    def _label(self, position: int) -> str:
        text = self.sheet.header[position]
        return text if self.sheet.header.count(text) == 1 and text else f"{text} [{column_letter(position)}]".strip()

    def _ask(self, positions: Iterable[int], key: str, question: str, candidates: list[str]) -> None:
        positions = list(positions)
        self.questions.append(
            Question(
                table=self.mapping.place,
                column=" | ".join(self._label(i) for i in positions),
                key=key,
                question=question,
                examples=self._examples(positions[0]) if len(positions) == 1 else [
                    f"{self._label(i)}: {', '.join(self._examples(i))}" for i in positions
                ],
                candidates=candidates,
            )
        )  # fmt: skip
        for position in positions:
            self.columns[position].sure = "asked"

    def _find_patient_id(self) -> None:
        """Take a first column without a header as the patient id, as in the published Table 1."""
        without_header = not self._positions("patient_id") and self.sheet.header and not self.sheet.header[0]
        if without_header and self._cells(0).notna().all() and self._cells(0).nunique() > 1:
            self.columns[0].means, self.columns[0].sure = "patient_id", "first column without a header"

    def _find_bare_times(self) -> None:
        """Take a column such as ``Repeat CT`` for the time of the scan whose volume has the same occasion."""
        occasions = {header.occasion for header in self.headers if header.means == "HM_volume"}
        for i, header in enumerate(self.headers):
            if header.guess == "scan_time" and header.occasion and self.columns[i].means == UNUSED:
                looks = self._looks(i)
                if header.occasion in occasions and "time" in looks and "number" not in looks:
                    self.columns[i].means, self.columns[i].sure = "scan_time", "header and values"

    def _number_scans(self) -> None:
        """Number the scans that stand side by side: an occasion in the header, or a header that is repeated."""
        occasions: dict[int, tuple[str, int]] = {}
        latest: tuple[str, int] | None = None
        repeated = {text for text, count in Counter(self.sheet.header).items() if count > 1}
        for i, (header, column) in enumerate(zip(self.headers, self.columns, strict=True)):
            latest = header.occasion or latest
            known = self.known.get(column.means)
            if known is None:
                continue
            if known.of == "patient" and header.occasion is not None:
                if self._is_later(i) and known.role != "source":
                    column.means, column.sure = UNUSED, f"is it {column.means} at a later time?"
                continue
            if known.of != "scan":
                continue
            if header.occasion is None and self.sheet.header[i] in repeated and latest is not None:
                occasions[i] = latest
            elif header.occasion is not None:
                occasions[i] = header.occasion
        order = {"first": -1.0, "next": 0.5}
        keys = {i: order.get(kind, float(number)) for i, (kind, number) in occasions.items()}
        scan_columns = [i for i, each in enumerate(self.columns) if self._is_scan_level(each)]
        extra = [i for i in scan_columns if self.known[self.columns[i].means].role == "extra"]
        core = [i for i in scan_columns if i not in extra]
        doubled = Counter(self.columns[i].means for i in core)
        is_wide = max(doubled.values(), default=0) > 1 and any(keys.get(i, -1) != -1 for i in core)
        if is_wide or len({keys[i] for i in core if i in keys}) > 1:
            self._number_core({i: keys.get(i, -1.0) for i in core})
        numbers = {keys.get(i, -1.0): self.columns[i].scan for i in core}
        for i in extra:
            key = keys.get(i, -1.0)
            if key != -1 and numbers.get(key) is None:
                self.columns[i].means, self.columns[i].sure = UNUSED, f"is it {self.columns[i].means} at a later time?"
            else:
                self.columns[i].scan = numbers.get(key, 0 if any(numbers.values()) else None)

    def _number_core(self, keys: dict[int, float]) -> None:
        """Number the scans by the occasions of their columns.

        Columns such as ``Baseline volume, Follow-up volume, CT1 time, CT2 time`` are numbered each by their own order.
        """
        of_means: dict[str, list[float]] = {}
        for i, key in keys.items():
            of_means.setdefault(self.columns[i].means, []).append(key)
        several = [sorted(set(each)) for each in of_means.values() if len(set(each)) > 1]
        all_keys = sorted(set(keys.values()))
        is_ranked = bool(several) and {len(each) for each in several} == {len(several[0])} and all_keys != several[0]
        for i, key in keys.items():
            own = sorted(set(of_means[self.columns[i].means]))
            if not is_ranked:
                self.columns[i].scan = all_keys.index(key)
            elif len(own) > 1:
                self.columns[i].scan = own.index(key)
            else:
                same = [each.index(key) for each in several if key in each]
                self.columns[i].scan = same[0] if same else 0 if key == -1 else len(several[0]) - 1
        count = 1 + max(self.columns[i].scan or 0 for i in keys)
        alone = [i for i in self._positions("hours_from_first_scan") if keys[i] == -1]
        if len(alone) == 1 and self._positions("hours_from_first_scan") == alone:
            if count == 2:
                self.columns[alone[0]].scan = 1
            else:
                self.columns[alone[0]].means, self.columns[alone[0]].sure = UNUSED, "of which scan?"

    def _is_scan_level(self, column: ColumnMapping) -> bool:
        known = self.known.get(column.means)
        return known is not None and known.of == "scan"

    def _tell_times_apart(self) -> None:
        """Decide by the values which columns hold date and time, only a date, or only a time of day."""
        for names in _TIMES.values():
            positions = self._positions(*names)
            groups: dict[int | None, list[int]] = {}
            for i in positions:
                groups.setdefault(self.columns[i].scan, []).append(i)
            for group in groups.values():
                looks = {i: self._looks(i) for i in group}
                clocks = [i for i in group if "clock" in looks[i] and "time" not in looks[i]]
                for i in group:
                    if i in clocks:
                        self.columns[i].means = names[2]
                    elif "time" in looks[i]:
                        self.columns[i].means = names[1] if clocks else names[0]
                    elif looks[i] & {"number", "duration"} and self.asks and self._cells(i).notna().any():
                        hours = ["hours_from_onset", "onset_to_first_scan", "hours_from_first_scan", UNUSED]
                        self._ask([i], "means", "The cells are numbers, not dates. What do they hold?", hours)
                        self.columns[i].means = UNUSED

    def _tell_hours_apart(self) -> None:
        """Hours from onset that are the same in all scans of a patient are those of the first scan."""
        for i in self._positions("hours_from_onset"):
            ids = self._positions("patient_id")
            if not ids or self.columns[i].scan is not None:
                continue
            groups = self._cells(i).astype(str).groupby(self._cells(ids[0]).astype(str))
            if groups.size().max() > 1 and groups.nunique().max() == 1 and not self._positions("onset_to_first_scan"):
                self.columns[i].means, self.columns[i].sure = "onset_to_first_scan", "header; one value a patient"

    def _drop_what_does_not_fit(self) -> None:
        """Leave out a column whose values are not of the kind that its header says, unless it is essential."""
        for i, column in enumerate(self.columns):
            known = self.known.get(column.means)
            expected = _LOOKS.get(known.kind) if known else None
            if known is None or expected is None or self._cells(i).isna().all():
                continue
            looks = self._looks(i)
            if "yes_no" in looks and (known.kind in _MEASURES or known.kind == "event") and known.unit != "years":
                column.means, column.sure = UNUSED, f"{known.meaning}? the values are yes and no"
                continue
            if known.kind in FACTORS or known.units:
                unit = self.headers[i].unit
                if unit and get_factor(known.name, unit) is None:
                    column.means, column.sure = UNUSED, f"{known.meaning}? not in {unit}"
                    continue
            if looks & expected or known.name in ESSENTIAL:
                continue
            if known.kind in {"sex", "yes_no"} and self._cells(i).nunique() == 2:
                continue  # its codes are asked
            column.means, column.sure = UNUSED, f"{known.meaning}? the values are not {_KIND_WORDS[known.kind]}"

    def _ask_about_doubtful(self) -> None:
        """Ask about a column whose header contains the name of an essential column that was not found."""
        found = {column.means for column in self.columns}
        later = self._positions("HM_volume")
        if all(self._is_later(i) for i in later):
            found.discard("HM_volume")
        doubtful: dict[str, list[int]] = {}
        for i, (header, column) in enumerate(zip(self.headers, self.columns, strict=True)):
            known = self.known.get(header.guess)
            if known is None or column.means != UNUSED or self._cells(i).isna().all():
                continue
            column.sure = column.sure or f"perhaps {known.meaning}"
            if known.name in ESSENTIAL - found and self._looks(i) & _LOOKS.get(known.kind, self._looks(i)):
                doubtful.setdefault(known.name, []).append(i)
        for name, positions in doubtful.items():
            meaning = self.known[name].meaning.lower()
            if later and name == "HM_volume":  # the columns that are found are not of the first scan
                self._ask(
                    positions, "means", "Is this the hematoma volume of the first scan?", [f"{name} of scan 1", UNUSED]
                )
                for i in later:
                    self.columns[i].scan = 1 + (self.columns[i].scan or 0)
            elif len(positions) == 1:
                self._ask(positions, "means", f"Is this the {meaning}?", [name, UNUSED])
            else:
                self._ask_which(positions, name)

    def _is_later(self, position: int) -> bool:
        """Return whether a header names a scan after the first."""
        kind, number = self.headers[position].occasion or ("first", 0)
        return kind in {"next", "follow_up", "hours"} or (kind in {"number", "ordinal"} and number > 1)

    def _ask_which(self, positions: list[int], name: str) -> None:
        candidates = [*map(self._label, positions), "none of them"]
        self._ask(positions, name, f"Which column is the {self.known[name].meaning.lower()}?", candidates)
        for i in positions:
            self.columns[i].means = UNUSED

    def _choose_among_doubled(self) -> None:
        """Ask which of several columns holds a value; in a tidy table it is the one that has our own name."""
        groups: dict[tuple[str, int | None], list[int]] = {}
        for i, column in enumerate(self.columns):
            if column.means not in {UNUSED, INPUT}:
                groups.setdefault((column.means, column.scan), []).append(i)
        for (name, _), positions in groups.items():
            filled = [i for i in positions if self._cells(i).notna().any()]
            if len(positions) > 1 and len(filled) <= 1:
                for i in set(positions) - set(filled or positions[:1]):
                    self.columns[i].means, self.columns[i].sure = UNUSED, "empty"
            elif len(positions) > 1 and self.asks:
                expected = _LOOKS.get(self.known[name].kind, set())
                fits = [i for i in filled if self._looks(i) & expected]
                for i in set(positions) - set(fits) if fits else ():
                    self.columns[i].means, self.columns[i].sure = UNUSED, f"{self.known[name].meaning}? other values"
                positions = fits or positions
                if len(positions) == 1:
                    continue
                kept = self._choose_equal(positions, name)
                if kept is None:
                    self._ask_which(positions, name)
                    continue
                for i in set(positions) - {kept}:
                    self.columns[i].means, self.columns[i].sure = UNUSED, f"{self._label(kept)} is used"
            elif [self.sheet.header[i] for i in positions].count(name) == 1:
                for i in positions:
                    if self.sheet.header[i] != name:
                        self.columns[i].means, self.columns[i].sure = UNUSED, f"another column is {name}"

    def _choose_equal(self, positions: list[int], name: str) -> int | None:
        """Return which of several columns is used where the choice changes nothing; None where it matters."""
        if self.known[name].role == "outcome":  # label.column names the others by their headers
            exact = [i for i in positions if squeeze(self.sheet.header[i]) in synonyms()]
            return (exact or positions)[0]
        if name != "patient_id":
            return None
        named = [i for i in positions if squeeze(self.sheet.header[i]) not in _COUNTERS]
        if len(named) == 1:
            return named[0]
        ids = [self._cells(i) for i in named]
        is_filled = all(column.notna().all() for column in ids)
        codes = {tuple(pd.factorize(column)[0]) for column in ids}
        return named[0] if self.is_alone and is_filled and len(codes) == 1 else None

    def _find_unit(self, position: int, column: ColumnMapping) -> None:
        """Find the unit of a number in its header, in its cells or, where that is safe, from its size."""
        known = self.known[column.means]
        if known.kind not in {"volume", "hours"} and not known.units:
            column.unit = None
            return
        if column.unit is not None:
            if get_factor(column.means, column.unit) is not None:
                return
            column.unit = None
        values = cells.plain_numbers(self._cells(position)) if self.asks else pd.Series(dtype=float)
        if values.empty:
            return  # the cells name their own units, or the layout has a fixed one
        guess = _guess_unit(known, values)
        if guess is None:
            guess = self._find_unit_of_earlier_scan(position)
        if guess is None:
            self._ask([position], "unit", f"Which unit has the {known.meaning.lower()}?", _list_units(known))
        else:
            column.unit, column.sure = guess, f"{column.sure}; unit by the size of the values"

    def _find_unit_of_earlier_scan(self, position: int) -> str | None:
        """Return the unit of a column whose header differs only by the number of the scan."""
        stem = re.sub(r"\d+", "", squeeze(self.sheet.header[position]))
        for text, column in zip(self.sheet.header[:position], self.columns, strict=False):
            if column.means == self.columns[position].means and stem == re.sub(r"\d+", "", squeeze(text)):
                return column.unit
        return None

    def _find_codes(self, position: int, column: ColumnMapping) -> None:
        """Find or ask the codes of sex and yes/no columns."""
        kind = self.known[column.means].kind
        if kind not in {"sex", "yes_no"}:
            return
        distinct = sorted({_show(value) for value in self._cells(position).dropna().unique()})
        numeric = {text.removesuffix(".0") for text in distinct}
        legend = _read_legend(self.sheet.header[position], kind)
        if legend and numeric <= set(legend):
            column.values, column.sure = legend, "header, with its legend"
        elif kind == "sex":
            header = squeeze(self.sheet.header[position])
            if header in _MALE_WORDS + _FEMALE_WORDS and "yes_no" in self._looks(position):
                yes, no = ("male", "female") if header in _MALE_WORDS else ("female", "male")
                column.values = {text: yes if clean(text) in _YES else no for text in distinct}
            elif self.asks and "sex" not in self._looks(position) and len(numeric) == 2:
                a, b = sorted(numeric)
                self._ask(
                    [position], "values", "Which value means male?",
                    [f"{a} = male, {b} = female", f"{b} = male, {a} = female"],
                )  # fmt: skip
        elif self.asks and "yes_no" not in self._looks(position) and len(numeric) == 2:
            a, b = sorted(numeric)
            self._ask([position], "values", "Which value means yes?", [f"{a} = yes, {b} = no", f"{b} = yes, {a} = no"])

    def _find_date_orders(self) -> None:
        """Find the order of day and month from all date columns of the table together."""
        names = [name for names in _TIMES.values() for name in names[:2]]
        positions = [i for i in self._positions(*names) if self.columns[i].dates is None]
        orders: dict[int, set[str]] = {i: cells.date_orders(self._cells(i)) for i in positions}
        swapped = [i for i in orders if cells.mixes_dates(self._cells(i))]
        decided = [found - {"year_first"} for found in orders.values() if len(found) == 1]
        decided = [found for found in decided if found]
        ambiguous = []
        for i, found in orders.items():
            if len(found) == 1:
                self.columns[i].dates = next(iter(found))
            elif len(found) > 1:
                if decided and all(each == decided[0] for each in decided):
                    self.columns[i].dates = next(iter(decided[0]))
                else:
                    ambiguous.append(i)
        if swapped and self.asks:
            right = [order for order in ("day_first", "month_first") if any(order in orders[i] for i in swapped)]
            question = (
                "Some cells are real dates and others are texts. Excel has perhaps exchanged day and month in the "
                "real dates (swapped). Which is right?"
            )
            self._ask(swapped, "dates", question, [*right, *(f"{order}_swapped" for order in right)])
        ambiguous = [i for i in ambiguous if i not in swapped]
        if ambiguous and self.asks:
            self._ask(ambiguous, "dates", "Which comes first in these dates?", ["day_first", "month_first"])

    def _set_rows(self) -> None:
        """Decide whether a row is a scan or a patient."""
        levels = [self.known[each.means] for each in self.columns if each.means in self.known]
        is_wide = any(column.scan is not None for column in self.columns)
        about_scans = any(known.of == "scan" and known.role != "extra" for known in levels)
        ids = self._positions("patient_id")
        repeats = self.kind != "workbook" and bool(ids) and bool(self._cells(ids[0]).dropna().duplicated().any())
        self.mapping.rows = "scan" if not is_wide and (about_scans or repeats) else "patient"


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


def _read_legend(header: str, kind: str) -> dict[str, str]:
    """Return the codes that a header explains, such as ``Sex (0=female, 1=male)`` or ``性别（1男2女）``."""
    text = clean(header)
    parts = re.findall(r"\(([^)]*)\)", text) or re.findall(r"(?:\d|[^\W\d_]+)\s*=.*", text)
    tokens = [token for part in parts for token in re.findall(_TOKEN, part)]
    if tokens and not tokens[0].isdigit():
        tokens = [token for pair in zip(tokens[1::2], tokens[::2], strict=False) for token in pair]
    legend = dict(zip(tokens[::2], (cells.read_code(word, kind) for word in tokens[1::2]), strict=False))
    return legend if len(legend) > 1 and all(key.isdigit() and code for key, code in legend.items()) else {}


def _list_units(known: c.Column) -> list[str]:
    """Return the units that a column may have."""
    return list(FACTORS.get(known.kind) or [each for each in (known.unit, *dict(known.units)) if each])


def _show(value: object) -> str:
    """Return a cell as its user would write it."""
    if isinstance(value, float | np.floating) and float(value).is_integer() and -1e15 < float(value) < 1e15:
        return str(int(value))
    return str(value)[:40]


def _guess_unit(known: c.Column, values: pd.Series) -> str | None:
    """Return the only unit in which the values are plausible; None if there are several or none."""
    if known.kind in {"volume", "hours"}:
        if known.kind == "hours" and (values == 0).mean() > 0.05 and (values % 1 == 0).all():
            return None  # perhaps days
        values = values[values > 0]
        if values.empty:
            return next(iter(FACTORS[known.kind]))
        middle, high = float(values.median()), float(values.quantile(0.95))
        if known.kind == "hours":
            return "hours" if 0.5 <= middle < 15 and values.max() < 1000 else None
        if 1 <= middle <= 150 and high <= 400:
            return "mL"
        return "10^-3 mL" if middle >= 1000 else None
    low, top = known.range or (-float("inf"), float("inf"))
    factors = {known.unit: 1.0, **dict(known.units)}
    fits = [unit for unit, factor in factors.items() if (values * factor).between(low, top).mean() >= 0.95]
    return fits[0] if len(fits) == 1 else None
