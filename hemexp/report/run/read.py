"""Read the files of a run for its page, and check them."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from hemexp.cohort.table_one import COLUMNS as CHARACTERISTICS
from hemexp.files.result import INCOMPLETE, LEAKAGE, SEEN_TEST, RunResult, read_result
from hemexp.report.blocks import Block, load_texts, picture
from hemexp.report.files import read_overrides, read_patient_ids, read_table
from hemexp.report.first_screen import verdict_kind
from hemexp.report.html import png_uri

TABLES: dict[str, tuple[list[str], list[str]]] = {  # text columns, number columns
    "predictions": (["patient_id", "role"], ["label", "probability"]),
    "quality": (["severity", "problem", "file", "sheet", "row", "column", "patient_id", "value", "message"], []),
    "characteristics": (CHARACTERISTICS[:5], CHARACTERISTICS[5:]),
    "decision_curve": (["strategy"], ["threshold", "net_benefit"]),
    "uncertainty": (["patient_id", "role"], ["label", "probability", "low", "high"]),
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


def is_seen(run: RunFiles) -> bool:
    """Return whether the model has learned from its test part."""
    return run.result.verdict == f"{LEAKAGE}: {SEEN_TEST}"


def read_run(path: Path) -> RunFiles:
    """Read a run's directory.

    Raises:
        UserError: a file is damaged; the message names the file and the rule.
    """
    result = read_result(path / "result.json", RunResult)
    files = {name: path / f"{name}.csv" for name in TABLES}
    tables = {name: read_table(file, *TABLES[name]) for name, file in files.items() if file.is_file()}
    ids = read_patient_ids([path / "splits.json"])
    return RunFiles(
        path=path,
        result=replace(result, verdict=_verdict(path, result.verdict)),
        tables=tables,
        figures={file.stem: png_uri(file) for file in sorted(path.glob("figures/*.png"))},
        overrides=read_overrides(path / ".hydra" / "overrides.yaml"),
        patient_ids=frozenset(ids.union(*(table.get("patient_id", ()) for table in tables.values())) - {""}),
        has_checkpoint=(path / "checkpoints" / "best.ckpt").is_file(),
    )


def _verdict(path: Path, verdict: str) -> str:
    """Return the verdict of a run; a run without DONE is INCOMPLETE."""
    if (path / "DONE").is_file() or verdict_kind(verdict) == INCOMPLETE:
        return verdict
    return f"{INCOMPLETE}: the directory has no DONE file, so the run has not ended"


def figure(run: RunFiles, name: str) -> Block | None:
    """Return a figure of the run with its explanation; None if the run does not have this figure."""
    return picture(name, run.figures[name]) if name in run.figures else None


def other_figures(run: RunFiles) -> list[Block]:
    """Return the figures without an explanation."""
    return [picture(name, run.figures[name]) for name in run.figures if name not in load_texts("texts")["figures"]]
