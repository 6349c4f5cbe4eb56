"""The mapping of columns in mapping.yaml, which a user sees, corrects and gives back."""

import re
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml

from hemexp.cohort.columns import known_columns
from hemexp.cohort.headers import squeeze
from hemexp.errors import UserError
from hemexp.formatting import plural, program

HOURS = re.compile(r"(\d+(?:\.\d+)?) from (first scan|onset)")
NO_HOURS = "unknown"
MISSING_CODES = " = no value"  # an answer, behind the numbers
GIVEN = "your mapping"  # how sure the meaning of a column is that the user gives
UNUSED, INPUT = "unused", "input"  # the meanings of a column that hemexp does not know
DATE_ORDERS = ("year_first", "day_first", "month_first", "day_first_swapped", "month_first_swapped")
_T = TypeVar("_T")


@dataclass(kw_only=True)
class ColumnMapping:
    """The meaning of one column.

    Attributes:
        column: the header text; empty where the column has none.
        letter: of the column in the file.
        means: a known column, ``input`` (an input of the user) or ``unused``.
        unit: of the numbers; null for the unit of our column.
        dates: one of `DATE_ORDERS`; ``…_swapped``: day and month are exchanged in the cells that are real dates.
        values: the code of each cell text, such as ``{"0": female, "1": male}``.
        missing: numbers in the cells that mean that there is no value, such as 999.
        scan: number of the scan from 0, where the scans of a patient stand side by side.
        hours: of the scan of a volume, where no column holds its time: ``24 from first scan`` or ``24 from onset``.
        examples: the first values.
        sure: the reason for the guess.
    """

    column: str
    letter: str = ""
    means: str = UNUSED
    unit: str | None = None
    dates: str | None = None
    values: dict[str, str] | None = None
    missing: list[str] | None = None
    scan: int | None = None
    hours: str | None = None
    examples: list[str] = field(default_factory=list)
    sure: str = ""


@dataclass(kw_only=True)
class TableMapping:
    """The meaning of the columns of one table.

    Attributes:
        file: its name.
        sheet: the worksheet; empty for a text file or Parquet.
        rows: the unit of a row, ``scan`` or ``patient``.
        columns: in the order of the file.
    """

    file: str
    sheet: str = ""
    rows: str = "scan"
    columns: list[ColumnMapping] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The table in words."""
        return f"{self.file}, {self.sheet}" if self.sheet else self.file


@dataclass(kw_only=True)
class Question:
    """A guess that would not be safe. The user writes one of the candidates after ``answer:``.

    Attributes:
        table: the table in words.
        column: header texts, joined by `` | `` where the question is about several.
        key: of the column that the answer sets.
        question: in words.
        examples: values of the column.
        candidates: legal answers.
        answer: of the user; null while the question is open.
    """

    table: str
    column: str
    key: str
    question: str
    examples: list[str] = field(default_factory=list)
    candidates: list[str] = field(default_factory=list)
    answer: str | None = None


@dataclass(kw_only=True)
class Mapping:
    """The mapping of all tables, with the questions that are open or answered."""

    tables: list[TableMapping] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    @property
    def open_questions(self) -> list[Question]:
        """The questions without an answer."""
        return [question for question in self.questions if question.answer is None]

    def to_yaml(self) -> str:
        """Return the text of mapping.yaml."""
        content: dict[str, Any] = {}
        if self.questions:
            content["questions"] = [asdict(question) for question in self.questions]
        content["tables"] = [_without_defaults(table) for table in self.tables]
        lines = ["# Which column holds what. Correct it, then give data.mapping=THIS FILE."]
        if self.open_questions:
            lines.append("# First write one of the candidates after each answer: in questions.")
        lines += [
            f"# means: a column of hemexp (prepare template=DIR lists them), {INPUT} (your own input) or {UNUSED}",
            f"# dates: {', '.join(DATE_ORDERS[:3])}; values: such as {{'0': female, '1': male}}",
        ]
        text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
        return "\n".join([*lines, text])


class OpenQuestions(UserError):
    """The error raised where a guess is not safe; `mapping` holds the questions."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        number = plural(len(mapping.open_questions), "open question")
        lines = [f"{number} about the files; a guess would not be safe:"]
        for question in mapping.open_questions:
            lines.append(f"{question.table}, column {question.column}: {question.question}")
            if question.examples:
                lines.append(f"  examples: {', '.join(question.examples)}")
            lines.append(f"  candidates: {' | '.join(question.candidates)}")
        lines.append(
            f"{program('prepare')} writes them into mapping.yaml; write the answers there and give data.mapping=FILE"
        )
        super().__init__("\n  ".join(lines))


def _without_defaults(table: TableMapping) -> dict[str, Any]:
    content: dict[str, Any] = {item.name: getattr(table, item.name) for item in fields(table)}
    empty: tuple[Any, ...] = (None, "", [])
    content["columns"] = [
        {key: value for key, value in asdict(each).items() if value not in empty or key == "column"}
        for each in table.columns
    ]
    return content


def read_mapping(path: Path) -> Mapping:
    """Read and check a mapping.yaml.

    Raises:
        UserError: the file is not a mapping; the message names the table, the column, the key and the rule.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8-sig"), yaml.CSafeLoader)
    except UnicodeDecodeError:
        raise UserError(f"data.mapping={path}: is not in UTF-8; save it with the encoding UTF-8") from None
    except OSError as error:
        raise UserError(f"data.mapping={path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "the file"
        rule = "rule: a space after each colon, no tabs, and the colon of a Latin keyboard"
        raise UserError(
            f"data.mapping={path}: {where} is not YAML ({getattr(error, 'problem', error)}); {rule}"
        ) from None
    where = f"data.mapping={path}"
    if not isinstance(content, dict) or not content.get("tables"):
        raise UserError(f"{where}: has no tables; rule: a file that prepare.py wrote, with your corrections")
    content = _checked_keys(content, Mapping, where)
    tables = []
    for number, entry in enumerate(_list(content["tables"], f"{where}: tables"), start=1):
        table = _checked_keys(entry, TableMapping, f"{where}: table {number}")
        place = f"{where}: {table.get('file', f'table {number}')}"
        columns = [
            _read_column(each, f"{place}, column {k}")
            for k, each in enumerate(_list(table.pop("columns", []), place), start=1)
        ]
        tables.append(_build(TableMapping, {**_as_texts(table), "columns": columns}, place))
        if tables[-1].rows not in {"scan", "patient"}:
            raise UserError(f"{place}: rows is {tables[-1].rows!r}; rule: scan or patient")
    questions = []
    for number, entry in enumerate(_list(content.get("questions") or [], f"{where}: questions"), start=1):
        place = f"{where}: question {number}"
        values = _checked_keys(entry, Question, place)
        answer = values.get("answer")
        for name in ("examples", "candidates"):
            values[name] = [_text(each) for each in _list(values.get(name) or [], place)]
        question = _build(Question, {**values, "answer": None if answer is None else _text(answer)}, place)
        if question.answer is not None:
            question.answer = _find_candidate(question, place)
        questions.append(question)
    return Mapping(tables=tables, questions=questions)


def _find_candidate(question: Question, place: str) -> str:
    """Return the candidate that an answer means; case, spaces, punctuation and the order of codes do not matter.

    Raises:
        UserError: the answer is not one of the candidates.
    """

    def normalize(text: str) -> list[str]:
        return sorted(map(squeeze, re.split("[,;]", text)))

    answer = str(question.answer)
    found = [each for each in question.candidates if each == answer]
    found = found or [each for each in question.candidates if normalize(each) == normalize(answer)]
    if len(found) == 1:
        return found[0]
    if question.key == "hours" and HOURS.fullmatch(answer):
        return answer
    rule = " | ".join(question.candidates)
    raise UserError(f"{place}, column {question.column}: the answer is {answer!r}; rule: one of {rule}")


def _read_column(entry: Any, place: str) -> ColumnMapping:
    given = _checked_keys(entry, ColumnMapping, place)
    values = {key: value for key, value in given.items() if value is not None}  # an empty key is as if it were left out
    for name in ("column", "letter", "means", "unit", "dates", "hours"):
        if values.get(name) is not None:
            values[name] = _text(values[name])
    column = _build(ColumnMapping, values, place)
    place = f"{place} ({column.column})"
    legal = [*known_columns(), INPUT, UNUSED]
    if column.means not in legal:
        similar = get_close_matches(column.means, legal)
        hint = f"did you mean {' or '.join(similar)}?" if similar else f"or {INPUT}, or {UNUSED}"
        raise UserError(
            f"{place}: means is {column.means!r}; rule: a column of hemexp; {program('prepare')} template=DIR lists "
            f"them; {hint}"
        )
    if column.dates is not None and column.dates not in DATE_ORDERS:
        raise UserError(f"{place}: dates is {column.dates!r}; rule: one of {', '.join(DATE_ORDERS)}")
    if column.values is not None:
        if not isinstance(column.values, dict):
            raise UserError(f"{place}: values is {column.values!r}; rule: such as {{'0': female, '1': male}}")
        column.values = {_text(key): _text(value) for key, value in column.values.items()}
    if column.missing is not None:
        if not isinstance(column.missing, list):
            raise UserError(f"{place}: missing is {column.missing!r}; rule: a list such as missing: ['999']")
        column.missing = [_text(each) for each in column.missing]
    if column.scan is not None and not (type(column.scan) is int and column.scan >= 0):
        raise UserError(f"{place}: scan is {column.scan!r}; rule: 0 for the first scan, then 1, 2, ...")
    if column.hours is not None and not HOURS.fullmatch(column.hours):
        raise UserError(f"{place}: hours is {column.hours!r}; rule: such as 24 from first scan or 24 from onset")
    if column.hours is not None and not column.scan:
        raise UserError(f"{place}: hours is given without scan; rule: scan: 1 for the second scan; add it")
    return column


def _text(value: Any) -> str:
    """Return a YAML value as the user wrote it: YAML reads yes and no as true and false."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _as_texts(values: dict[str, Any]) -> dict[str, Any]:
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise UserError(f"{place}: is not a list; rule: as prepare.py writes it")
    return value


def _checked_keys(entry: Any, kind: type[Any], place: str) -> dict[str, Any]:
    names = [item.name for item in fields(kind)]
    if not isinstance(entry, dict):
        raise UserError(f"{place}: is {entry!r}; rule: the keys {', '.join(names)}")
    for name in entry:
        if name not in names:
            raise UserError(f"{place}: there is no key {name!r}; rule: one of {', '.join(names)}")
    return dict(entry)


def _build(kind: type[_T], values: dict[str, Any], place: str) -> _T:
    try:
        return kind(**values)
    except TypeError as error:
        missing = str(error).rpartition(":")[2].strip()
        raise UserError(f"{place}: the key {missing} is missing; rule: as prepare.py writes it") from None
