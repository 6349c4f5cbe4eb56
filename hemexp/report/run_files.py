"""What a run's directory holds, read and checked for the page."""

import base64
import json
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from hemexp.errors import UserError
from hemexp.report.characteristics import COLUMNS as CHARACTERISTICS
from hemexp.run_directory import RunDirectory

TABLES: dict[str, tuple[list[str], list[str]]] = {  # columns: of text, of numbers
    "predictions": (["patient_id", "role"], ["label", "probability"]),
    "quality": (["severity", "problem", "file", "sheet", "row", "column", "patient_id", "value", "message"], []),
    "characteristics": (CHARACTERISTICS[:5], CHARACTERISTICS[5:]),
    "decision_curve": (["strategy"], ["threshold", "net_benefit"]),
    "uncertainty": (["patient_id", "role"], ["label", "probability", "low", "high"]),
    "attributions": (["feature"], ["importance", "low", "high", "top10_share"]),
}
NUMBERS = ("num_features", "num_train", "num_val", "num_test", "events_train", "events_test", "seconds")
_DATA_URI = "data:image/png;base64,"
_PICTURE = {
    b"IHDR",
    b"PLTE",
    b"tRNS",
    b"sRGB",
    b"gAMA",
    b"pHYs",
    b"IDAT",
    b"IEND",
}  # chunks; the rest is text and dates


@dataclass(frozen=True)
class RunFiles:
    """A run as its files tell it; a table or figure that is not there is not in its dictionary."""

    path: Path
    result: dict[str, Any]
    verdict: str
    tables: dict[str, pd.DataFrame]
    figures: dict[str, str]
    overrides: list[str] | None
    patient_ids: frozenset[str]
    has_checkpoint: bool

    def block(self, key: str) -> Any:
        """Return a block of result.json, None where it is absent or empty."""
        return self.result.get(key) or None

    def build(self, key: str, make: Callable[[Any], Any]) -> Any:
        """Return `make` of a block of result.json, None where it is absent.

        Raises:
            UserError: the block is not built as train.py builds it.
        """
        block = self.block(key)
        if block is None:
            return None
        try:
            return make(block)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise UserError(f"{self.path / 'result.json'}: {key} is not as train.py writes it: {what}") from None


def read_run(path: Path) -> RunFiles:
    """Read a run's directory.

    Raises:
        UserError: a file is broken; the message names it and the rule.
    """
    result = RunDirectory(path).result()
    if not isinstance(result.get("verdict"), str) or not isinstance(result.get("config"), dict):
        raise UserError(f"{path / 'result.json'}: is not a run's result: it needs a verdict (text) and a config")
    for key in NUMBERS:
        if not isinstance(result.get(key), int | float | None):
            raise UserError(f"{path / 'result.json'}: {key} is {result[key]!r}, not a number")
    tables = {name: _read_table(path / f"{name}.csv", *columns) for name, columns in TABLES.items()}
    figures = {file.stem: png_uri(file) for file in sorted(path.glob("figures/*.png"))}
    there = {name: table for name, table in tables.items() if table is not None}
    return RunFiles(
        path=path,
        result=result,
        verdict=_verdict(path, result),
        tables=there,
        figures=figures,
        overrides=read_overrides(path / ".hydra" / "overrides.yaml"),
        patient_ids=frozenset(_ids(path / "splits.json", there.values())),
        has_checkpoint=(path / "checkpoints" / "best.ckpt").is_file(),
    )


def _verdict(path: Path, result: dict[str, Any]) -> str:
    """Return the run's verdict; that of a run without DONE is INCOMPLETE, whatever was written before."""
    verdict = str(result["verdict"])
    if (path / "DONE").is_file() or verdict.startswith("INCOMPLETE"):
        return verdict
    return f"INCOMPLETE: the directory holds no DONE, the run has not ended (its result.json says {verdict})"


def _read_table(path: Path, text: list[str], numbers: list[str]) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise UserError(f"{path}: cannot be read as a table: {error}") from None
    absent = [name for name in [*text, *numbers] if name not in table]
    if absent:
        raise UserError(f"{path}: is not as train.py writes it: no column {', '.join(absent)}")
    for name in numbers:
        if len(table) and not pd.api.types.is_numeric_dtype(table[name]) and table[name].notna().any():
            wrong = table[name][pd.to_numeric(table[name], errors="coerce").isna() & table[name].notna()]
            raise UserError(f"{path}: row {wrong.index[0] + 2}, column {name}: {wrong.iloc[0]!r} is not a number")
    return table


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
        raise UserError(f"{path}: is not a whole PNG picture")
    return _DATA_URI + base64.b64encode(kept).decode()


def read_overrides(path: Path) -> list[str] | None:
    """Return the overrides of a run from Hydra's file, None where it is absent.

    Raises:
        UserError: it holds none.
    """
    if not path.is_file():
        return None
    try:
        content = OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:  # of YAML or of OmegaConf: many classes
        raise UserError(f"{path}: cannot be read as Hydra's overrides: {error}") from None
    if not isinstance(content, list):
        raise UserError(f"{path}: cannot be read as Hydra's overrides: it holds no list")
    return [str(override) for override in content]


def _ids(splits: Path, tables: Iterable[pd.DataFrame]) -> set[str]:
    """Return every patient id that the run's files name."""
    ids = {str(name) for table in tables if "patient_id" in table for name in table["patient_id"].dropna()}
    if splits.is_file():
        try:
            parts = json.loads(splits.read_text(encoding="utf-8"))
            ids |= {str(name) for part in parts.values() if isinstance(part, list) for name in part}
        except (ValueError, AttributeError) as error:
            raise UserError(f"{splits}: cannot be read as a split: {error}") from None
    return ids - {""}


def without_ids(content: Any, ids: Iterable[str], short_too: bool = False) -> Any:
    """Return a structure in which no text names a patient.

    Args:
        content: text, lists and dictionaries; pictures stay as they are.
        ids: the patients' names.
        short_too: also those of fewer than five digits, which in most texts are numbers and no names.
    """
    words = "\n".join(_texts(content))
    there = [name for name in ids if name in words and (short_too or not re.fullmatch(r"\d{1,4}", name))]
    if not there:
        return content
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(there, key=len, reverse=True)))})(?!\w)")

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
