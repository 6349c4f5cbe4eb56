"""The status of a job and its result.json."""

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


def load_result(directory: Path) -> RunResult | None:
    """Return the result.json of a run directory; None where it is missing, damaged or of another version."""
    try:
        return read_result(directory / RESULT, RunResult)
    except UserError:
        return None


def get_score(result: RunResult | None, name: str) -> Score:
    """Return a score, such as ``cv/auroc``; a score without values where there is none."""
    return Score() if result is None else result.metrics.get(name, Score())
