"""Nested cross-validation of a search: score the chosen settings on patients that did not choose them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from hemexp.evaluation.cross_validation import corrected_t_test
from hemexp.evaluation.intervals import patient_shares, standard_error
from hemexp.files.result import LEAKAGE, TUNED_ON_TEST, RunResult
from hemexp.formatting import interval_text, ordinal
from hemexp.metrics.table import Metric
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.plan.search import Search
from hemexp.sweep.results.job_result import DONE, JobStatus, get_score, load_result
from hemexp.sweep.results.leaderboard import Leaderboard, rank

Nested = dict[str, Any]
Results = Mapping[int, RunResult]
_NOT_ENDED = ("missing", "interrupted")


def report_test_part(
    search: Search, jobs: Sequence[SweepJob], statuses: Mapping[int, JobStatus], stopped: bool
) -> tuple[Nested | None, list[str]]:
    """Return the entry ``nested`` of sweep.json, and notes to print; count the report.

    Args:
        search: the plan of the search.
        jobs: all jobs of the search.
        statuses: by job number. A search with jobs that have not ended is not reported.
        stopped: whether the user stopped the search.
    """
    if stopped or any(status.status in _NOT_ENDED for status in statuses.values()):
        return None, ["the test part is reported once the search is complete"]
    done = [job for job in jobs if statuses[job.number].status == DONE]
    # without new jobs the last report is repeated, not counted again
    reports = search.reports if search.reports[-1:] == [len(done)] else [*search.reports, len(done)]
    num_reports = len(reports)
    board = rank(done, statuses, search.base.search.score)
    nested, notes = _score_winners(search, done, board, is_first=num_reports == 1)
    if nested is None:
        return None, []
    search.reports = reports
    search.write_identity()
    if num_reports > 1:
        notes.append(
            f"{LEAKAGE}: {TUNED_ON_TEST}: this is the {ordinal(num_reports)} report of the test part: continuing a "
            "search after seeing the test score makes that score optimistic"
        )
    return {**nested, "reports": num_reports}, notes


def _score_winners(
    search: Search, jobs: Sequence[SweepJob], board: Leaderboard, is_first: bool
) -> tuple[Nested | None, list[str]]:
    metric = search.base.ranking_metric
    score = metric.name
    best: dict[int, int] = {}  # the number of the best job, by position of the fold
    for row in board.ranked if board.ranked_by == f"cv/{score}" else []:
        best.setdefault(row["job"] % len(search.folds), row["job"])
    if len(best) < len(search.folds):
        return None, []
    by_number = {job.number: job for job in jobs}
    winners = {fold: by_number[best[index]] for index, fold in enumerate(search.folds)}
    results = {job.number: result for job in winners.values() if (result := load_result(job.directory)) is not None}
    if None in winners:
        return _report_one_split(winners[None], results[winners[None].number], score, is_first)
    return _report_outer_folds(winners, results, metric)


def _report_one_split(winner: SweepJob, result: RunResult, score: str, is_first: bool) -> tuple[Nested, list[str]]:
    scores = {
        name.removeprefix("test/"): asdict(value) for name, value in result.metrics.items() if name.startswith("test/")
    }
    test_part = "the test part" + (", which was not used in the search" if is_first else "")
    note = (
        f"{winner.title} was chosen within the training part; on {test_part}: "
        f"{score} {interval_text(result.metrics[f'test/{score}'], 3)}"
    )
    return {"winner": winner.number, "test": scores}, [note]


def _report_outer_folds(
    winners: Mapping[int | None, SweepJob], results: Results, metric: Metric
) -> tuple[Nested, list[str]]:
    score = metric.name
    folds = [
        {
            "fold": fold,
            "winner": job.number,
            "chosen_by": get_score(results[job.number], f"cv/{score}").value,
            "test": get_score(results[job.number], f"test/{score}").value,
            "overrides": " ".join(job.overrides),
        }
        for fold, job in winners.items()
    ]
    values = np.array([np.nan if fold["test"] is None else fold["test"] for fold in folds], dtype=float)
    ratio = float(np.mean([results[job.number].num_test / results[job.number].num_train for job in winners.values()]))
    error = _estimate_patient_error(list(winners.values()), metric)
    mean = corrected_t_test(values, ratio, error)
    # the null hypothesis is an AUROC of 0.5; the other scores have no value without signal to test against
    p = corrected_t_test(values - 0.5, ratio, error).p if score == "auroc" else None
    if mean.low is not None and mean.high is not None:
        mean = replace(mean, low=max(metric.limits[0], mean.low), high=min(metric.limits[1], mean.high))
    note = (
        "nested cross-validation: in each outer fold a search chose within the training part; on the test folds "
        f"{score} {interval_text(mean, 3)}"
    )
    content = {"score": score, "value": mean.value, "low": mean.low, "high": mean.high, "p": p, "folds": folds}
    return content, [note] if mean.value is not None else []


def _estimate_patient_error(winners: Sequence[SweepJob], metric: Metric) -> float:
    """Return the standard error due to the number of patients; see `hemexp.evaluation.intervals`."""
    tables = [
        pd.read_csv(job.directory / "predictions.csv", dtype={"patient_id": str})
        .query("role == 'test'")
        .assign(fold=fold)
        for fold, job in enumerate(winners)
    ]
    table = pd.concat(tables)
    labels = table["label"].to_numpy(dtype=float)
    risks, folds = table["probability"].to_numpy()[None], table["fold"].to_numpy()[None]
    return standard_error(metric, patient_shares(metric, labels, risks, folds), labels)
