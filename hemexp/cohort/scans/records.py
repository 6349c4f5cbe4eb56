"""The converted records of one table, each value with its cell."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hemexp.cohort.findings import Cell, Findings, RecordFindings
from hemexp.cohort.tables.sheet import Sheet
from hemexp.types import Array


@dataclass(eq=False)
class Records:
    """The converted rows of one table.

    Attributes:
        sheet: the table.
        frame: named columns; row labels 0 … n-1. ``scan_day`` and ``onset_day`` hold dates whose time is unknown.
        record: (n,) of each row in the sheet.
        position: the column in the sheet of each name: one for all rows, or (n,).
        own_inputs: names of the user's own inputs.
        has_blocks: whether the scans of a patient stand side by side; ``block`` is then the number of the scan.
    """

    sheet: Sheet
    frame: pd.DataFrame
    record: Array
    position: dict[str, int | Array]
    own_inputs: tuple[str, ...] = ()
    has_blocks: bool = False

    def locate(self, row: int, name: str) -> Cell:
        """Return the cell of a row and a column; where the name is not a column, only its row."""
        position = self.position.get(name)
        column = int(position[row]) if isinstance(position, np.ndarray) else position
        return self.sheet.cell(int(self.record[row]), column)

    def findings(self, findings: Findings) -> RecordFindings:
        """Return the findings about these records, each with its patient."""
        ids = self.frame.get("patient_id", pd.Series("", index=self.frame.index))
        return RecordFindings(ids, self.locate, findings)

    def take(self, keep: Array) -> "Records":
        """Return some of the rows, given as a mask or as row numbers."""
        position = {
            name: value[keep] if isinstance(value, np.ndarray) else value for name, value in self.position.items()
        }
        frame = self.frame[keep] if keep.dtype == bool else self.frame.iloc[keep]
        frame = frame.reset_index(drop=True)
        return Records(self.sheet, frame, self.record[keep], position, self.own_inputs, self.has_blocks)
