import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from hemexp.cohort.load import Cohort, load_cohort
from hemexp.config import DataConfig


class Workbooks:
    """A writable copy of the four workbooks, edited with openpyxl."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def load(self) -> Cohort:
        return load_cohort(DataConfig("workbook", str(self.root)))

    def path(self, prefix: str) -> Path:
        (path,) = self.root.glob(f"{prefix}*.xlsx")
        return path

    @contextmanager
    def edit(self, prefix: str) -> Iterator[openpyxl.Workbook]:
        book = openpyxl.load_workbook(self.path(prefix))
        yield book
        book.save(self.path(prefix))

    @contextmanager
    def sheet(self, prefix: str, name: str | None = None) -> Iterator[Worksheet]:
        with self.edit(prefix) as book:
            yield book[name] if name else book.worksheets[0]


@pytest.fixture
def books(workbooks: Path, tmp_path: Path) -> Workbooks:
    shutil.copytree(workbooks, tmp_path / "cohort")
    return Workbooks(tmp_path / "cohort")


@pytest.fixture
def header() -> Callable[[Worksheet, str], int]:
    """Return a function that gives the 1-based column of a header."""

    def find(sheet: Worksheet, text: str) -> int:
        return next(cell.column for cell in sheet[1] if cell.value == text)

    return find
