"""Sections of a page, their blocks (texts, tables, lists, pictures), and the fixed texts in YAML files."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

from hemexp.files.result import CAVEATS
from hemexp.report.html import picture_width

Block = dict[str, Any]
_BROAD = 900  # pixels of a picture; its text is too small for a reader where it is shown 360 pixels wide
_NARROW = 5  # most characters of a first column that numbers the rows


def text(words: str, tone: str = "") -> Block:
    """Return a paragraph; `tone` is empty, ``note`` or ``warn``."""
    return {"kind": "text", "text": words, "tone": tone}


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]], note: str = "", strong: int = -1, folded: str = ""
) -> Block:
    """Return a table; the first column names the rows, and the row `strong` is in bold.

    A table with a text in `folded` is hidden below this text until a reader opens it.
    """
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    narrow = all(len(row[0]) <= _NARROW for row in cells)
    return {"kind": "table", "caption": caption, "head": list(head), "rows": cells, "note": note, "strong": strong,
            "folded": folded, "narrow": narrow}  # fmt: skip


def bullets(items: Sequence[str]) -> Block:
    """Return a list of sentences."""
    return {"kind": "list", "items": list(items)}


def picture(name: str, source: str) -> Block:
    """Return the figure `name` with its explanation, if there is one; `source` is a data URI.

    A broad figure is not made smaller than its texts can be read, and is moved sideways on a narrow screen.
    """
    title, explanation = load_texts("texts")["figures"].get(name, (name, ""))
    return {"kind": "figure", "title": title, "aid": explanation, "source": source,
            "broad": picture_width(source) > _BROAD}  # fmt: skip


def section(
    anchor: str, title: str, blocks: Sequence[Block | None], scored: bool = False, folded: bool = False
) -> Block | None:
    """Return a section, None if it is empty.

    A `scored` section shows the warning of the run beside its title; a `folded` one shows its title only until a reader
    opens it.
    """
    shown = [block for block in blocks if block]
    return {"anchor": anchor, "title": title, "blocks": shown, "scored": scored, "folded": folded} if shown else None


@cache
def load_texts(name: str) -> Any:
    """Return the content of one of the YAML files of this package."""
    source = files("hemexp.report").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return OmegaConf.to_container(OmegaConf.create(source))


def caveat_text(code: str) -> str:
    """Return the explanation of a caveat."""
    text = str(CAVEATS.get(code, f"caveat: {code}"))
    return str(load_texts("texts")["caveats"].get(code) or f"{text[:1].upper()}{text[1:]}.")


def problem_text(code: str) -> str:
    """Return the explanation of a data-quality problem."""
    return str(load_texts("texts")["problems"].get(code) or code.replace("_", " "))
