"""The jobs of a sweep, best first: by cross-validation, else by the validation part. Never by the test part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hemexp.config import LOWER_IS_BETTER
from hemexp.sweep.directory import read_result
from hemexp.sweep.plan.job import SweepJob

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
DONE = "done"
LOST = ("failed", "killed", "timeout")


@dataclass
class Fate:
    """What is known of a job beside its files."""

    status: str = "missing"
    message: str = ""
    device: str = ""


@dataclass
class Leaderboard:
    """A row a job, in order.

    Attributes:
        rows: as in leaderboard.csv.
        ranked_by: ``cv/…``, ``val/loss``, or None where there is nothing to rank by.
        lower_is_better: of the score.
    """

    rows: list[Row] = field(default_factory=list)
    ranked_by: str | None = None
    lower_is_better: bool = False

    @property
    def winner(self) -> Row | None:
        """The best ranked job."""
        return self.rows[0] if self.rows and self.rows[0]["rank"] else None

    def table(self) -> "pd.DataFrame":
        """Return it as a table; ``rank`` is empty where a job has none."""
        import pandas as pd

        return pd.DataFrame(self.rows)


def rank(jobs: Sequence[SweepJob], fates: Mapping[int, Fate], score: str, hide_test: bool = False) -> Leaderboard:
    """Return the leaderboard of a sweep from its jobs' folders.

    Args:
        jobs: all of the sweep.
        fates: by number.
        score: that ranks, such as ``auroc``, where jobs are cross-validated.
        hide_test: leave the test part's scores out, lest they choose: a search reports one of them.
    """
    results = {job.number: read_result(job.folder) for job in jobs}
    done = [job for job in jobs if fates[job.number].status == DONE]
    scores = {job.number: results[job.number].get("metrics", {}).get(f"cv/{score}") for job in done}
    ranked_by: str | None = f"cv/{score}"
    if not any(each and each["value"] is not None for each in scores.values()):
        held_out = done and all(job.cfg.split.val_fraction > 0 for job in done)
        ranked_by = "val/loss" if held_out else None
        scores = {job.number: {"value": results[job.number].get("best_loss")} for job in done} if held_out else {}
    lower = ranked_by == "val/loss" or score in LOWER_IS_BETTER
    keys = list(dict.fromkeys(each.partition("=")[0].lstrip("+") for job in jobs for each in job.overrides))
    metrics = list(dict.fromkeys(name for result in results.values() for name in result.get("metrics", {})))
    metrics = [name for name in metrics if not (hide_test and name.startswith("test/"))]
    rows = [
        _row(job, fates[job.number], results[job.number], scores.get(job.number) or {}, keys, metrics) for job in jobs
    ]
    ranked = [row for row in rows if row["score"] is not None]
    ranked.sort(key=lambda row: (row["score"] if lower else -row["score"], row["job"]))
    for place, row in enumerate(ranked, start=1):
        row["rank"] = place
    return Leaderboard([*ranked, *(row for row in rows if row["score"] is None)], ranked_by, lower)


def _row(
    job: SweepJob,
    fate: Fate,
    result: Mapping[str, Any],
    score: Mapping[str, Any],
    keys: Sequence[str],
    metrics: Sequence[str],
) -> Row:
    settings = dict(each.lstrip("+").split("=", 1) for each in job.overrides)
    row: Row = {
        "rank": None,
        "job": job.number,
        "folder": job.folder.name,
        "status": fate.status,
        "overrides": " ".join(job.overrides),
        **{key: settings.get(key) for key in keys},
        "score": score.get("value"),
        "score_low": score.get("low"),
        "score_high": score.get("high"),
    }
    for name in metrics:
        value = result.get("metrics", {}).get(name, {})
        row |= {name: value.get("value"), f"{name}_low": value.get("low"), f"{name}_high": value.get("high")}
    kept = ("best_loss", "epochs", "seconds")
    return {
        **row,
        **{name: result.get(name) for name in kept},
        "device": fate.device,
        "config_hash": job.key,
        "tags": " ".join(job.cfg.tags),
        "message": fate.message,
    }
