"""Hand-made damage of Parquet and OpenDocument files, and other files in the folder."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
from damage.folder import Book, Change, Folder, Grid, write_book
from damage.handmade_tools import edit_part, kind


def _parquet(name: str, make: Callable[[pa.Table], pa.Table]) -> None:
    @kind("long_table parquet", name)
    def _(folder: Folder) -> list[Change]:
        def change(content: bytes) -> bytes:
            sink = pa.BufferOutputStream()
            pq.write_table(make(pq.read_table(pa.BufferReader(content))), sink)
            return bytes(sink.getvalue())

        folder.byte_changes.append(("export.parquet", change))
        return [Change("export.parquet")]


def _cast(column: str, to: Callable[[pa.ChunkedArray], pa.Array | pa.ChunkedArray]) -> Callable[[pa.Table], pa.Table]:
    def make(table: pa.Table) -> pa.Table:
        position = table.schema.get_field_index(column)
        return table.set_column(position, column, to(table.column(position)))

    return make


_parquet("ids as bytes", _cast("Patient ID", lambda cells: cells.cast(pa.binary())))
_parquet("ids as categories", _cast("Patient ID", lambda cells: cells.dictionary_encode()))
_parquet("ids as large texts", _cast("Patient ID", lambda cells: cells.cast(pa.large_string())))
_parquet(
    "ages as small numbers with gaps", _cast("Age", lambda cells: pa.array([None, *cells.to_pylist()[1:]], pa.int8()))
)
_parquet("ages as decimals", _cast("Age", lambda cells: cells.cast(pa.decimal128(24, 2))))
_parquet(
    "volumes with not-a-number",
    _cast("Hematoma volume (mL)", lambda cells: pa.array([float("nan"), *cells.to_pylist()[1:]])),
)
_parquet(
    "volumes with infinity",
    _cast("Hematoma volume (mL)", lambda cells: pa.array([float("inf"), *cells.to_pylist()[1:]])),
)
_parquet("histories as true and false", _cast("Hypertension", lambda cells: cells.cast(pa.bool_())))
_parquet("a column of lists", _cast("GCS", lambda cells: pa.array([[cell] for cell in cells.to_pylist()])))
_parquet("a column of records", _cast("GCS", lambda cells: pa.array([{"a": cell} for cell in cells.to_pylist()])))
_parquet(
    "times in nanoseconds with a zone",
    _cast("Scan date/time", lambda cells: cells.cast(pa.timestamp("ns", "Asia/Shanghai"))),
)
_parquet("times of day as onset", _cast("Onset time", lambda cells: cells.cast(pa.time64("us"))))
_parquet("durations as ages", _cast("Age", lambda cells: pa.array(cells.to_pylist(), pa.duration("s"))))
_parquet("a column twice", lambda table: table.append_column("Age", table.column("GCS")))
_parquet("no rows", lambda table: table.slice(0, 0))
_parquet("an index of pandas", lambda table: table.append_column("__index_level_0__", pa.array(range(len(table)))))


@kind("long_table ods", "blank rows and cells repeated to the end of the sheet")
def _(folder: Folder) -> list[Change]:
    cell = '<table:table-cell table:number-columns-repeated="16384"/>'
    blank = f'<table:table-row table:number-rows-repeated="1048000">{cell}</table:table-row>'
    return edit_part(
        folder, "export.ods", r"content\.xml", lambda text: text.replace("</table:table>", f"{blank}</table:table>")
    )


for _name, _content in {
    "表1 [draft].xlsx": b"", "~$notes.docx": b"x", "a\nb.csv": b"x,y\n1,2\n", "表4-其他.xlsx": None,
    "读我.txt": b"readme", "scans.csv.gz": b"\x1f\x8b", "data.numbers": b"PK\x03\x04",
    "表2.csv": b"ID,HM_volume\nsub001,5\n",
}.items():  # fmt: skip

    @kind("published", f"a file {_name!r} in the folder")
    def _(folder: Folder, name: str = _name, content: bytes | None = _content) -> list[Change]:
        grid = Grid([["ID", "Score"], ["sub001", 5], ["sub002", 6]])
        folder.others[name] = write_book("a.xlsx", Book({"S": grid})) if content is None else content
        return [Change(name)]
