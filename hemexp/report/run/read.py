"""Read the files of a run for its page, and check them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from hemexp.cohort.table_one import COLUMNS as CHARACTERISTICS
from hemexp.errors import UserError
from hemexp.files.result import INCOMPLETE, NO_LEAKAGE, RunResult, read_result
from hemexp.report.blocks import Block
from hemexp.report.embed import png_uri, read_overrides
from hemexp.report.texts import load_texts

TABLES: dict[str, tuple[list[str], list[str]]] = {  # text columns, number columns
    "predictions": (["patient_id", "role"], ["label", "probability"]),
    "quality": (["severity", "problem", "file", "sheet", "row", "column", "patient_id", "value", "message"], []),
    "characteristics": (CHARACTERISTICS[:5], CHARACTERISTICS[5:]),
    "decision_curve": (["strategy"], ["threshold", "net_benefit"]),
    "uncertainty": (["patient_id", "role"], ["label", "probability", "low", "high"]),
    "attributions": (["feature"], ["importance", "low", "high", "top10_share"]),
}


@dataclass(frozen=True)
class RunFiles:
    """The content of a run's directory; a table or figure that does not exist is not in its dictionary."""

    path: Path
    result: RunResult
    tables: dict[str, pd.DataFrame]
    figures: dict[str, str]
    overrides: list[str] | None
    patient_ids: frozenset[str]
    has_checkpoint: bool

    @property
    def warning(self) -> str:
        """The warning beside every score: the leakage, or INCOMPLETE; empty if no leakage was found."""
        kind = verdict_kind(self.result.verdict)
        return "" if kind == NO_LEAKAGE else INCOMPLETE if kind == INCOMPLETE else self.result.verdict


def verdict_kind(verdict: str) -> str:
    """Return the verdict without its reason: NO_LEAKAGE_FOUND, LEAKAGE or INCOMPLETE."""
    return verdict.partition(":")[0]


def read_run(path: Path) -> RunFiles:
    """Read a run's directory.

    Raises:
        UserError: a file is damaged; the message names the file and the rule.
    """
    result = read_result(path / "result.json", RunResult)
    tables = {name: _read_table(path / f"{name}.csv", *columns) for name, columns in TABLES.items()}
    existing = {name: table for name, table in tables.items() if table is not None}
    return RunFiles(
        path=path,
        result=replace(result, verdict=_verdict(path, result.verdict)),
        tables=existing,
        figures={file.stem: png_uri(file) for file in sorted(path.glob("figures/*.png"))},
        overrides=read_overrides(path / ".hydra" / "overrides.yaml"),
        patient_ids=frozenset(_ids(path / "splits.json", existing.values())),
        has_checkpoint=(path / "checkpoints" / "best.ckpt").is_file(),
    )


def _verdict(path: Path, verdict: str) -> str:
    """Return the verdict of a run; a run without DONE is INCOMPLETE."""
    if (path / "DONE").is_file() or verdict_kind(verdict) == INCOMPLETE:
        return verdict
    return f"{INCOMPLETE}: the directory has no DONE file, so the run has not ended"


def _read_table(path: Path, text: list[str], numbers: list[str]) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise UserError(f"{path}: cannot be read as a table: {error}") from None
    missing = [name for name in [*text, *numbers] if name not in table]
    if missing:
        raise UserError(f"{path}: has no column {', '.join(missing)}; rule: a file as train.py wrote it")
    for name in numbers:
        if len(table) and not pd.api.types.is_numeric_dtype(table[name]) and table[name].notna().any():
            wrong = table[name][pd.to_numeric(table[name], errors="coerce").isna() & table[name].notna()]
            raise UserError(f"{path}: row {wrong.index[0] + 2}, column {name}: {wrong.iloc[0]!r} is not a number")
    return table


def _ids(splits: Path, tables: Iterable[pd.DataFrame]) -> set[str]:
    """Return every patient id in the files of the run."""
    ids = {str(name) for table in tables if "patient_id" in table for name in table["patient_id"].dropna()}
    if splits.is_file():
        try:
            parts = json.loads(splits.read_text(encoding="utf-8"))
            ids |= {str(name) for part in parts.values() if isinstance(part, list) for name in part}
        except (ValueError, AttributeError) as error:
            raise UserError(f"{splits}: cannot be read as a split: {error}") from None
    return ids - {""}


def figure(run: RunFiles, name: str) -> Block | None:
    """Return a figure of the run with its explanation; None if the run does not have this figure."""
    if name not in run.figures:
        return None
    title, explanation = load_texts("texts")["figures"][name]
    return {"kind": "figure", "title": title, "aid": explanation, "source": run.figures[name]}


def other_figures(run: RunFiles) -> list[Block]:
    """Return the figures without an explanation."""
    names = [name for name in run.figures if name not in load_texts("texts")["figures"]]
    return [{"kind": "figure", "title": name, "aid": "", "source": run.figures[name]} for name in names]
