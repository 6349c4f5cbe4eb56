"""Read a Parquet file."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pyarrow.types as pt

from hemexp.cohort.findings import Cell, Findings, column_letter
from hemexp.cohort.reading.arrow_columns import build_arrow_sheet
from hemexp.cohort.reading.sheet import Sheet
from hemexp.cohort.reading.table import header_text


def read_parquet(path: Path, is_text: Callable[[str], bool], findings: Findings) -> Sheet:
    """Return the table of a Parquet file; times with a time zone keep their local clock time, with a warning."""
    with pq.ParquetFile(path, pre_buffer=False) as content:
        fields = list(content.schema_arrow)
        for j, column in enumerate(fields):
            if pt.is_timestamp(column.type) and column.type.tz:
                message = f"{column.name} has the time zone {column.type.tz}; the local clock time is used"
                findings.warn("time_zone", Cell(path.name, "", 1, column_letter(j)), message, value=column.type.tz)
        header = [header_text(column.name) for column in fields]
        cells = (content.read(columns=[column.name]).column(0) for column in fields)
        return build_arrow_sheet(path.name, header, cells, is_text, findings)
