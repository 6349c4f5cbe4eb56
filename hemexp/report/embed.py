"""Embed pictures in a page, and remove patient ids from its texts."""

import base64
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hemexp.errors import UserError

_DATA_URI = "data:image/png;base64,"
# The chunks of a PNG without texts and dates.
_PICTURE = {b"IHDR", b"PLTE", b"tRNS", b"sRGB", b"gAMA", b"pHYs", b"IDAT", b"IEND"}


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


def without_ids(content: Any, ids: Iterable[str], short_too: bool = False) -> Any:
    """Return a structure in which no text names a patient.

    Args:
        content: texts, lists and dictionaries; pictures are not changed.
        ids: the patient ids.
        short_too: also remove ids of fewer than five digits. In most texts these are numbers, not patient ids.
    """
    words = "\n".join(_texts(content))
    shown = [name for name in ids if name in words and (short_too or not re.fullmatch(r"\d{1,4}", name))]
    if not shown:
        return content
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(shown, key=len, reverse=True)))})(?!\w)")

    def clean(part: Any) -> Any:
        if isinstance(part, str):
            return part if part.startswith(_DATA_URI) else pattern.sub("[patient]", part)
        if isinstance(part, dict):
            return {key: clean(value) for key, value in part.items()}
        return [clean(value) for value in part] if isinstance(part, list | tuple) else part

    return clean(content)


def _texts(content: Any) -> Iterable[str]:
    if isinstance(content, str):
        yield "" if content.startswith(_DATA_URI) else content
    elif isinstance(content, dict | list | tuple):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _texts(part)
