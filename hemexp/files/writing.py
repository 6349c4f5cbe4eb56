"""Write files so that each is complete or absent: first under a temporary name in the same folder, then renamed.

Every file that hemexp writes goes through `write_with`, except logs and the event files of loggers, which grow.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import pandas as pd

_PARTIAL = ".partial"  # end of the temporary name
FOR_EXCEL = "\ufeff"  # at the start of a text, the mark by which Excel knows that it is UTF-8


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; see `write_with`."""
    write_with(path, lambda file: file.write(content))


def write_with(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file; a reader finds either the old or the new content, also after a kill or a power failure.

    Args:
        path: of the file.
        write: writes the content into the open file.

    Raises:
        OSError: the file cannot be written; the error names it, and the old content stays.
    """
    partial = path.with_name(f".{path.name}{_PARTIAL}")  # in the same folder: only there is renaming one step
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # some disks report only now that they are full
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # PyTorch's own error follows the cause
        if isinstance(cause, OSError):
            raise OSError(cause.errno, cause.strerror, str(path)) from error
        raise


def is_partial(name: str) -> bool:
    """Whether a file is what a killed process left of a file that it was writing."""
    return name.startswith(".") and name.endswith(_PARTIAL)


def remove(*paths: Path) -> None:
    """Remove files in this order, those that exist."""
    for path in paths:
        path.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be read, so that it can be written again; return its new path."""
    names = (f"{path.name}.unreadable{number or ''}" for number in count())
    return path.replace(next(aside for name in names if not (aside := path.with_name(name)).exists()))


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8; see `write_bytes`."""
    # surrogates stand for the bytes of a file name that this system's encoding does not know
    write_bytes(path, text.encode("utf-8", errors="surrogateescape"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file; numbers must be finite or None."""
    write_text(path, to_json(content))


def to_json(content: Mapping[str, Any]) -> str:
    """Return the text of a JSON file."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(table: "pd.DataFrame") -> str:
    """Return a table as CSV text that reads back to the same bits; whole-number columns are written without a point."""
    whole = [
        name
        for name in table.select_dtypes("float")
        if (values := table[name].dropna()).empty or ((values % 1 == 0) & (values.abs() < 2**53)).all()
    ]
    text = table.astype(dict.fromkeys(whole, "Int64")).to_csv(index=False, date_format="%Y-%m-%d %H:%M:%S")
    return str(text)


def write_csv(table: "pd.DataFrame", path: Path, *, for_excel: bool = False) -> None:
    """Write a table as `to_csv` gives it; `for_excel` adds `FOR_EXCEL`."""
    write_text(path, (FOR_EXCEL if for_excel else "") + to_csv(table))
