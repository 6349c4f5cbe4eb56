"""The content of sweep.json, and the notes that are printed with a ranking."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from hemexp import __version__
from hemexp.config import TrainConfig
from hemexp.files.result import CONCLUSIONS, NO_LEAKAGE, RunResult, Score, describe_leak, describe_metrics
from hemexp.formatting import format_duration, interval_text, plural
from hemexp.metrics.own import get_metrics
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.results.job_result import DONE, get_score, load_result
from hemexp.sweep.results.leaderboard import Leaderboard, get_row_score
from hemexp.sweep.results.reevaluation import read_reevaluation

_OTHER_PATIENTS = "the scores are for different patients and cannot be compared"
# keys that make a ranking meaningless where they differ between jobs: key, value, reason
_NOT_COMPARABLE: tuple[tuple[str, Callable[[TrainConfig], object], str], ...] = (
    ("label", lambda cfg: cfg.label, "the scores are for different outcomes and cannot be compared"),
    ("data", lambda cfg: cfg.data, _OTHER_PATIENTS),
    ("split", lambda cfg: replace(cfg.split, val_fraction=0), _OTHER_PATIENTS),
    ("evaluation", lambda cfg: cfg.evaluation, "the scores were measured in different ways and cannot be compared"),
    ("seed", lambda cfg: cfg.seed, "the differences between the scores are luck; do not choose the best seed"),
)


def build_summary(cfg: TrainConfig, jobs: Sequence[SweepJob], board: Leaderboard, directory: Path) -> dict[str, Any]:
    """Return the part of sweep.json that describes the sweep and its winner.

    Args:
        cfg: configuration of any job.
        jobs: all jobs.
        board: their leaderboard.
        directory: of the sweep.
    """
    swept: dict[str, dict[str, None]] = {}  # the different values of each key, in their order
    for job in jobs:
        for key, value in job.settings.items():
            swept.setdefault(key, {})[value] = None
    packages = {name: version(name) for name in ("torch", "lightning", "hydra-core")}
    return {
        "ranked_by": board.ranked_by,
        "lower_is_better": board.lower_is_better,
        "search": asdict(cfg.search),
        "where": asdict(cfg.where),
        "own_metrics": [asdict(metric) for metric in describe_metrics(get_metrics(cfg.metrics))],
        "swept": {key: list(values) for key, values in swept.items() if len(values) > 1},
        "versions": {"python": python_version(), "hemexp": __version__, **packages},
        "winner": _build_winner(board, directory),
    }


def _build_winner(board: Leaderboard, directory: Path) -> dict[str, Any] | None:
    best = board.winner
    if best is None:
        return None
    result = load_result(directory / best["folder"])
    winner = {
        "job": best["job"],
        "folder": best["folder"],
        "num_jobs": len(board.ranked),
        "score": asdict(get_row_score(best)),
        "conclusion": None if result is None else result.conclusion,
        "baseline": _find_best_baseline(result, board),
    }
    reevaluation = read_reevaluation(directory, result)
    score = reevaluation.metrics.get(board.ranked_by or "") if reevaluation is not None else None
    if reevaluation is not None and score is not None:
        winner |= {"reevaluation": asdict(score), "fold_seed": reevaluation.fold_seed}
    return winner


def _find_best_baseline(result: RunResult | None, board: Leaderboard) -> dict[str, Any] | None:
    """Return name and score of the best baseline on the folds of a job that was ranked by cross-validation."""
    stage, _, measure = (board.ranked_by or "").partition("/")
    if result is None or stage != "cv":
        return None
    scores: dict[str, Score] = {
        row.model: row.own_metrics[measure] if measure in row.own_metrics else getattr(row, measure, Score())
        for row in result.comparison
        if not row.is_model
    }
    values = {model: score.value for model, score in scores.items() if score.value is not None}
    if not values:
        return None
    best = (min if board.lower_is_better else max)(values, key=values.__getitem__)
    return {"model": best, **asdict(scores[best])}


def find_incomparable(jobs: Sequence[SweepJob], board: Leaderboard) -> list[str]:
    """Return the reasons why the ranking must not be used to choose a job; empty where it may be used."""
    ranked = {row["job"] for row in board.ranked}
    cfgs = [job.cfg for job in jobs if job.number in ranked]
    reasons = [
        f"{name} differs between jobs: {reason}"
        for name, get_value, reason in _NOT_COMPARABLE
        if len({repr(get_value(cfg)) for cfg in cfgs}) > 1
    ]
    if board.ranked_by == "val/loss" and len({cfg.split.val_fraction for cfg in cfgs}) > 1:
        reasons.append("split.val_fraction differs between jobs: losses of different patients are not comparable")
    return reasons


def build_notes(jobs: Sequence[SweepJob], board: Leaderboard, summary: Mapping[str, Any]) -> list[str]:
    """Return the notes that are printed with a ranking.

    Args:
        jobs: of the sweep.
        board: their leaderboard.
        summary: the content of sweep.json.
    """
    winner = summary["winner"]
    if winner is None:
        if not any(row["status"] == DONE for row in board.rows):
            return []
        return [
            "not ranked: the jobs were not cross-validated (evaluation=off) and have no validation part "
            "(split.val_fraction=0); scores of the test part never rank"
        ]
    ranked_jobs = [job for job in jobs if any(row["job"] == job.number for row in board.ranked)]
    notes = _describe_best(next(job for job in ranked_jobs if job.number == winner["job"]))
    best = [str(row["job"]) for row in board.ranked if row["rank"] == 1]
    if len(best) > 1:
        notes.append(
            f"jobs {', '.join(best)} have exactly the same {board.ranked_by}: job {best[0]} is only the first of them"
        )
    leaks = Counter(result.verdict for result in board.results.values() if result and describe_leak(result.verdict))
    notes += [f"{verdict} in {plural(number, 'job')}: {describe_leak(verdict)}" for verdict, number in leaks.items()]
    if baseline := winner["baseline"]:
        notes.append(
            f"the best baseline on the same folds is {baseline['model']}: {board.ranked_by} {_format_score(baseline)}"
        )
    notes += find_incomparable(jobs, board)
    by_folds = (board.ranked_by or "").startswith("cv/")
    if by_folds and any(job.cfg.evaluation.patients == "labelled" for job in ranked_jobs):
        notes.append(
            "the cross-validation that ranks the jobs includes the patients of the test part: a test score is not an "
            "independent check of the choice (evaluation.patients=train leaves these patients out)"
        )
    results = [board.results[job.number] for job in ranked_jobs]
    if len({result and result.versions for result in results}) > 1:
        notes.append("versions differ between jobs: some ran with another version of Python, hemexp or its packages")
    if winner["num_jobs"] > 1:
        text = f"the best of {winner['num_jobs']} jobs looks better than it is, on average"
        if "reevaluation" in winner:
            score = _format_score(winner["reevaluation"])
            notes.append(f"{text}; on new folds of the same patients it has {board.ranked_by} {score}")
        else:
            notes.append(f"{text}: it was chosen by this score")
    return notes


def _describe_best(job: SweepJob) -> list[str]:
    from hemexp.commands.console import claim_notes

    result = load_result(job.directory)
    if result is None:
        return []
    verdict = [] if result.verdict == NO_LEAKAGE else [f"verdict of job {job.number}: {result.verdict}"]
    conclusion = f"the best job, job {job.number}, is {CONCLUSIONS[result.conclusion]}"
    return [conclusion, *verdict, *claim_notes(result.claim)]


def _format_score(content: Mapping[str, Any]) -> str:
    return interval_text(Score(**{name: content[name] for name in ("value", "low", "high")}), 3)


def format_score(job: SweepJob, score: str) -> str:
    """Return the score and the duration of a finished job in one line."""
    result = load_result(job.directory)
    value = get_score(result, f"cv/{score}")
    if value.value is not None:
        text = f"cv/{score} {interval_text(value, 3)}"
    elif result is not None and result.best_loss is not None:
        text = f"best loss {result.best_loss:.3f}"
    else:
        text = "done"
    return f"{text}, {format_duration(result.seconds if result is not None else 0.0)}"
