"""A table while its columns are matched: what each holds so far, and the questions about it."""

import re
from collections.abc import Iterable

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
    """

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
        candidates = [*map(self.label, positions), "none of them"]
        self.ask(positions, name, f"Which column is the {self.known[name].meaning.lower()}?", candidates)
        for i in positions:
            self.columns[i].means = UNUSED

    def _read(self, text: str) -> Header:
        if text in (*c.SHAPE, *c.FIRST_ORDER):
            for tissue, pattern in _TISSUES.items():
                if re.search(rf"(?<![a-z])(?:{pattern})(?![a-z])", clean(self.sheet.name)):
                    return Header(f"{tissue}_{text}", True)
            return Header(guess="", unit="")
        if text == c.SIMULATED:
            return Header()
        return read_header(text)


def show(value: object) -> str:
    """Return a cell as its user would write it."""
    if isinstance(value, float | np.floating) and float(value).is_integer() and -1e15 < float(value) < 1e15:
        return str(int(value))
    return str(value)[:40]
