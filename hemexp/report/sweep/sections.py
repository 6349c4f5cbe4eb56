"""Sections about the settings, the ranking, the test scores and the failed jobs of a sweep."""

from typing import Any

import pandas as pd

from hemexp.formatting import count, num, score_text
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.html import without_ids
from hemexp.report.sweep.files import SweepFiles, hide_serials

SHOWN = 25  # rows of a leaderboard before the rest is folded
LOST = ("failed", "killed", "timeout", "missing")
_STATUS = {
    "done": "finished",
    "failed": "failed",
    "killed": "killed",
    "timeout": "stopped after the time limit",
    "pruned": "stopped early by the search",
    "interrupted": "interrupted",
    "missing": "never run",
}
_SEARCHES = {
    "grid": "every combination of these values",
    "random": "settings drawn at random",
    "tpe": "settings proposed by a search (tree-structured Parzen estimator) that learns from the earlier jobs",
}


def swept(sweep: SweepFiles) -> Block | None:
    """Return the section on the swept keys, the search and the ranking score."""
    keys = [[key, _listed(values), count(len(values))] for key, values in sweep.swept.items()]
    search, where = sweep.facts.get("search") or {}, sweep.facts.get("where") or {}
    rows = [["How settings were found", _SEARCHES.get(str(search.get("name")), str(search.get("name", "unknown")))]]
    rows += [["Model", sweep.models[0]]] if len(sweep.models) == 1 else []
    rows.append(["What ranks the jobs", f"{_ranking(sweep)}. Test scores do not rank the jobs"])
    rows.append(["Where the jobs ran", str(where.get("name", "unknown"))])
    rows.append(["Jobs", f"{count(len(sweep.jobs))}: {status_counts(sweep)}"])
    if sweep.facts.get("skipped"):
        rows.append(["Finished before this start", count(sweep.facts["skipped"])])
    shown = table("Swept keys", ["key", "values", "how many"], keys) if keys else text("No key has two values.", "note")
    return section("swept", "What was asked: the swept keys", [table("", ["", ""], rows), shown])


def status_counts(sweep: SweepFiles) -> str:
    """Return the number of jobs by status."""
    statuses = sweep.jobs["status"].value_counts()
    known = [name for name in _STATUS if name in statuses] + sorted(set(statuses.index) - set(_STATUS))
    return ", ".join(f"{count(statuses[name])} {_STATUS.get(name, name)}" for name in known)


def leaderboard(sweep: SweepFiles, figures: dict[str, Block]) -> Block | None:
    """Return the section with the ranking and the jobs without a rank."""
    if sweep.ranked.empty:
        words = (
            "No job has a rank: none was cross-validated, and none had patients of the training part held out "
            "(split.val_fraction). Test scores are not used to choose a job."
        )
        return section("leaderboard", "Leaderboard: the answer", [text(words, "warn"), _unranked(sweep)])
    others = [f"cv/{name}" for name in ("brier", *sweep.own_metrics)]
    others = [name for name in others if name in sweep.jobs and name != sweep.ranked_by]
    names = [_short_name(sweep, name) for name in (sweep.ranked_by, *others)]
    rows = [
        [count(job["rank"]), count(job["job"]), *job[list(sweep.swept)],
         *(score_text(sweep.scores(job, name), 3) for name in ("score", *others)), num(job["seconds"], 0)]
        for _, job in sweep.ranked.iterrows()
    ]  # fmt: skip
    note = f"{sweep.measure}: {'lower' if sweep.lower_is_better else 'higher'} is better. {_interval(sweep)}"
    if sweep.ranked["rank"].duplicated().any():
        note += " Jobs with exactly the same score have the same rank."
    caption = f"Jobs, best first by {sweep.measure}"
    head = ["rank", "job", *map(sweep.short, sweep.swept), *names, "seconds"]
    blocks = _folded(caption, head, rows, note, strong=0)
    return section("leaderboard", "Leaderboard: the answer", [*blocks, figures.get("sweep_scores"), _unranked(sweep)])


def _short_name(sweep: SweepFiles, metric: str) -> str:
    return sweep.name(metric.rpartition("/")[2])


def _folded(caption: str, head: list[str], rows: list[list[str]], note: str, strong: int = -1) -> list[Block]:
    """Return a table of the first rows, and a folded table of the others."""
    if len(rows) <= SHOWN:
        return [table(caption, head, rows, note, strong)]
    others = table("", head, rows[SHOWN:], note, folded=f"The other {count(len(rows) - SHOWN)} jobs")
    return [table(caption, head, rows[:SHOWN], strong=strong), others]


def _interval(sweep: SweepFiles) -> str:
    if sweep.ranked_by.startswith("cv/"):
        return (
            "In brackets, 95 % intervals: how far a score would move with other patients. All jobs use the same "
            "patients, so overlapping intervals do not mean that two jobs are equally good. The intervals are not "
            "corrected for choosing the best job."
        )
    return "The score of the validation part has no interval."


def _unranked(sweep: SweepFiles) -> Block | None:
    if sweep.unranked.empty:
        return None
    rows = [
        [count(job["job"]), *(job[key] for key in sweep.swept), _STATUS.get(job["status"], job["status"]),
         num(job["seconds"], 0)]
        for _, job in sweep.unranked.iterrows()
    ]  # fmt: skip
    folded = f"The {count(len(rows))} jobs without a rank" if len(rows) > SHOWN else ""
    head = ["job", *map(sweep.short, sweep.swept), "status", "seconds"]
    return table("Jobs without a rank", head, rows, folded=folded)


def test_scores(sweep: SweepFiles) -> Block | None:
    """Return the section on the scores of the test part, which are not used for the ranking."""
    metrics = [f"test/{name}" for name in ("auroc", "brier", *sweep.own_metrics)]
    metrics = [name for name in metrics if name in sweep.jobs and sweep.jobs[name].notna().any()]
    done = sweep.ranked if len(sweep.ranked) else sweep.jobs
    done = done[done[metrics].notna().any(axis=1)] if metrics else done.iloc[:0]
    if done.empty:
        return None
    words = (
        "Test scores are not used for the ranking; the rows are in the order of the leaderboard. Choosing a job by "
        "its test score would make that score too optimistic. "
    )
    explanations: dict[bool | None, str] = {
        True: "The jobs were ranked within the training part alone, so the test score of the job ranked first is a "
        "fair estimate. Do not choose a job by the test scores of the others.",
        False: "The cross-validation that ranked the jobs used all labeled patients, also those of the test part. "
        "So even the test score of the first job is not an independent check of the choice.",
    }
    if sweep.num_reports > 1:
        words += "The search continued after its test score was seen, so even the first job’s test score is optimistic."
    elif not sweep.luck or not sweep.test_untouched:
        words += explanations.get(sweep.test_untouched, "")
    else:
        words += "Where folds or seeds are swept, one job’s test patients may be another’s training patients. "
    head = ["rank", "job", *(_short_name(sweep, name) for name in metrics)]
    rows = [
        [count(job["rank"]) if job["rank"] == job["rank"] else "–", count(job["job"]),
         *(score_text(sweep.scores(job, name), 3) for name in metrics)]
        for _, job in done.iterrows()
    ]  # fmt: skip
    caption = "Test part, in the order of the leaderboard"
    blocks = _folded(caption, head, rows, "In brackets, 95 % intervals.")
    return section("test-scores", "Test scores (not used for the ranking)", [text(words), *blocks])


def failures(sweep: SweepFiles, patients: bool) -> Block | None:
    """Return the section on the jobs without a result: what happened, the message and the log."""
    lost = sweep.jobs[sweep.jobs["status"].isin(LOST)]
    if lost.empty:
        return None
    rows = [_lost(sweep, job, patients) for _, job in lost.iterrows()]
    words = (
        f"{count(len(rows))} of {count(len(sweep.jobs))} jobs have no result. They are not in the figures and means "
        "above. The command at the end of this page runs only these jobs again."
    )
    head = ["job", "settings", "what happened", "message", "log"]
    return section("failures", "Failures", [text(words, "warn"), table("Jobs without a result", head, rows)])


def _lost(sweep: SweepFiles, job: "pd.Series[Any]", patients: bool) -> list[str]:
    message = str(job["message"])
    if not patients:  # a message may quote the cohort, where a short number may be a name
        message = hide_serials(without_ids(message, sweep.patient_ids, short_too=True))
    log = "" if job["status"] == "missing" else f"{job['folder']}/train.log"
    return [count(job["job"]), str(job["overrides"]), _STATUS.get(job["status"], job["status"]), message, log]


def _ranking(sweep: SweepFiles) -> str:
    if not sweep.ranked_by:
        return "nothing: no job was cross-validated or had a validation part"
    best = "the lowest is best" if sweep.lower_is_better else "the highest is best"
    inside = " within the training part" if sweep.test_untouched and sweep.ranked_by.startswith("cv/") else ""
    return f"{sweep.measure}{inside}; {best}"


def _listed(values: list[str], most: int = 12) -> str:
    shown = values if len(values) <= most else [*values[: most - 1], f"… and {len(values) - most + 1} more"]
    return ", ".join(shown)
