"""The leaderboard: jobs ranked by cross-validation or by validation loss, never by the test part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hemexp.files.result import Score
from hemexp.metrics.own import get_metrics
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.results.job_result import DONE, JobScores, JobStatus, get_score, load_scores

Row = dict[str, Any]


@dataclass
class Leaderboard:
    """One row for each job, in the order of the ranking.

    Attributes:
        rows: the rows of leaderboard.csv.
        ranked_by: ``cv/…``, ``val/loss``, or None where no score can rank.
        lower_is_better: for the score that ranks.
        results: the scores of each job, by job number; None where it has no result.json.
    """

    rows: list[Row] = field(default_factory=list)
    ranked_by: str | None = None
    lower_is_better: bool = False
    results: Mapping[int, JobScores | None] = field(default_factory=dict)

    @property
    def ranked(self) -> list[Row]:
        """The rows with a rank, the best first."""
        return [row for row in self.rows if row["rank"]]

    @property
    def winner(self) -> Row | None:
        """The row of the best job, the first of several with the same score; None where no job has a rank."""
        return next(iter(self.ranked), None)


def get_row_score(row: Row) -> Score:
    """Return the score that ranks a row."""
    return Score(value=row["score"], low=row["score_low"], high=row["score_high"])


def rank(
    jobs: Sequence[SweepJob],
    statuses: Mapping[int, JobStatus],
    score: str,
    hide_test: bool = False,
    ended: dict[int, JobScores | None] | None = None,
) -> Leaderboard:
    """Return the leaderboard of a sweep from the run directories of its jobs.

    Args:
        jobs: all jobs of the sweep.
        statuses: by job number.
        score: the cross-validated score that ranks, such as ``auroc``.
        hide_test: leave out the scores of the test part. A search reports the test part once, for its winner.
        ended: the scores of the jobs that had ended at an earlier call, by job number; they are not read again. Those
            that have ended since are added.
    """
    results = {job.number: load_scores(job.directory) for job in jobs if job.number not in (ended or {})}
    if ended is not None:
        ended |= {number: result for number, result in results.items() if statuses[number].status != "missing"}
        results |= ended
    done = [job for job in jobs if statuses[job.number].status == DONE]
    ranked_by: str | None = f"cv/{score}"
    scores = {job.number: get_score(results[job.number], f"cv/{score}") for job in done}
    if not any(job_score.value is not None for job_score in scores.values()):
        ranked_by, scores = None, {}
        if done and all(job.cfg.split.val_fraction > 0 for job in done):
            ranked_by = "val/loss"
            scores = {job.number: Score(value=getattr(results[job.number], "best_loss", None)) for job in done}
    metrics = {metric.name: metric for metric in get_metrics(jobs[0].cfg.metrics if jobs else ())}
    lower = ranked_by == "val/loss" or not metrics[score].higher_is_better
    keys = list(dict.fromkeys(key for job in jobs for key in job.settings))
    names = list(dict.fromkeys(name for result in results.values() if result for name in result.metrics))
    names = [name for name in names if not (hide_test and name.startswith("test/"))]
    rows = [
        _build_row(job, statuses[job.number], results[job.number], scores.get(job.number, Score()), keys, names)
        for job in jobs
    ]
    ranked = [row for row in rows if row["score"] is not None]
    ranked.sort(key=lambda row: (row["score"] if lower else -row["score"], row["job"]))
    for position, row in enumerate(ranked):
        is_same = position and row["score"] == ranked[position - 1]["score"]
        row["rank"] = ranked[position - 1]["rank"] if is_same else position + 1
    return Leaderboard([*ranked, *(row for row in rows if row["score"] is None)], ranked_by, lower, results)


def _build_row(
    job: SweepJob, status: JobStatus, result: JobScores | None, score: Score, keys: list[str], metrics: list[str]
) -> Row:
    row: Row = {
        "rank": None,
        "job": job.number,
        "folder": job.directory.name,
        "status": status.status,
        "overrides": " ".join(job.overrides),
        **{key: job.settings.get(key) for key in keys},
    }
    scores = {"score": score} | {name: get_score(result, name) for name in metrics}
    for name, entry in scores.items():
        row |= {name: entry.value, f"{name}_low": entry.low, f"{name}_high": entry.high}
    return row | {
        **{name: getattr(result, name, None) for name in ("verdict", "best_loss", "epochs", "seconds")},
        "device": status.device,
        "config_hash": job.config_hash,
        "tags": " ".join(job.cfg.tags),
        "message": status.message,
    }
