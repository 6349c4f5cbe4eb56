"""What a section of the page is made of."""

from collections.abc import Sequence
from typing import Any

Block = dict[str, Any]
_NARROW = 5  # characters of a first column that numbers the rows, and does not name them
DIGITS = {"brier": 3, "log_loss": 3}


def text(words: str, tone: str = "") -> Block:
    """Return a paragraph; `tone` is empty, ``note`` or ``warn``."""
    return {"kind": "text", "text": words, "tone": tone}


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "", strong: int = -1, folded: str = ""
) -> Block:
    """Return a table; `strong` is the row to stand out, the first column names the rows.

    A `folded` one is under that line of text until a reader opens it.
    """
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    narrow = all(len(row[0]) <= _NARROW for row in cells)
    return {"kind": "table", "caption": caption, "head": list(head), "rows": cells, "note": note, "strong": strong,
            "folded": folded, "narrow": narrow}  # fmt: skip


def bullets(items: Sequence[str]) -> Block:
    """Return a list of sentences."""
    return {"kind": "list", "items": list(items)}


def section(anchor: str, title: str, blocks: Sequence[Block | None], scored: bool = False) -> Block | None:
    """Return a section, None where nothing is in it; a `scored` one carries the verdict beside its title."""
    there = [block for block in blocks if block]
    return {"anchor": anchor, "title": title, "blocks": there, "scored": scored} if there else None
