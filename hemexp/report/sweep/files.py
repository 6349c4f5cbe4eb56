"""What a sweep's directory holds, for the page."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemexp.errors import UserError
from hemexp.files.result import METRIC_NAMES, RunResult, load_json, read_result

LUCK = ("seed", "split.fold")  # keys that no one would choose among: they are what a score varies with by chance
_STAGES = {"cv": "cross-validated", "val": "validation part", "test": "test part"}
_SERIAL = re.compile(r"(?<!\w)\d{8,}(?!\w)")  # a scan's, of a patient that no split names


@dataclass(frozen=True)
class SweepFiles:
    """A sweep as its files tell it.

    Attributes:
        path: of the sweep.
        facts: sweep.json.
        jobs: leaderboard.csv: the ranked ones first, best first.
        swept: the values of each swept key, in order.
        caveats: how many jobs recorded each.
        verdicts: how many jobs each kind of verdict has.
        evaluated: whom the jobs' cross-validation went over: ``labelled``, ``train``.
        patient_ids: whom the page must not name.
        timeline: timeline.csv, None where there is none.
    """

    path: Path
    facts: dict[str, Any]
    jobs: pd.DataFrame
    swept: dict[str, list[str]]
    caveats: Counter[str]
    verdicts: Counter[str]
    evaluated: frozenset[str]
    patient_ids: frozenset[str]
    timeline: pd.DataFrame | None

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """The jobs that have a rank and a score, best first."""
        return self.jobs[self.jobs["rank"].notna() & self.jobs["score"].notna()].sort_values("rank", kind="stable")

    @property
    def unranked(self) -> pd.DataFrame:
        """The other jobs."""
        return self.jobs.drop(self.ranked.index)

    @property
    def lower_is_better(self) -> bool:
        """Whether the best score is the lowest."""
        return bool(self.facts.get("lower_is_better"))

    @property
    def measure(self) -> str:
        """What ranked the jobs, in words; empty where nothing did."""
        return measure_name(str(self.facts.get("ranked_by") or ""))

    @property
    def test_untouched(self) -> bool | None:
        """Whether the cross-validation that ranked the jobs left the test part alone; None where nobody knows."""
        return self.evaluated == {"train"} if len(self.evaluated) == 1 else None

    @property
    def num_reports(self) -> int:
        """How often the test part was reported while the search went on; 0 where it never was."""
        return int((self.block("nested", ()) or {"reports": 0}).get("reports", 1))

    @property
    def settings(self) -> list[str]:
        """The swept keys that one may choose among."""
        return [key for key in self.swept if key not in LUCK]

    def short(self, key: str) -> str:
        """Return what heads the column of a swept key: its last part, where no other has the same."""
        last = key.rpartition(".")[2]
        return last if sum(other.rpartition(".")[2] == last for other in self.swept) == 1 else key

    @property
    def luck(self) -> list[str]:
        """The swept keys that only vary what is chance."""
        return [key for key in self.swept if key in LUCK]

    def scores(self, job: Any, metric: str) -> dict[str, float | None] | None:
        """Return a job's metric such as ``cv/brier`` with its interval, None where the leaderboard has none."""
        if metric not in self.jobs or np.isnan(job[metric]):
            return None
        found = {"value": job[metric], "low": job.get(f"{metric}_low"), "high": job.get(f"{metric}_high")}
        return {key: None if value is None or np.isnan(value) else float(value) for key, value in found.items()}

    def score(self, job: Any) -> dict[str, float | None]:
        """Return the score that ranked a job."""
        return self.scores(job, "score") or {"value": None, "low": None, "high": None}

    def block(self, key: str, needs: tuple[str, ...]) -> dict[str, Any] | None:
        """Return a block of sweep.json, None where it is empty.

        Raises:
            UserError: it is not as train.py writes it.
        """
        block = self.facts.get(key)
        if not block:
            return None
        absent = [name for name in needs if not isinstance(block, dict) or name not in block]
        if absent:
            raise UserError(f"{self.path / 'sweep.json'}: {key} is not as train.py writes it: {absent[0]} is missing")
        return dict(block)


def measure_name(metric: str) -> str:
    """Return a metric in words: ``cv/auroc`` is ``AUROC, cross-validated``."""
    stage, _, name = metric.rpartition("/")
    words = METRIC_NAMES.get(name, name).partition(" (")[0].strip().replace("_", " ")
    return f"{words}, {_STAGES.get(stage, stage)}" if stage else words


def hide_serials(text: str) -> str:
    """Return a job's message without scan serials, which name a patient."""
    return _SERIAL.sub("[number]", text)


COLUMNS = ["rank", "job", "folder", "status", "overrides", "score", "score_low", "score_high", "seconds", "message"]


NUMBERS = ["rank", "job", "score", "score_low", "score_high", "seconds"]


def read_sweep(path: Path) -> SweepFiles:
    """Read a sweep's directory.

    Raises:
        UserError: a file is broken; the message names it and the rule.
    """
    facts = load_json(path / "sweep.json")
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
        caveats=Counter(code for result in results for code in result.caveats),
        verdicts=Counter(result.verdict.partition(":")[0] for result in results),
        evaluated=frozenset(filter(None, map(_evaluated, results))),
        patient_ids=frozenset(_patients(path, jobs)),
        timeline=_timeline(timeline) if timeline.is_file() else None,
    )


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


def _results(path: Path, jobs: pd.DataFrame) -> Iterator[RunResult]:
    for folder in jobs["folder"]:
        if (path / folder / "result.json").is_file():
            yield read_result(path / folder / "result.json", RunResult)


def _evaluated(result: RunResult) -> str:
    """Return which patients a job's cross-validation divided; empty without cross-validation."""
    evaluation = result.config.get("evaluation") or {}
    return "" if evaluation.get("name") == "off" else str(evaluation.get("patients") or "")


def _patients(path: Path, jobs: pd.DataFrame) -> set[str]:
    parts = [load_json(each) for folder in jobs["folder"] if (each := path / folder / "splits.json").is_file()]
    return {str(name) for part in parts for names in part.values() if isinstance(names, list) for name in names} - {""}
