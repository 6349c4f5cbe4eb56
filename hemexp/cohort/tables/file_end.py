"""Find out whether a text file was cut off in its last line."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

_TAIL = 2**16  # bytes at the end of the file; a multiple of the bytes of a character
_LINE_BREAKS = ("\n", "\r", "\u2028", "\x1a")  # the last one ends a file of DOS


def find_cut_cell(path: Path, encoding: str, separator: str, columns: Sequence[Sequence[str]]) -> str | None:
    """Return the last cell of a file that may be cut off; None where the file is complete.

    A file that ends with a line break is complete. Without one, the last cell is complete if the other cells of its
    column show it: they are all of one form, such as ``12.50``, or hold the same text and none begins with it.

    Args:
        path: of the file.
        encoding: of its text.
        separator: of its cells.
        columns: the cells of each column near the beginning of the file, without blank ones.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL) // 4 * 4)
        text = file.read().decode(encoding.removesuffix("-sig"), "ignore")
    if text.endswith(_LINE_BREAKS) or text.endswith('"'):
        return None
    line = re.split("[\n\r]", text)[-1]
    cells = next(csv.reader([line], delimiter=separator), [])
    if not cells or len(cells) > len(columns):
        return None
    last, others = cells[-1].strip(), list(columns[len(cells) - 1])
    if last in others and size <= _TAIL:
        others.remove(last)  # the cell itself
    if not last and not others:
        return None  # every row ends with a separator
    return None if _is_complete(last, others) else last


def _is_complete(last: str, others: Sequence[str]) -> bool:
    """Return whether the other cells of its column show that a cell has its full length."""
    if not last or any(each != last and each.startswith(last) for each in others):
        return False
    return last in others or ({_form(last)} == set(map(_form, others)))


def _form(text: str) -> str:
    """Return a text with 0 for each digit, and one 0 for the digits before a decimal sign."""
    return re.sub(r"\d", "0", re.sub(r"^[+-]?\d+(?=[.,]\d+$)", "0", text))
