"""A table of one file: its header and its columns, with the address of every cell."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hemexp.cohort.columns import EXAMPLE_IDS
from hemexp.cohort.findings import Cell, column_letter


@dataclass(eq=False)
class Sheet:
    """A table as a file holds it. A record is a row below the header that is not blank.

    Attributes:
        file: the file's name.
        name: of the worksheet; empty for a text file or Parquet.
        header: the header texts, without outer spaces; empty where a column has no header.
        columns: one Series for each header, with labels 0 … n-1: float64 or int64 where all cells are numbers,
            datetime64 where all are dates, else object; a blank cell is missing.
        rows: (n,) the 0-based row of each record in the file.
        header_row: the 0-based row of the header.
        simulated: whether the file is marked as made of simulated patients.
        uncalculated: names a column's position whose cells are formulas without values, with their number.
        cell_rows: the row of each record's cell in the file, by column, where rows of the file were joined.
        merged_with_above: 0-based row in the file and column of each cell that is merged with the one above.
    """

    file: str
    name: str
    header: list[str]
    columns: list[pd.Series]
    rows: np.ndarray[Any, Any]
    header_row: int = 0
    simulated: bool = False
    uncalculated: dict[int, int] = field(default_factory=dict)
    cell_rows: dict[int, np.ndarray[Any, Any]] = field(default_factory=dict)
    merged_with_above: set[tuple[int, int]] = field(default_factory=set)

    @cached_property
    def num_records(self) -> int:
        """Number of records."""
        return len(self.rows)

    @property
    def place(self) -> Cell:
        """The address of the sheet."""
        return Cell(self.file, self.name)

    def header_cell(self, column: int) -> Cell:
        """Return the address of a column's header."""
        return Cell(self.file, self.name, self.header_row + 1, column_letter(column))

    def without_examples(self) -> "Sheet":
        """Return the sheet without the example rows of a template: they are not the user's."""
        if not self.columns:
            return self
        first = self.columns[0].astype(str)
        keep = ~first.isin(EXAMPLE_IDS).to_numpy()
        if keep.all():
            return self
        columns = [column[keep].reset_index(drop=True).infer_objects() for column in self.columns]
        return replace(self, columns=columns, rows=self.rows[keep])

    def cell(self, record: int, column: int | None) -> Cell:
        """Return the address of a record's cell; without a column, of its row."""
        letter = "" if column is None else column_letter(column)
        rows = self.rows if column is None else self.cell_rows.get(column, self.rows)
        return Cell(self.file, self.name, int(rows[record]) + 1, letter)
