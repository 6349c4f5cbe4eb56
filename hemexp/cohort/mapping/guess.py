"""Guess what each column of a table holds, from its header and its values; ask where a guess would not be safe."""

import re

import pandas as pd

from hemexp.cohort.headers import FACTORS, clean, read_header, squeeze, synonyms
from hemexp.cohort.mapping.mapping import INPUT, UNUSED
from hemexp.cohort.mapping.matched_table import MatchedTable
from hemexp.cohort.mapping.questions import ask_about
from hemexp.cohort.mapping.side_by_side import find_bare_times, number_scans, tell_hours_apart, tell_times_apart
from hemexp.cohort.mapping.units import get_factor

ESSENTIAL = {  # a doubtful guess of these is asked
    "patient_id", "HM_volume", "ED_volume", "scan_time", "scan_date", "onset_time", "onset_date", "hours_from_onset",
    "hours_from_first_scan", "onset_to_first_scan", "scan_clock", "onset_clock",
}  # fmt: skip
_LOOKS = {  # what the cells of a kind look like
    "number": {"number"}, "whole": {"number"}, "volume": {"number"}, "hours": {"number", "duration", "clock"},
    "yes_no": {"yes_no"}, "sex": {"sex", "yes_no"}, "pressure": {"pressure"}, "time": {"time", "clock"},
    "date": {"time"}, "clock": {"clock"}, "event": {"text", "number"},
}  # fmt: skip
_MEASURES = {"number", "volume", "hours"}
_KIND_WORDS = {
    "number": "numbers", "whole": "whole numbers", "volume": "volumes", "hours": "hours", "yes_no": "yes or no",
    "sex": "male or female", "pressure": "such as 180/90", "time": "dates", "date": "dates", "clock": "times of day",
}  # fmt: skip
_UNITS_OF_OTHERS = {"years", "°C"}  # columns whose values in another unit are not converted
_MOST_SCANS = 50  # of a patient
_TOTAL = r"total|gesamt|sum|总"
_OTHER_VOLUME = r"iv[hb]\b|ivh|ventric|脑室|edema|oedem|ödem|oedème|水肿|phe\b|brain|intracranial volume"
_CHANGE = (
    r"growth|increase|change|delta|Δ|diff|expan|percent|%|ratio|rate|zunahme|wachstum|augment|croissance|增|变化|差"
)
_COUNTERS = {"序号", "no", "nr"}  # they may count the rows
_PLACES = (  # of a hematoma, under a header such as Site
    r"lobar|deep|thalam|putam|basal|gangli|caudat|capsul|pons|pontin|brain ?stem|cerebel|front|pariet|tempor|occip"
    r"|infratent|supratent|^(?:left|right|l|r|both|bilateral)$|基底|丘脑|脑叶|脑干|小脑|壳核|额|颞|枕|顶叶|^[左右]侧?$"
)
_MOST_PLACES = 0.5  # of the different texts; a hospital may have such a name
_OF_HEMORRHAGE = r"\b(?:ich|brain|head)\b"
_LEAST_REPEATED = 10  # with so many patients, two of them must be of one center


def guess_meanings(table: MatchedTable) -> None:
    """Guess the meaning of every column from its header and its values."""
    for column, header in zip(table.columns, table.headers, strict=True):
        column.sure = "header" if header.means else ""
    _find_patient_id(table)
    _find_scan_numbers(table)
    find_bare_times(table)
    doubtful = _take_doubtful(table) if table.asks else []
    number_scans(table)
    tell_times_apart(table)
    tell_hours_apart(table)
    if table.asks:
        _drop_what_does_not_fit(table)
        ask_about(table, [i for i in doubtful if table.columns[i].means != UNUSED])
    _choose_among_doubled(table)
    _set_rows(table)


def _find_patient_id(table: MatchedTable) -> None:
    """Take a first column without a header as the patient id, as in the published Table 1."""
    without_header = not table.positions("patient_id") and table.sheet.header and not table.sheet.header[0]
    if without_header and table.cells(0).notna().all() and table.cells(0).nunique() > 1:
        table.columns[0].means, table.columns[0].sure = "patient_id", "first column without a header"


def _drop_what_does_not_fit(table: MatchedTable) -> None:
    """Leave out a column whose values are not of the kind that its header says, unless it is essential."""
    for i, column in enumerate(table.columns):
        known = table.known.get(column.means)
        if column.means == "center" and (reason := _find_no_center(table, i)):
            column.means, column.sure = UNUSED, f"Center? {reason}"
            continue
        expected = _LOOKS.get(known.kind) if known else None
        if known is None or expected is None or table.cells(i).isna().all():
            continue
        looks = table.looks(i)
        if "yes_no" in looks and (known.kind in _MEASURES or known.kind == "event") and known.unit != "years":
            column.means, column.sure = UNUSED, f"{known.meaning}? the values are yes and no"
            continue
        if known.kind in {*FACTORS, "yes_no", "sex"} or known.units or known.unit in _UNITS_OF_OTHERS:
            unit = table.headers[i].unit
            if unit and get_factor(known.name, unit) is None:
                column.means, column.sure = UNUSED, f"{known.meaning}? not in {unit}"
                continue
        if looks & expected or known.name in ESSENTIAL:
            continue
        if known.kind in {"sex", "yes_no"} and table.cells(i).nunique() == 2:
            continue  # its codes are asked
        column.means, column.sure = UNUSED, f"{known.meaning}? the values are not {_KIND_WORDS[known.kind]}"


def _find_no_center(table: MatchedTable, position: int) -> str:
    """Return why a column with a header such as Site does not hold centers; empty if it may."""
    values, ids = table.cells(position), table.positions("patient_id")
    texts = (values[~table.cells(ids[0]).duplicated()] if ids else values).dropna().astype(str)
    if re.search(_OF_HEMORRHAGE, clean(table.sheet.header[position])):
        return "the header names the hemorrhage"
    distinct = [clean(text) for text in texts.unique()]
    if sum(bool(re.search(_PLACES, text)) for text in distinct) > _MOST_PLACES * len(distinct):
        return "the values are places in the brain"
    return "another value for every patient" if texts.is_unique and len(texts) >= _LEAST_REPEATED else ""


def _find_scan_numbers(table: MatchedTable) -> None:
    """Take scan serials such as 1, 2, 1, 2, 3 for the number of the scan."""
    for i in table.positions("scan_serial"):
        values = pd.to_numeric(table.cells(i), errors="coerce").dropna()
        if len(values) and (values % 1 == 0).all():
            values = values.astype("int64")
        if pd.api.types.is_integer_dtype(values) and values.between(0, _MOST_SCANS).all() and values.duplicated().any():
            table.columns[i].means, table.columns[i].sure = "scan_number", "header and values"


def _take_doubtful(table: MatchedTable) -> list[int]:
    """Take each essential column that a header only contains, as far as no other column is surely this one.

    Returns:
        The columns, to be asked about.
    """
    exact: dict[str, list[int]] = {}
    for i, column in enumerate(table.columns):
        exact.setdefault(_get_family(column.means), []).append(i)
    doubtful = []
    for i, (header, column) in enumerate(zip(table.headers, table.columns, strict=True)):
        known = table.known.get(header.guess)
        if known is None or column.means != UNUSED or table.cells(i).isna().all():
            continue
        column.sure = column.sure or f"perhaps {known.meaning}"
        looks = table.looks(i)
        if known.name not in ESSENTIAL or not looks & _LOOKS.get(known.kind, looks) or "yes_no" in looks:
            continue
        others = exact.get(_get_family(known.name), [])
        if not others and _get_family(known.name) in table.found_elsewhere:
            continue
        is_rival = known.name == "HM_volume" and _may_be_volume(column.column) and table.cells(i).nunique() > 1
        is_first = all(map(table.is_later, others)) and not table.is_later(i)
        is_clock = "clock" in looks and "time" not in looks and not any("clock" in table.looks(k) for k in others)
        if not others or is_first or is_clock or is_rival:
            column.means = known.name
            doubtful.append(i)
    totals = [i for i in exact.get("HM_volume", []) if re.search(_TOTAL, clean(table.sheet.header[i]))]
    if totals and any(re.search(_OTHER_VOLUME, clean(text)) for text in table.sheet.header):
        doubtful += totals  # such as parenchyma and ventricles together
    return doubtful


def name_families(header: list[str]) -> set[str]:
    """Return the families of the known columns that header texts name."""
    return {_get_family(read_header(text).means) for text in header} - {""}


def _get_family(name: str) -> str:
    """Return one name for the date, the time of day, and the date and time of a scan or of the onset."""
    return re.sub("_(date|clock)$", "_time", name)


def _may_be_volume(header: str) -> bool:
    """Return whether a header may name another measurement of the hematoma volume."""
    text = clean(header)
    return bool(re.search(r"vol|体积", text)) and not re.search(f"{_CHANGE}|{_OTHER_VOLUME}", text)


def _choose_among_doubled(table: MatchedTable) -> None:
    """Ask which of several columns holds a value; in a tidy table it is the one that has our own name."""
    groups: dict[tuple[str, int | None], list[int]] = {}
    for i, column in enumerate(table.columns):
        if column.means not in {UNUSED, INPUT}:
            groups.setdefault((column.means, column.scan), []).append(i)
    for (name, _), positions in groups.items():
        filled = [i for i in positions if table.cells(i).notna().any()]
        if len(positions) > 1 and len(filled) <= 1:
            for i in set(positions) - set(filled or positions[:1]):
                table.columns[i].means, table.columns[i].sure = UNUSED, "empty"
        elif len(positions) > 1 and table.asks:
            expected = _LOOKS.get(table.known[name].kind, set())
            fits = [i for i in filled if table.looks(i) & expected]
            for i in set(positions) - set(fits) if fits else ():
                table.columns[i].means, table.columns[i].sure = UNUSED, f"{table.known[name].meaning}? other values"
            positions = fits or positions
            if len(positions) == 1:
                continue
            kept = _choose_equal(table, positions, name)
            if kept is None:
                ask_about(table, positions)
                continue
            for i in set(positions) - {kept}:
                table.columns[i].means, table.columns[i].sure = UNUSED, f"{table.label(kept)} is used"
        elif [table.sheet.header[i] for i in positions].count(name) == 1:
            for i in positions:
                if table.sheet.header[i] != name:
                    table.columns[i].means, table.columns[i].sure = UNUSED, f"another column is {name}"


def _choose_equal(table: MatchedTable, positions: list[int], name: str) -> int | None:
    """Return which of several columns is used where the choice changes nothing; None where it matters."""
    if table.known[name].role == "outcome":  # label.column names the others by their headers
        exact = [i for i in positions if squeeze(table.sheet.header[i]) in synonyms()]
        return (exact or positions)[0]
    if name == "center" and len({tuple(pd.factorize(table.cells(i))[0]) for i in positions}) == 1:
        return positions[0]  # the number and the name of each center
    if name != "patient_id":
        return None
    named = [i for i in positions if squeeze(table.sheet.header[i]) not in _COUNTERS]
    if len(named) == 1:
        return named[0]
    ids = [table.cells(i) for i in named]
    is_filled = all(column.notna().all() for column in ids)
    codes = {tuple(pd.factorize(column)[0]) for column in ids}
    return named[0] if table.is_alone and is_filled and len(codes) == 1 else None


def _set_rows(table: MatchedTable) -> None:
    """Decide whether a row is a scan or a patient."""
    levels = [table.known[each.means] for each in table.columns if each.means in table.known]
    is_wide = any(column.scan is not None for column in table.columns)
    about_scans = any(known.of == "scan" and known.role != "extra" for known in levels)
    ids = table.positions("patient_id")
    repeats = table.kind != "workbook" and bool(ids) and bool(table.cells(ids[0]).dropna().duplicated().any())
    table.mapping.rows = "scan" if not is_wide and (about_scans or repeats) else "patient"
