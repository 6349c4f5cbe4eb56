"""Write files so that each is complete or absent: first to a temporary name, then renamed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def write_text(path: Path, text: str) -> None:
    """Write a text file; a reader finds either the old or the new content, also after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file; numbers must be finite or None."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


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
    """Write a table as `to_csv` gives it; `for_excel` adds the mark by which Excel knows that the text is UTF-8."""
    write_text(path, ("\ufeff" if for_excel else "") + to_csv(table))
