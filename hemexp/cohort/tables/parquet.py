"""Build the table of a text file or of Parquet: a column of texts that are all numbers becomes numbers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from hemexp.cohort.columns import SIMULATED
from hemexp.cohort.findings import Cell, Findings, column_letter
from hemexp.cohort.tables import table
from hemexp.cohort.tables.sheet import Sheet

MOST_DIGITS = 15  # a spreadsheet keeps no more; longer whole numbers are serials
_WHOLE = r"^-?\d+$"  # arrow does not read +5
_NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_TIME = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?$"  # a date alone stays text: its time is unknown


def read_parquet(path: Path, is_text: Callable[[str], bool], findings: Findings) -> Sheet:
    """Return the table of a Parquet file.

    Times with a time zone keep their local clock time, with a warning; they become UTC where the columns have different
    zones, because differences between local times would be wrong.

    Raises:
        ValueError: a column holds lists or other values of several parts.
    """
    with pq.ParquetFile(path, pre_buffer=False) as content:
        fields = list(content.schema_arrow)
        names = [column.name for column in fields]
        zones = {column.type.tz for column in fields if pt.is_timestamp(column.type)} - {None}
        for j, column in enumerate(fields):
            if pt.is_nested(column.type):
                message = f"column {column.name!r} ({column_letter(j)}) holds {column.type}; rule: one value in a cell"
                raise ValueError(f"{message}; write its parts as columns of their own, or leave it out")
            if pt.is_timestamp(column.type) and column.type.tz:
                used = "the local clock time is used" if len(zones) == 1 else "the zones differ; UTC is used"
                message = f"{column.name} has the time zone {column.type.tz}; {used}"
                findings.warn("time_zone", Cell(path.name, "", 1, column_letter(j)), message, value=column.type.tz)

        def read(j: int) -> pa.ChunkedArray:
            cells = content.read(columns=[names[j]]).column(names[:j].count(names[j]))  # two may have one name
            if len(zones) > 1 and pt.is_timestamp(cells.type) and cells.type.tz:
                cells = cells.cast(pa.timestamp(cells.type.unit, "UTC"))
            try:
                return cells.cast(pa.string()) if _is_binary(cells.type) else cells
            except pa.ArrowInvalid:
                place = f"column {names[j]!r} ({column_letter(j)})"
                raise ValueError(f"{place} holds bytes that are not text in UTF-8; rule: text; convert it") from None

        header = [table.header_text(name) for name in names]
        return build_arrow_sheet(path.name, header, map(read, range(len(names))), is_text, findings)


def _is_binary(kind: pa.DataType) -> bool:
    """Return whether cells are bytes."""
    return bool(
        pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind) or pt.is_binary_view(kind)
    )


def build_arrow_sheet(
    file: str,
    header: list[str],
    cells: Iterator[pa.ChunkedArray],
    is_text: Callable[[str], bool],
    findings: Findings,
    header_row: int = 0,
    decimal: str = ".",
) -> Sheet:
    """Return the table of a text file or of Parquet.

    Args:
        file: the file's name.
        header: the header texts.
        cells: of each column; a column is converted before the next one is taken.
        is_text: whether the column of a header stays text.
        findings: receives the warnings.
        header_row: the 0-based row of the header.
        decimal: the decimal sign of texts.
    """
    columns = []
    for j, text in enumerate(header):
        column, errors = _convert(next(cells), is_text(text), decimal)
        if errors:
            rows = [header_row + 1 + i for i in errors]
            table.warn_of_formula_errors(Cell(file), text, j, rows, findings)
        columns.append(column)
    return table.build_sheet(file, "", header, columns, header_row, findings, SIMULATED in header)


def _convert(values: pa.ChunkedArray, stays_text: bool, decimal: str = ".") -> tuple[pd.Series, list[int]]:
    """Return a column as a Series, and the positions of cells that hold the error of a formula.

    Args:
        values: the cells; a null is a blank cell.
        stays_text: whether texts, and whole numbers, are kept as text.
        decimal: the decimal sign of texts.

    Returns:
        float64 or int64 where all cells are numbers, datetime64 where all are dates with a time of day, else objects.
    """
    kind = values.type
    if pt.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if isinstance(kind, pa.BaseExtensionType):  # such as a UUID
        return pd.Series([None if each is None else str(each) for each in values.to_pylist()], dtype=object), []
    is_short_float = pt.is_float16(kind) or pt.is_float32(kind)
    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
        return _convert_texts(values.cast(pa.string()), stays_text, decimal)
    if stays_text and (pt.is_integer(kind) or is_short_float or pt.is_decimal(kind)):
        texts = values.cast(pa.string())
        if pt.is_decimal(kind):
            texts = pc.replace_substring_regex(texts, r"\.0+$", "")
        return _as_objects(texts), []
    if pt.is_decimal(kind) or is_short_float:
        values = values.cast(pa.float64())
    elif pt.is_date(kind):
        values = values.cast(pa.timestamp("us"))
    elif pt.is_timestamp(kind):
        values = (pc.local_timestamp(values) if kind.tz else values).cast(pa.timestamp("us"), safe=False)
    elif not (pt.is_floating(kind) or pt.is_integer(kind) or pt.is_null(kind)):
        return _as_objects(values), []
    return _as_numbers(values), []


def _convert_texts(values: pa.ChunkedArray, stays_text: bool, decimal: str) -> tuple[pd.Series, list[int]]:
    texts = pc.utf8_trim_whitespace(values)
    failed = pc.is_in(texts, value_set=pa.array(table.FORMULA_ERRORS))
    errors = np.flatnonzero(failed.to_numpy())
    texts = pc.if_else(pc.or_(pc.equal(texts, ""), failed), None, texts)
    filled = texts.drop_null()
    if not len(filled):
        return pd.Series(np.full(len(texts), np.nan)), errors.tolist()
    if not stays_text:
        texts = _convert_type(texts, filled, decimal)
    return (_as_objects if pt.is_string(texts.type) else _as_numbers)(texts), errors.tolist()


def _convert_type(texts: pa.ChunkedArray, filled: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    """Return a column of texts as numbers or times if every cell is one, else unchanged."""
    if _all_match(filled, _WHOLE):
        has_zero = pc.any(pc.match_substring_regex(filled, r"^-?0\d")).as_py()
        is_long = pc.max(pc.utf8_length(filled)).as_py() >= MOST_DIGITS
        return texts if has_zero or is_long else texts.cast(pa.int64())
    if _all_match(filled, _NUMBER.replace(r"\.", decimal if decimal == "," else r"\.")):
        return pc.replace_substring(texts, decimal, ".").cast(pa.float64())
    if _all_match(filled, _TIME):
        try:
            return texts.cast(pa.timestamp("us"))
        except pa.ArrowInvalid:  # such as the 30th of February
            return texts
    return texts


def _all_match(filled: pa.ChunkedArray, pattern: str) -> bool:
    """Return whether every text matches; most columns differ in the first text."""
    return all(pc.all(pc.match_substring_regex(part, pattern)).as_py() for part in (filled[:1], filled))


def _as_numbers(values: pa.ChunkedArray) -> pd.Series:
    return pd.Series(values.to_numpy(), dtype="float64" if pt.is_null(values.type) else None, copy=True)


def _as_objects(values: pa.ChunkedArray) -> pd.Series:
    return pd.Series(values.to_pylist(), dtype=object)
