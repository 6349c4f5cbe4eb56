"""A table while its columns are matched: what each holds so far, and the questions about it."""

import re
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from hemexp.cohort import cells
from hemexp.cohort import columns as c
from hemexp.cohort.findings import column_letter
from hemexp.cohort.headers import Header, clean, read_header
from hemexp.cohort.mapping.mapping import UNUSED, ColumnMapping, Question, TableMapping
from hemexp.cohort.mapping.units import get_factor
from hemexp.cohort.tables.sheet import Sheet

_TISSUES = {"Hemo": r"hemo|hema|haema|hm|血肿", "ED": r"ed|edema|oedema|水肿"}


_NOMINAL_HOURS = (6, 12, 24, 36, 48, 72, 96)


class MatchedTable:
    """A table while its columns are matched.

    Attributes:
        sheet: the table.
        kind: ``workbook``, ``tidy`` or ``mapped``.
        asks: whether a guess that is not safe becomes a question.
        is_alone: whether the cohort has this table only.
        known: the known columns by name.
        headers: what each header says.
        columns: the match of each column.
        mapping: the match of the table.
        questions: about its columns.
        found_elsewhere: known columns that the headers of other tables name.
        asked: the known column that a question is about, by position.
    """

    def __init__(self, sheet: Sheet, kind: str, is_alone: bool = False) -> None:
        self.sheet, self.kind, self.asks, self.is_alone = sheet, kind, kind == "mapped", is_alone
        self.known = c.known_columns()
        self.headers = [self._read(text) for text in sheet.header]
        numbers = {header.occasion[1] for header in self.headers if header.occasion and header.occasion[0] == "number"}
        for i, header in enumerate(self.headers):  # HV0, HV24: without 23 others, 24 are hours
            kind, number = header.occasion or ("", 0)
            if kind == "number" and number in _NOMINAL_HOURS and number - 1 not in numbers:
                self.headers[i] = replace(header, occasion=("hours", number))
        self.columns = [
            ColumnMapping(column=text, letter=column_letter(i), means=header.means or UNUSED, unit=header.unit or None)
            for i, (text, header) in enumerate(zip(sheet.header, self.headers, strict=True))
        ]
        self.mapping = TableMapping(file=sheet.file, sheet=sheet.name, columns=self.columns)
        self.questions: list[Question] = []
        self.asked: dict[int, str] = {}
        self.found_elsewhere: set[str] = set()

    def cells(self, position: int) -> pd.Series:
        """Return the cells of a column."""
        return self.sheet.columns[position]

    def looks(self, position: int) -> set[str]:
        """Return what most cells of a column can be."""
        return cells.looks_like(self.cells(position))

    def examples(self, position: int) -> list[str]:
        """Return the first three values of a column."""
        values = self.cells(position).dropna().head(1000).unique()[:3]
        return [show(value) for value in values]

    def positions(self, *means: str) -> list[int]:
        """Return the columns with one of these meanings."""
        return [i for i, column in enumerate(self.columns) if column.means in means]

    def has(self, means: str) -> bool:
        """Return whether a column has this meaning."""
        return bool(self.positions(means))

    def label(self, position: int) -> str:
        """Return the header of a column, with its letter where the header is not unique."""
        text = self.sheet.header[position]
        return text if self.sheet.header.count(text) == 1 and text else f"{text} [{column_letter(position)}]".strip()

    def is_later(self, position: int) -> bool:
        """Return whether a header names a scan after the first."""
        kind, number = self.headers[position].occasion or ("first", 0)
        return kind in {"next", "follow_up", "hours"} or (kind in {"number", "ordinal"} and number > 1)

    def unit_of_header(self, position: int, means: str) -> str | None:
        """Return the unit in a header, if the column may have it."""
        unit = self.headers[position].unit or None
        return unit if get_factor(means, unit) is not None else None

    def ask(self, positions: Iterable[int], key: str, question: str, candidates: list[str]) -> None:
        """Add a question about columns."""
        positions = list(positions)
        self.questions.append(
            Question(
                table=self.mapping.place,
                column=" | ".join(self.label(i) for i in positions),
                key=key,
                question=question,
                examples=self.examples(positions[0]) if len(positions) == 1 else [
                    f"{self.label(i)}: {', '.join(self.examples(i))}" for i in positions
                ],
                candidates=candidates,
            )
        )  # fmt: skip
        for position in positions:
            self.columns[position].sure = "asked"

    def ask_which(self, positions: list[int], name: str) -> None:
        """Ask which of several columns is a known one; until then none of them is."""
        scan = self.columns[positions[0]].scan
        of_scan = "" if scan is None else f" of scan {scan + 1}"
        question = f"Which column is the {self.known[name].meaning.lower()}{of_scan}?"
        self.ask(positions, name, question, [*map(self.label, positions), "none of them"])
        self.set_aside(positions, name)

    def set_aside(self, positions: Iterable[int], name: str) -> None:
        """Do not use columns until the question whether they are a known column is answered."""
        for i in positions:
            self.asked[i], self.columns[i].means = name, UNUSED

    def holds(self, position: int, *names: str) -> bool:
        """Return whether a column has one of these meanings, or is asked about one of them."""
        return self.columns[position].means in names or self.asked.get(position) in names

    def claims(self, *names: str) -> list[int]:
        """Return the columns that have one of these meanings, or are asked about one of them."""
        return [i for i in range(len(self.columns)) if self.holds(i, *names)]

    @property
    def has_patient_rows(self) -> bool:
        """Whether every row has another patient id, so that several scans of a patient stand side by side."""
        ids = self.positions("patient_id")
        return bool(ids) and not self.cells(ids[0]).dropna().duplicated().any()

    def _read(self, text: str) -> Header:
        if text in (*c.SHAPE, *c.FIRST_ORDER):
            for tissue, pattern in _TISSUES.items():
                if re.search(rf"(?<![a-z])(?:{pattern})(?![a-z])", clean(self.sheet.name)):
                    return Header(f"{tissue}_{text}", True)
            return Header(guess="", unit="")
        if text in {"", c.SIMULATED}:
            return Header()
        return read_header(text)


def show(value: object) -> str:
    """Return a cell as its user would write it."""
    if isinstance(value, float | np.floating) and float(value).is_integer() and -1e15 < float(value) < 1e15:
        return str(int(value))
    return str(value)[:40]
