"""Replace patient ids and scan serials by keyed hashes, and shift dates, before anything is written or logged.

A pseudonym is an HMAC-SHA256 (RFC 2104) with the secret bytes of a file. The same key gives the same pseudonyms in
every command. Without the key, an id cannot be found by trying all ids, as it can with an ordinary hash.
"""

import hmac
import re
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.cell import cell_text
from hemexp.cohort.columns import known_columns
from hemexp.cohort.findings import CellLocator, Findings
from hemexp.cohort.mapping.mapping import UNUSED
from hemexp.cohort.mapping.mapping import Mapping as ColumnsMapping
from hemexp.cohort.tables.sheet import Sheet
from hemexp.errors import UserError

_FIRST_DAY, _LAST_DAY = 29221, 58440  # 1980 and 2060 as day numbers of a spreadsheet
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32, without letters that look like digits
_PATIENT_LETTERS, _SCAN_LETTERS = 8, 12
_LEAST_DAYS, _DAYS = 14_610, 1_826  # 40 to 45 years: no shifted date is an original date of another patient
DATE, NUMBER, HIDDEN = "[date]", "[number]", "[hidden]"
_IDS = {"id": "patient_id", "serial": "scan_serial"}  # kind of column → what its cells name
_DATE_KINDS = {"date", "time", "clock"}
_SHORT = 4  # letters; a shorter name may be any number or word, so that it is replaced only in quotes or after a noun
_BEFORE = re.compile(
    r"(?:\b(?:patients?|scans?|serials?|follow-up|ids?|patient_id is|scan_serial is)\s+"
    r"|\b[PS]-[0-9A-Z]+(?:,| and| or)\s+|['\"“])$"
)
_AFTER = re.compile(r"'s\b")
_ISO = r"(?P<iso>(?:19|20)\d\d-\d\d?-\d\d?)"
_OTHER_DATE = (
    r"(?:19|20)\d\d\s*[-/.年년]\s*\d\d?\s*[-/.月월]\s*\d\d?[日일]?|\d\d?\s*[-/.]\s*\d\d?\s*[-/.]\s*(?:\d{4}|\d{2})"
    r"|\d\d?[-. ]*[A-Za-z]{3,9}[-. ,]*(?:19|20)\d\d|(?:19|20)\d\d[-/.]\d\d?|\d\d?[-/.](?:19|20)\d\d"
)
_DATES = re.compile(rf"(?<![A-Z\d.-])(?:{_ISO}(?!\d)|{_OTHER_DATE})(?!\d)")
_LONG_NUMBER = re.compile(r"(?<![\w.-])(?:\d{8,}|\d(?:\.\d+)?e\+1\d)(?:\.0+)?(?!\w)")  # may be a serial or a date
_EXCEL_DATE = re.compile(r"(?<![\w.-])[2-6]\d{4}(?:\.\d+)?(?!\w)")  # a date as Excel counts days: 1954 to 2091
_WORD = re.compile(r"\w+")
_DATE_NAMES = "|".join(name for name, column in known_columns().items() if column.kind in _DATE_KINDS)
_UNREAD_DATE = re.compile(rf"\b((?:{_DATE_NAMES}) is) .+(?=; rule: )")


class Pseudonyms:
    """The pseudonyms of one key.

    Args:
        key: secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, str] = {}  # a name without outer punctuation → its pseudonym
        self._most_words = 1

    @classmethod
    def from_file(cls, path: str | Path) -> "Pseudonyms":
        """Return the pseudonyms of a key file.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            return cls(Path(path).read_bytes())
        except OSError as error:
            raise UserError(f"privacy.pseudonymize={path}: cannot be read: {error.strerror}") from None

    @property
    def check_value(self) -> str:
        """Eight hexadecimal digits by which another key is noticed; they do not tell the key."""
        return self._hash("check", "")[:4].hex()

    def patient(self, name: str) -> str:
        """Return the pseudonym of a patient id, such as ``P-7F3K2M9Q``; empty for no id."""
        return f"P-{self._letters('patient', name, _PATIENT_LETTERS)}" if name else ""

    def scan(self, serial: str, patient: str = "") -> str:
        """Return the pseudonym of a scan serial; a serial made from the patient id and a number stays so."""
        rest = serial.removeprefix(patient) if patient else serial
        if patient and rest != serial and re.fullmatch(r"-\d{1,3}", rest):
            return f"{self.patient(patient)}{rest}"
        return f"S-{self._letters('scan', serial, _SCAN_LETTERS)}" if serial else ""

    def days(self, patient: str) -> int:
        """Return the number of days by which all dates of a patient move."""
        return _LEAST_DAYS + int.from_bytes(self._hash("days", patient)[:8], "big") % _DAYS

    def collect(self, sheets: Iterable[Sheet], mapping: ColumnsMapping) -> None:
        """Learn every id and serial in the cells of the files, also of rows that are not read later."""
        by_place = {(sheet.file, sheet.name): sheet for sheet in sheets}
        for table in mapping.tables:
            for position, column in enumerate(table.columns):
                means = _find_id(column.means)
                if means:
                    for cell in pd.unique(by_place[table.file, table.sheet].columns[position].dropna()):
                        name = _normalize(cell)
                        self._learn(name, self.patient(name) if means == "patient_id" else self.scan(name))

    def replace_scans(self, scans: pd.DataFrame, locate: CellLocator, findings: Findings) -> pd.DataFrame:
        """Return the table of scans with pseudonyms and shifted dates; order and measurements stay.

        An own column that may hold another id of the patient, or dates, is left out with a warning.

        Raises:
            UserError: two patients or two scans would get the same pseudonym.
        """
        ids, serials = scans["patient_id"].astype(str).tolist(), scans["scan_serial"].astype(str).tolist()
        patients = {name: self.patient(name) for name in ids}
        names = {serial: self.scan(serial, patient) for serial, patient in zip(serials, ids, strict=True)}
        for originals in (patients, names):
            if len(set(originals.values())) < len(originals):
                raise UserError("privacy.pseudonymize: two names get the same pseudonym; rule: use another key")
            for name, pseudonym in originals.items():
                self._learn(name, pseudonym)
        result = scans.copy()
        result["patient_id"] = pd.Series([patients[name] for name in ids], scans.index).astype(
            scans["patient_id"].dtype
        )
        replaced = pd.Series([names[serial] for serial in serials], scans.index)
        result["scan_serial"] = replaced.astype(scans["scan_serial"].dtype)
        shift = pd.Series(pd.to_timedelta([self.days(name) for name in ids], unit="D"), scans.index)
        firsts = scans["scan_index"] == 0
        for name in map(str, scans.columns):
            column = scans[name]
            if name in {"patient_id", "scan_serial", "dataset_part"}:
                continue
            if pd.api.types.is_datetime64_any_dtype(column):
                result[name] = (column + shift).astype(column.dtype)
            elif (name == "center" or name not in known_columns()) and (
                reason := self._find_reason(column, column[firsts])
            ):
                result = result.drop(columns=name)
                message = f"column {name} {reason}; it is left out because of privacy.pseudonymize"
                findings.warn("pseudonymized_column", locate(0, name), message)
            elif name != "center" and not pd.api.types.is_numeric_dtype(column):
                cells = [
                    self.scrub(cell, of) if isinstance(cell, str) else cell
                    for cell, of in zip(column, ids, strict=True)
                ]
                result[name] = pd.Series(cells, scans.index, dtype=column.dtype)
        return result

    def replace_findings(self, findings: Findings) -> None:
        """Replace ids, serials and dates in findings."""
        rows = []
        for finding in findings.rows:
            unread = _UNREAD_DATE.search(finding.message)  # a part of a date, in any form
            value = HIDDEN if unread else self.scrub(finding.value, finding.patient_id)
            message = finding.message
            if unread:
                start = self.scrub(message[: unread.end(1)], finding.patient_id)
                message = f"{start} {HIDDEN}{message[unread.end() :]}"
            else:
                message = self.scrub(message, finding.patient_id)
            patient, sheet = self.patient(finding.patient_id), self.scrub(finding.sheet)
            rows.append(replace(finding, patient_id=patient, value=value, message=message, sheet=sheet))
        findings.rows = rows

    def replace_mapping(self, mapping: ColumnsMapping) -> ColumnsMapping:
        """Return a mapping without the original ids, serials and dates among its examples."""
        result = deepcopy(mapping)
        for table in result.tables:
            for column in table.columns:
                column.sure = self.scrub(column.sure)
                means, known = _find_id(column.means), known_columns().get(column.means)
                if means:
                    replaced = [_normalize(each) for each in column.examples]
                    column.examples = [self.patient(n) if means == "patient_id" else self.scan(n) for n in replaced]
                elif column.means == UNUSED or column.dates or (known and known.kind in _DATE_KINDS):
                    column.examples = [HIDDEN] * bool(column.examples)
                else:
                    column.examples = [self.scrub(each) for each in column.examples]
        for question in result.questions:
            question.examples = [HIDDEN] * bool(question.examples)
            question.question = self.scrub(question.question)
        return result

    def scrub(self, text: str, patient: str = "") -> str:
        """Return a text with known names replaced, and dates shifted where the patient is known, else removed."""
        if not text:
            return text
        if (name := _normalize(text)) in self._known:
            return self._known[name]
        text = self._replace_names(text)
        days = self.days(patient) if patient else None

        def move(match: re.Match[str]) -> str:
            if days is None or not match["iso"]:
                return DATE
            try:
                return str((pd.Timestamp(match["iso"]) + pd.Timedelta(days=days)).date())
            except ValueError:
                return DATE

        text = _LONG_NUMBER.sub(NUMBER, _DATES.sub(move, text))
        return _EXCEL_DATE.sub(DATE, text) if "date" in text else text

    def _replace_names(self, text: str) -> str:
        """Replace every known name that stands as a word, or as words, in a text."""
        words, done, start = list(_WORD.finditer(text)), 0, 0
        parts: list[str] = []
        while start < len(words):
            begin = words[start].start()
            for end in range(min(len(words), start + self._most_words), start, -1):
                stop = words[end - 1].end()
                name = text[begin:stop]
                if name not in self._known:
                    continue
                before = "".join([*parts[-1:], text[done:begin]])
                if len(name) >= _SHORT or _BEFORE.search(before) or _AFTER.match(text, stop):
                    parts += [text[done:begin], self._known[name]]
                    done, start = stop, end
                    break
            else:
                start += 1
        return "".join([*parts, text[done:]])

    def _learn(self, name: str, pseudonym: str) -> None:
        words = list(_WORD.finditer(name))
        if words:
            self._known[name[words[0].start() : words[-1].end()]] = pseudonym
            self._most_words = max(self._most_words, len(words))
        self._known[name] = pseudonym

    def _find_reason(self, column: pd.Series, firsts: pd.Series) -> str:
        """Return why an own column, or the center, may tell who a patient is; empty if nothing points to it."""
        cells = column.dropna()
        if cells.empty:
            return ""
        if not pd.api.types.is_numeric_dtype(column):
            texts = firsts.dropna().astype(str).str.strip()
            if (
                column.name != "center"
                and cells.astype(str).map(lambda cell: _normalize(cell) in self._known).mean() > 0.5
            ):
                return "repeats ids"  # the number of a center may be the id of a patient
            return "holds another text for each patient" if texts.nunique() == len(texts) >= 5 else ""
        values = cells.to_numpy(dtype=float)
        if ((values > _FIRST_DAY) & (values < _LAST_DAY)).all():
            return "holds dates as the day numbers of a spreadsheet"
        if not (values % 1 == 0).all() or np.median(np.abs(values)) < 1e5:
            return ""
        texts = pd.Series([f"{value:.0f}" for value in values])
        if texts.isin(self._known.keys()).mean() > 0.5:
            return "repeats ids"
        if pd.to_datetime(texts.str.slice(0, 8), format="%Y%m%d", errors="coerce").between("1900", "2100").mean() > 0.5:
            return "holds dates written as numbers"
        distinct = firsts.dropna().nunique() == firsts.notna().sum()
        return "holds another large whole number for each patient, as an id does" if distinct else ""

    def _letters(self, purpose: str, text: str, count: int) -> str:
        number = int.from_bytes(self._hash(purpose, text), "big")
        return "".join(_LETTERS[number >> 5 * place & 31] for place in range(count))

    def _hash(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self._key, f"{purpose}\x1f{text}".encode("utf-8", "surrogatepass"), "sha256")


def get_check_value(key_file: str | None) -> str | None:
    """Return the check value of a key file; None without one."""
    return Pseudonyms.from_file(key_file).check_value if key_file else None


def are_pseudonyms(names: Iterable[str]) -> bool:
    """Return whether all patient ids have the form of a pseudonym."""
    return all(re.fullmatch(rf"P-[{_LETTERS}]{{{_PATIENT_LETTERS}}}", name) for name in names)


def _find_id(means: str) -> str:
    """Return patient_id or scan_serial where the cells of a column name patients or scans."""
    known = known_columns().get(means)
    return _IDS.get(known.kind, "") if known else ""


def _normalize(cell: Any) -> str:
    """Return a cell as the reader of ids and serials returns it."""
    return re.sub(r"^(\d+)\.0+$", r"\1", cell_text(cell))
