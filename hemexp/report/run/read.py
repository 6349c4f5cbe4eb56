"""What a run's directory holds, read and checked for the page."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.cohort.table_one import COLUMNS as CHARACTERISTICS
from hemexp.errors import UserError
from hemexp.files.run_directory import RunDirectory
from hemexp.report.blocks import Block
from hemexp.report.embed import png_uri, read_overrides
from hemexp.report.texts import load_texts

TABLES: dict[str, tuple[list[str], list[str]]] = {  # columns: of text, of numbers
    "predictions": (["patient_id", "role"], ["label", "probability"]),
    "quality": (["severity", "problem", "file", "sheet", "row", "column", "patient_id", "value", "message"], []),
    "characteristics": (CHARACTERISTICS[:5], CHARACTERISTICS[5:]),
    "decision_curve": (["strategy"], ["threshold", "net_benefit"]),
    "uncertainty": (["patient_id", "role"], ["label", "probability", "low", "high"]),
    "attributions": (["feature"], ["importance", "low", "high", "top10_share"]),
}
NUMBERS = ("num_features", "num_train", "num_val", "num_test", "events_train", "events_test", "seconds")


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


def figure(run: RunFiles, name: str) -> Block | None:
    """Return one of the run's figures with its reading aid, None where the run drew none."""
    if name not in run.figures:
        return None
    title, aid = load_texts("texts")["figures"][name]
    return {"kind": "figure", "title": title, "aid": aid, "source": run.figures[name]}


def other_figures(run: RunFiles) -> list[Block]:
    """Return the figures that have no reading aid."""
    names = [name for name in run.figures if name not in load_texts("texts")["figures"]]
    return [{"kind": "figure", "title": name, "aid": "", "source": run.figures[name]} for name in names]
