"""Render the content of a page as one self-contained HTML file: pictures are embedded, patient ids removed."""

import base64
import re
import struct
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hemexp import __version__
from hemexp.errors import UserError

_DATA_URI = "data:image/png;base64,"
# The chunks of a PNG without texts and dates.
_PICTURE = {b"IHDR", b"PLTE", b"tRNS", b"sRGB", b"gAMA", b"pHYs", b"IDAT", b"IEND"}


def to_html(content: dict[str, Any], patient_ids: Collection[str], patients: bool) -> str:
    """Return the template filled with `content`, which must have every name that the template uses.

    Args:
        content: of the page.
        patient_ids: ids that the page must not show.
        patients: leave texts as they are; otherwise no text on the page names a patient.
    """
    content = content if patients else without_ids(content, patient_ids)
    environment = Environment(
        loader=PackageLoader("hemexp.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html").render(content, version=__version__, patients=patients)


def png_uri(path: Path) -> str:
    """Return a PNG as a data URI, without the chunks that hold text or dates."""
    content = path.read_bytes()
    kept, place = content[:8], 8
    while content[:8] == b"\x89PNG\r\n\x1a\n" and place + 12 <= len(content):
        (size,) = struct.unpack(">I", content[place : place + 4])
        name, end = content[place + 4 : place + 8], place + 12 + size
        kept += content[place:end] if name in _PICTURE and end <= len(content) else b""
        place = end
    if not kept.endswith(b"IEND\xaeB`\x82"):
        raise UserError(f"{path}: is not a complete PNG picture")
    return _DATA_URI + base64.b64encode(kept).decode()


def picture_width(source: str) -> int:
    """Return the width in pixels of a PNG that is a data URI."""
    header = base64.b64decode(source.removeprefix(_DATA_URI)[:32])
    return int.from_bytes(header[16:20])


def without_ids(content: Any, ids: Collection[str], short_too: bool = False) -> Any:
    """Return a structure in which no text names a patient.

    Args:
        content: texts, lists and dictionaries; pictures are not changed.
        ids: the patient ids.
        short_too: also remove ids of fewer than five digits. In most texts these are numbers, not patient ids.
    """

    def change(text: str) -> str:
        shown = [name for name in ids if name in text and (short_too or not re.fullmatch(r"\d{1,4}", name))]
        pattern = "|".join(map(re.escape, sorted(shown, key=len, reverse=True)))
        return re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", "[patient]", text) if shown else text

    return map_texts(content, change)


def map_texts(content: Any, change: Callable[[str], str]) -> Any:
    """Return a structure with every text changed; pictures and the keys of dictionaries are not changed."""
    if isinstance(content, dict):
        return {key: map_texts(value, change) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [map_texts(part, change) for part in content]
    return change(content) if isinstance(content, str) and not content.startswith(_DATA_URI) else content
