"""Read and check the files of a sweep directory for the page."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from hemexp.config import get_choice_name, get_model_title
from hemexp.errors import UserError
from hemexp.files.result import LEAKAGE, RunResult, Score, load_json, read_result
from hemexp.metrics.table import METRICS
from hemexp.report.files import read_patient_ids, read_table
from hemexp.report.sweep.schema import check_sweep

LUCK = ("seed", "split.fold")  # keys that change a score only by chance
_STAGES = {"cv": "cross-validated", "val": "validation part", "test": "test part"}
_NESTED = {True: ("score", "value", "low", "high"), False: ("test", "winner")}  # needed with and without folds
_SERIAL = re.compile(r"(?<!\w)\d{8,}(?!\w)")  # a scan serial, which may identify a patient


@dataclass(frozen=True)
class SweepFiles:
    """The content of a sweep directory.

    Attributes:
        path: the sweep directory.
        facts: the content of sweep.json.
        winner: the best job in it; empty if no job is ranked.
        nested: the result of nested cross-validation in it, or of one split; empty if there is none.
        jobs: the rows of leaderboard.csv: ranked jobs first, best first; then the others.
        swept: the values of each swept key, in order.
        caveats: number of jobs with each caveat.
        leaks: number of jobs with each verdict of leakage.
        models: names of the jobs' models.
        evaluated: patients in the jobs' cross-validation: ``labelled``, ``train``.
        patient_ids: ids that the page must not show.
        timeline: the rows of timeline.csv; None if it does not exist.
    """

    path: Path
    facts: dict[str, Any]
    winner: dict[str, Any]
    nested: dict[str, Any]
    jobs: pd.DataFrame
    swept: dict[str, list[str]]
    caveats: Counter[str]
    leaks: Counter[str]
    models: list[str]
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
    def ranked_by(self) -> str:
        """The metric that ranked the jobs, such as ``cv/auroc``; empty if no score did."""
        return str(self.facts.get("ranked_by") or "")

    @property
    def measure(self) -> str:
        """Name of the score that ranked the jobs; empty if no score did."""
        return self.name(self.ranked_by)

    @property
    def test_untouched(self) -> bool | None:
        """Whether the cross-validation that ranked the jobs left the test part alone; None if unknown."""
        return self.evaluated == {"train"} if len(self.evaluated) == 1 else None

    @property
    def num_reports(self) -> int:
        """Number of times that the search has reported the test part."""
        return int(self.nested.get("reports", 1)) if self.nested else 0

    @property
    def settings(self) -> list[str]:
        """The swept keys that are real choices, without seeds and folds."""
        return [key for key in self.swept if key not in LUCK]

    def short(self, key: str) -> str:
        """Return the heading of a swept key: its last part if it is unique, else the whole key."""
        last = key.rpartition(".")[2]
        return last if sum(other.rpartition(".")[2] == last for other in self.swept) == 1 else key

    @property
    def luck(self) -> list[str]:
        """The swept keys that change a score only by chance."""
        return [key for key in self.swept if key in LUCK]

    @property
    def own_metrics(self) -> list[str]:
        """The names of the metrics that a user added."""
        return [metric["name"] for metric in self.facts.get("own_metrics") or []]

    def name(self, metric: str) -> str:
        """Return a metric in words: ``cv/auroc`` is ``AUROC, cross-validated``."""
        stage, _, name = metric.rpartition("/")
        texts = {each["name"]: each["text"] for each in self.facts.get("own_metrics") or []}
        words = METRICS[name].text if name in METRICS else texts.get(name, name.replace("_", " "))
        return f"{words}, {_STAGES.get(stage, stage)}" if stage else words

    def scores(self, job: Any, metric: str) -> Score:
        """Return a metric of a job, such as ``cv/brier``, with its interval; None or NaN where it is not known."""
        return Score(value=job.get(metric), low=job.get(f"{metric}_low"), high=job.get(f"{metric}_high"))


def as_score(content: Mapping[str, Any]) -> Score:
    """Return a score that was read from sweep.json."""
    return Score(**{name: content.get(name) for name in ("value", "low", "high")})


def hide_serials(text: str) -> str:
    """Return a job's message without scan serials, which may identify a patient."""
    return _SERIAL.sub("[number]", text)


TEXTS = ["folder", "status", "overrides", "message"]
NUMBERS = ["rank", "job", "score", "score_low", "score_high", "seconds"]
_SCORES = ("cv/", "test/", "val/")


def read_sweep(path: Path) -> SweepFiles:
    """Read a sweep directory.

    Raises:
        UserError: a file is damaged; the message names the file and the rule.
    """
    facts = load_json(path / "sweep.json")
    check_sweep(facts, path / "sweep.json")
    swept = {key: [str(value) for value in values] for key, values in (facts.get("swept") or {}).items()}
    jobs = _read_leaderboard(path / "leaderboard.csv", list(swept))
    if "model" in swept:
        swept["model"], jobs["model"] = list(map(get_model_title, swept["model"])), jobs["model"].map(get_model_title)
    folders = [path / folder for folder in jobs["folder"]]
    files = [folder / "result.json" for folder in folders]
    results = [read_result(file, RunResult) for file in files if file.is_file()]
    timeline = path / "timeline.csv"
    columns = (["task", "device", "outcome"], ["started", "ended"])
    return SweepFiles(
        path=path,
        facts=facts,
        winner=_check_block(path, facts, "winner", ("num_jobs", "score")),
        nested=_check_block(path, facts, "nested", _NESTED["folds" in (facts.get("nested") or ())]),
        jobs=jobs,
        swept=swept,
        caveats=Counter(code for result in results for code in result.caveats),
        leaks=Counter(result.verdict for result in results if result.verdict.startswith(LEAKAGE)),
        models=list(
            dict.fromkeys(get_model_title(get_choice_name(each.config.get("model") or {})) for each in results)
        ),
        evaluated=frozenset(filter(None, map(_evaluated, results))),
        patient_ids=frozenset(read_patient_ids(folder / "splits.json" for folder in folders)),
        timeline=read_table(timeline, *columns) if timeline.is_file() else None,
    )


def _check_block(path: Path, facts: dict[str, Any], key: str, needs: tuple[str, ...]) -> dict[str, Any]:
    """Return a block of sweep.json, empty if there is none."""
    block = facts.get(key) or {}
    absent = [name for name in needs if not isinstance(block, dict) or name not in block]
    if block and absent:
        raise UserError(f"{path / 'sweep.json'}: {key} is not as train.py writes it: {absent[0]} is missing")
    return block


def _read_leaderboard(path: Path, swept: list[str]) -> pd.DataFrame:
    """Return the leaderboard in the order of the ranks; swept values stay as they were written."""
    table = read_table(path, [*TEXTS, *swept], NUMBERS, _SCORES)
    if table["job"].isna().any():
        raise UserError(f"{path}: row {int(table['job'].isna().argmax()) + 2}: a job without a number")
    return table.sort_values("rank", kind="stable", na_position="last", ignore_index=True)


def _evaluated(result: RunResult) -> str:
    """Return which patients a job's cross-validation divided; empty without cross-validation."""
    evaluation = result.config.get("evaluation") or {}
    return "" if evaluation.get("name") == "off" else str(evaluation.get("patients") or "")
