"""What a section of the page is made of, and how numbers are written."""

from collections.abc import Mapping, Sequence
from typing import Any

Block = dict[str, Any]
DIGITS = {"brier": 3, "log_loss": 3}


def text(words: str, tone: str = "") -> Block:
    """Return a paragraph; `tone` is empty, ``note`` or ``warn``."""
    return {"kind": "text", "text": words, "tone": tone}


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "", strong: int = -1) -> Block:
    """Return a table; `strong` is the row to stand out, the first column names the rows."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    return {"kind": "table", "caption": caption, "head": list(head), "rows": cells, "note": note, "strong": strong}


def bullets(items: Sequence[str]) -> Block:
    """Return a list of sentences."""
    return {"kind": "list", "items": list(items)}


def section(anchor: str, title: str, blocks: Sequence[Block | None], scored: bool = False) -> Block | None:
    """Return a section, None where nothing is in it; a `scored` one carries the verdict beside its title."""
    there = [block for block in blocks if block]
    return {"anchor": anchor, "title": title, "blocks": there, "scored": scored} if there else None


def num(value: Any, digits: int = 2) -> str:
    """Return a number as text; a dash where there is none."""
    if value is None or value != value:
        return "–"
    shown = f"{float(value):.{digits}f}"
    return f"{float(shown) + 0.0:.{digits}f}".replace("-", "−")  # never −0.00


def score(value: Mapping[str, Any] | None, digits: int = 2) -> str:
    """Return a score with its 95 % interval."""
    if value is None or num(value["value"]) == "–":
        return "not defined"
    if "–" in (num(value["low"]), num(value["high"])):
        return f"{num(value['value'], digits)} (no interval)"
    interval = f"({num(value['low'], digits)} to {num(value['high'], digits)})"
    return f"{num(value['value'], digits)} {interval.replace(' ', chr(0xA0))}"  # no line ends within the interval


def percent(value: Any) -> str:
    """Return a share as a whole percentage."""
    return "–" if value is None or value != value else f"{100 * float(value):.0f} %"


def p_value(value: Any) -> str:
    """Return a p value as journals print it."""
    return "–" if value is None or value != value else "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(value: Any) -> str:
    """Return a whole number with thousands apart; a dash where there is none."""
    return "–" if value is None else f"{int(value):,}"
