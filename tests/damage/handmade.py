"""All kinds of damage that were made by hand."""

from damage import handmade_cells, handmade_formats, handmade_tables, handmade_texts, handmade_workbooks
from damage.handmade_tools import HANDMADE, make_handmade

__all__ = [
    "HANDMADE", "handmade_cells", "handmade_formats", "handmade_tables", "handmade_texts", "handmade_workbooks",
    "make_handmade",
]  # fmt: skip
