"""The parts of a worksheet's XML that its cells do not show."""

from dataclasses import dataclass, field

_MOST_CELLS = 10_000_000  # a larger rectangle is read only where enough of its cells are in rows that reach so far
_LEAST_COVERED = 0.1
_LARGEST = 60_000_000  # cells that fit in the memory of an ordinary computer


@dataclass
class SheetXml:
    """The parts of a worksheet that its cells do not show; all positions are 0-based.

    Attributes:
        hidden_rows: rows that a filter or the user has hidden.
        hidden_columns: the columns.
        errors: row and column of each formula with an error.
        uncalculated: row and column of each formula without a value.
        lowest: row and column of the last cell with a value in the last row that has one.
        rightmost: row and column of the cell with a value in the last column that has one.
        num_covered: number of cells from the first column to the last value of each row.
    """

    hidden_rows: list[int] = field(default_factory=list)
    hidden_columns: list[int] = field(default_factory=list)
    errors: list[tuple[int, int]] = field(default_factory=list)
    uncalculated: list[tuple[int, int]] = field(default_factory=list)
    lowest: tuple[int, int] = (0, 0)
    rightmost: tuple[int, int] = (0, 0)
    num_covered: int = 0

    def add_row(self, row: int, column: int, repeats: int = 1) -> None:
        """Note the last cell with a value of a row, or of several equal rows that end with it."""
        self.lowest = max(self.lowest, (row, column))
        self.rightmost = max(self.rightmost, (row, column), key=lambda cell: cell[1])
        self.num_covered += repeats * (column + 1)

    @property
    def is_too_large(self) -> bool:
        """Whether single cells are so far away from the table that the rectangle of all cells would fill the memory."""
        size = (self.lowest[0] + 1) * (self.rightmost[1] + 1)
        return size > _LARGEST or (size > _MOST_CELLS and self.num_covered < _LEAST_COVERED * size)
