"""The status of a job and its result.json."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hemexp.errors import UserError
from hemexp.files.result import RESULT, RunResult, Score, read_result

DONE = "done"
LOST = ("failed", "killed", "timeout")


@dataclass
class JobStatus:
    """The status of a job, with its message and its device.

    Attributes:
        status: ``missing`` (not ended yet), or an outcome of `hemexp.sweep.backends.base.ItemResult`.
        message: one line, empty where there is nothing to report.
        device: the device that the job ran on.
    """

    status: str = "missing"
    message: str = ""
    device: str = ""


@dataclass(frozen=True)
class JobScores:
    """The scores of a job for the ranking. The whole result.json would need a hundred times the memory."""

    metrics: Mapping[str, Score]
    verdict: str
    best_loss: float | None
    epochs: int | None
    seconds: float
    versions: str


def load_result(directory: Path) -> RunResult | None:
    """Return the result.json of a run directory; None where it is missing, damaged or of another version."""
    try:
        return read_result(directory / RESULT, RunResult)
    except UserError:
        return None


def load_scores(directory: Path) -> JobScores | None:
    """Return the scores in the result.json of a run directory; None where `load_result` returns None."""
    result = load_result(directory)
    if result is None:
        return None
    versions = sys.intern(repr(sorted(result.versions.items())))  # one text for all jobs
    return JobScores(result.metrics, result.verdict, result.best_loss, result.epochs, result.seconds, versions)


def get_score(result: RunResult | JobScores | None, name: str) -> Score:
    """Return a score, such as ``cv/auroc``; a score without values where there is none."""
    return Score() if result is None else result.metrics.get(name, Score())
