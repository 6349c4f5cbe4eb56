"""A sweep's directory, read and checked."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.errors import UserError
from hemexp.report.sweep_files import SweepFiles

COLUMNS = ["rank", "job", "folder", "status", "overrides", "score", "score_low", "score_high", "seconds", "message"]
NUMBERS = ["rank", "job", "score", "score_low", "score_high", "seconds"]


def read_sweep(path: Path) -> SweepFiles:
    """Read a sweep's directory.

    Raises:
        UserError: a file is broken; the message names it and the rule.
    """
    facts = _json(path / "sweep.json")
    swept = facts.get("swept") or {}
    if not isinstance(swept, dict) or not all(isinstance(values, list) for values in swept.values()):
        raise UserError(f"{path / 'sweep.json'}: swept is not as train.py writes it: it holds no lists by key")
    swept = {str(key): [str(value) for value in values] for key, values in swept.items()}
    jobs = _leaderboard(path / "leaderboard.csv", list(swept))
    results = list(_results(path, jobs))
    timeline = path / "timeline.csv"
    return SweepFiles(
        path=path,
        facts=facts,
        jobs=jobs,
        swept=swept,
        caveats=Counter(str(code) for result in results for code in result.get("caveats") or []),
        verdicts=Counter(str(result.get("verdict", "")).partition(":")[0] for result in results),
        evaluated=frozenset(filter(None, map(_evaluated, results))),
        patient_ids=frozenset(_patients(path, jobs)),
        timeline=_timeline(timeline) if timeline.is_file() else None,
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not as train.py writes it: it holds no keys")
    return content


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise UserError(f"{path}: cannot be read as a table: {error}") from None


def _leaderboard(path: Path, swept: list[str]) -> pd.DataFrame:
    """Return the leaderboard with its numbers as such; swept values stay as they were written."""
    table = _table(path)
    absent = [name for name in [*COLUMNS, *swept] if name not in table]
    if absent:
        raise UserError(f"{path}: is not as train.py writes it: no column {', '.join(absent)}")
    scored = [name for name in map(str, table) if name.startswith(("cv/", "test/", "val/"))]
    for name in (*NUMBERS, *scored, *(name for name in ("best_loss", "epochs") if name in table)):
        table[name] = _numbers(path, table[name])
    if table["job"].isna().any():
        raise UserError(f"{path}: row {int(table['job'].isna().argmax()) + 2}: a job without its number")
    return table.sort_values("rank", kind="stable", na_position="last", ignore_index=True)


def _timeline(path: Path) -> pd.DataFrame:
    table = _table(path)
    absent = [name for name in ("task", "device", "started", "ended", "outcome") if name not in table]
    if absent:
        raise UserError(f"{path}: is not as train.py writes it: no column {', '.join(absent)}")
    for name in ("started", "ended"):
        table[name] = _numbers(path, table[name])
    return table


def _numbers(path: Path, column: "pd.Series[str]") -> "pd.Series[float]":
    try:
        return pd.to_numeric(column.replace("", None)).astype(float)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: column {column.name} holds something that is no number: {error}") from None


def _results(path: Path, jobs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for folder in jobs["folder"]:
        if (path / folder / "result.json").is_file():
            yield _json(path / folder / "result.json")


def _evaluated(result: dict[str, Any]) -> str:
    evaluation = (result.get("config") or {}).get("evaluation") or {}
    return "" if evaluation.get("name") == "off" else str(evaluation.get("patients") or "")


def _patients(path: Path, jobs: pd.DataFrame) -> set[str]:
    parts = [_json(each) for folder in jobs["folder"] if (each := path / folder / "splits.json").is_file()]
    return {str(name) for part in parts for names in part.values() if isinstance(names, list) for name in names} - {""}
