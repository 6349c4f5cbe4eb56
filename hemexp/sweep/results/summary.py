"""What a sweep's own files say, and what must be said beside a ranking."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from hemexp import __version__
from hemexp.config import TrainConfig
from hemexp.files.writing import write_text
from hemexp.sweep.backends.base import Ended
from hemexp.sweep.directory import read_result
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.progress import duration, score_text
from hemexp.sweep.results.leaderboard import DONE, Leaderboard
from hemexp.sweep.results.reevaluation import read_reevaluation

SWEEP, LEADERBOARD, TIMELINE = "sweep.json", "leaderboard.csv", "timeline.csv"
_COLUMNS = ("task", "jobs", "device", "started", "ended", "outcome")
_ENDS = (("", "value"), ("_low", "low"), ("_high", "high"))
# what a ranking must not be read as choosing: what differs among its jobs, and what that makes of their scores
_NO_CHOICE: tuple[tuple[str, Callable[[TrainConfig], object], str], ...] = (
    ("label", lambda cfg: cfg.label, "scores of different outcomes stand side by side, none is better than another"),
    ("data", lambda cfg: cfg.data, "scores of different patients stand side by side, none is better than another"),
    (
        "split",
        lambda cfg: replace(cfg.split, val_fraction=0),
        "scores of different patients stand side by side, none is better than another",
    ),
    ("evaluation", lambda cfg: cfg.evaluation, "scores that were measured differently stand side by side"),
    ("seed", lambda cfg: cfg.seed, "how far the scores lie apart is luck; to choose the best would be cheating"),
)


def build_summary(cfg: TrainConfig, jobs: Sequence[SweepJob], board: Leaderboard, directory: Path) -> dict[str, Any]:
    """Return what sweep.json says of the sweep and its winner.

    Args:
        cfg: any job's.
        jobs: all.
        board: their leaderboard.
        directory: the sweep's, which may hold the winner's scores on fresh folds.
    """
    swept: dict[str, list[str]] = {}
    for job in jobs:
        for override in job.overrides:
            key, _, value = override.lstrip("+").partition("=")
            swept.setdefault(key, [])
            if value not in swept[key]:
                swept[key].append(value)
    best, winner = board.winner, None
    if best is not None:
        score = {"value": best["score"], "low": best["score_low"], "high": best["score_high"]}
        ranked = sum(row["rank"] is not None for row in board.rows)
        winner = {"job": best["job"], "folder": best["folder"], "num_jobs": ranked, "score": score}
        winner["baseline"] = _best_baseline(read_result(directory / best["folder"]), board)
        fresh = read_reevaluation(directory, read_result(directory / best["folder"]))
        if fresh is not None and board.ranked_by in fresh["metrics"]:
            winner |= {"fresh": fresh["metrics"][board.ranked_by], "fold_seed": fresh["fold_seed"]}
    packages = {name: version(name) for name in ("torch", "lightning", "hydra-core")}
    return {
        "ranked_by": board.ranked_by,
        "lower_is_better": board.lower_is_better,
        "search": asdict(cfg.search),
        "where": asdict(cfg.where),
        "swept": {key: values for key, values in swept.items() if len(values) > 1},
        "versions": {"python": python_version(), "hemexp": __version__, **packages},
        "winner": winner,
        "nested": None,
    }


def _best_baseline(result: Mapping[str, Any], board: Leaderboard) -> dict[str, Any] | None:
    """Return name and score of the best baseline on the folds of a job, where it was ranked by such a score."""
    stage, _, measure = (board.ranked_by or "").partition("/")
    rows = [row for row in result.get("comparison") or [] if not row["is_model"] and row.get(measure)]
    known = [row for row in rows if stage == "cv" and row[measure]["value"] is not None]
    sign = 1 if board.lower_is_better else -1
    best = min(known, key=lambda row: sign * row[measure]["value"], default=None)
    return None if best is None else {"model": best["model"], **best[measure]}


def why_no_choice(jobs: Sequence[SweepJob], board: Leaderboard) -> list[str]:
    """Return why the order of the ranked jobs chooses nothing; nothing where it may choose."""
    ranked = {row["job"] for row in board.rows if row["rank"]}
    cfgs = [job.cfg for job in jobs if job.number in ranked]
    why = [f"{name} differs: {why}" for name, part, why in _NO_CHOICE if len({repr(part(cfg)) for cfg in cfgs}) > 1]
    if board.ranked_by == "val/loss" and len({cfg.split.val_fraction for cfg in cfgs}) > 1:
        why.append("split.val_fraction differs: losses of different patients stand side by side")
    return why


def remarks(
    jobs: Sequence[SweepJob], board: Leaderboard, content: Mapping[str, Any], best: Mapping[str, Any]
) -> list[str]:
    """Return what must be said beside a ranking.

    Args:
        jobs: of the sweep.
        board: theirs.
        content: of sweep.json.
        best: result.json of the best job.
    """
    from hemexp.commands.console import claim_notes

    winner = content["winner"]
    if winner is None:
        if not any(row["status"] == DONE for row in board.rows):
            return []
        return [
            "not ranked: jobs were neither cross-validated (evaluation=off) nor had patients held out "
            "(split.val_fraction=0); test scores report, they never choose"
        ]
    notes = [
        f"verdict of job {winner['job']}: {best['verdict']} (of leaks, no praise)",
        *claim_notes(best.get("claim")),
    ]
    if rival := winner.get("baseline"):
        row = {f"score{end}": rival[key] for end, key in _ENDS}
        notes.append(f"the best baseline on its folds, {rival['model']}: {board.ranked_by} {score_text(row)}")
    notes += why_no_choice(jobs, board)
    ranked = {row["job"] for row in board.rows if row["rank"]}
    cfgs = [job.cfg for job in jobs if job.number in ranked]
    if (board.ranked_by or "").startswith("cv/") and any(cfg.evaluation.patients == "labelled" for cfg in cfgs):
        notes.append(
            "the cross-validation that ranks goes over the test part's patients too: a test score is no check of the "
            "choice (evaluation.patients=train leaves them out)"
        )
    versions = [read_result(job.folder).get("versions") for job in jobs if job.number in ranked]
    if any(each != versions[0] for each in versions):
        notes.append("versions differ: some jobs were run by other versions of Python, hemexp or its packages")
    if winner["num_jobs"] > 1:
        why = f"the best of {winner['num_jobs']} looks better than it is, on average"
        notes.append(f"{why}: it was chosen by this very score")
        if "fresh" in winner:
            row = {f"score{end}": winner["fresh"][key] for end, key in _ENDS}
            notes[-1] = f"{why}; on fresh folds of the same patients it has {board.ranked_by} {score_text(row)}"
    return notes


def score_line(job: SweepJob, score: str) -> str:
    """Return how a finished job did, in a line."""
    result = read_result(job.folder)
    value = result.get("metrics", {}).get(f"cv/{score}") or {}
    if value.get("value") is None:
        shown = f"best loss {result['best_loss']:.3f}" if result.get("best_loss") is not None else "done"
    else:
        shown = f"cv/{score} {score_text({f'score{end}': value[key] for end, key in _ENDS})}"
    return f"{shown}, {duration(result.get('seconds', 0.0))}"


def devices_in(directory: Path) -> dict[str, str]:
    """Return where the jobs of an earlier start ran, by configuration hash."""
    try:
        with (directory / LEADERBOARD).open(encoding="utf-8", newline="") as lines:
            return {row["config_hash"]: row["device"] for row in csv.DictReader(lines)}
    except (OSError, KeyError):
        return {}


def add_to_timeline(directory: Path, events: Sequence[Ended]) -> None:
    """Write down which tasks have run, below those of earlier starts."""
    path = directory / TIMELINE
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not path.is_file():
        writer.writerow(_COLUMNS)
    for event in events:
        numbers = " ".join(str(job.number) for job in event.task.jobs)
        times = (round(event.started, 3), round(event.ended, 3))
        writer.writerow([event.task.kind, numbers, event.device, *times, event.outcome])
    earlier = path.read_text(encoding="utf-8") if path.is_file() else ""
    write_text(path, earlier + text.getvalue())
