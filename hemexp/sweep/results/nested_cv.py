"""What a search may be reported by: the test parts that it has not seen."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hemexp.config import LOWER_IS_BETTER, KFoldSplitConfig
from hemexp.evaluation.cross_validation import corrected_t_test
from hemexp.evaluation.intervals import patient_shares, standard_error
from hemexp.formatting import interval_text, ordinal
from hemexp.sweep.controller import Sweep
from hemexp.sweep.directory import read_result
from hemexp.sweep.plan.job import SweepJob
from hemexp.sweep.plan.search import Search
from hemexp.sweep.results.leaderboard import DONE, Fate

Results = Mapping[int, Mapping[str, Any]]
_OPEN = ("missing", "interrupted")


def report(found: Search, sweep: Sweep) -> dict[str, Any]:
    """Return the entry ``nested`` of sweep.json, and the ``notes`` that say it in print; each new report is counted.

    Args:
        found: the search; one that is not complete has nothing to report.
        sweep: its jobs.
    """
    if sweep.stopped or any(fate.status in _OPEN for fate in sweep.fates.values()):
        return {"nested": None, "notes": ["the test part is reported once the search is complete"]}
    num_done = sum(fate.status == DONE for fate in sweep.fates.values())
    # where nothing was added, the same is said again
    reports = found.reports if found.reports[-1:] == [num_done] else [*found.reports, num_done]
    times = len(reports)
    more = _nested(found, sweep.jobs, sweep.fates, "" if times > 1 else ", which the search has not seen")
    if more["nested"] is None:
        return more
    found.reports = reports
    found.write_identity()
    if times > 1:
        which = f"the test part is reported for the {ordinal(times)} time"
        more["notes"].append(f"{which}: who looks and goes on searching chooses by the test part")
    return more | {"nested": {**more["nested"], "reports": times}}


def _nested(found: Search, jobs: Sequence[SweepJob], fates: Mapping[int, Fate], unseen: str) -> dict[str, Any]:
    """Return the scores of the winners where nothing chose them.

    Args:
        found: the search.
        jobs: all of its jobs.
        fates: what became of them, by number.
        unseen: what is to be said of the test part.
    """
    score = found.base.search.score
    done = [job for job in jobs if fates[job.number].status == DONE]
    results = {job.number: read_result(job.folder) for job in done}
    winners = [
        _winner([job for job in done if _fold_of(job, found) == fold], results, score)
        for fold in (found.space.folds or (None,))
    ]
    if None in winners:
        return {"nested": None}
    chosen = [winner for winner in winners if winner is not None]
    if not found.space.folds:
        return _one_split(chosen[0], results[chosen[0].number], score, unseen)
    return _outer_loop(chosen, results, score)


def _fold_of(job: SweepJob, found: Search) -> int | None:
    split = job.cfg.split
    return split.fold if found.space.folds and isinstance(split, KFoldSplitConfig) else None


def _winner(jobs: Sequence[SweepJob], results: Results, score: str) -> SweepJob | None:
    """Return the job that cross-validation within the training part likes best, of equals the first."""
    sign = 1 if score in LOWER_IS_BETTER else -1
    ranked = [
        (sign * value, job.number, job) for job in jobs if (value := _value(results, job, f"cv/{score}")) is not None
    ]
    return min(ranked)[2] if ranked else None


def _value(results: Results, job: SweepJob, name: str) -> float | None:
    value = results[job.number].get("metrics", {}).get(name, {}).get("value")
    return None if value is None else float(value)


def _one_split(winner: SweepJob, result: Mapping[str, Any], score: str, unseen: str) -> dict[str, Any]:
    scores = {
        name.removeprefix("test/"): value for name, value in result["metrics"].items() if name.startswith("test/")
    }
    text = interval_text(scores[score], 3)
    note = f"{winner.title} was chosen within the training part; the test part{unseen}: "
    return {"nested": {"winner": winner.number, "test": scores}, "notes": [f"{note}{score} {text}"]}


def _outer_loop(winners: Sequence[SweepJob], results: Results, score: str) -> dict[str, Any]:
    folds = [
        {
            "fold": getattr(job.cfg.split, "fold", None),
            "winner": job.number,
            "chosen_by": _value(results, job, f"cv/{score}"),
            "test": _value(results, job, f"test/{score}"),
            "overrides": " ".join(job.overrides),
        }
        for job in winners
    ]
    values = np.array([np.nan if fold["test"] is None else fold["test"] for fold in folds], dtype=float)
    ratio = float(np.mean([results[job.number]["num_test"] / results[job.number]["num_train"] for job in winners]))
    error = _least_error(winners, score)
    tested = corrected_t_test(values, ratio, error)
    # a score of zero means nothing; an AUROC of 0.5 is what a coin has
    tested["p"] = corrected_t_test(values - 0.5, ratio, error)["p"] if score == "auroc" else None
    if score != "log_loss" and tested["low"] is not None and tested["high"] is not None:
        tested |= {"low": max(0.0, tested["low"]), "high": min(1.0, tested["high"])}
    note = "nested cross-validation: in each outer fold a search chose within the training part; on the test folds "
    notes = [f"{note}{score} {interval_text(_interval(tested), 3)}"] if tested["value"] is not None else []
    return {"nested": {"score": score, **tested, "folds": folds}, "notes": notes}


def _interval(tested: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: tested[name] for name in ("value", "low", "high")}


def _least_error(winners: Sequence[SweepJob], score: str) -> float | None:
    """Return the standard error that the patients alone make; see `hemexp.evaluation.intervals`."""
    tables = [
        pd.read_csv(job.folder / "predictions.csv", dtype={"patient_id": str}).query("role == 'test'").assign(fold=fold)
        for fold, job in enumerate(winners)
    ]
    table = pd.concat(tables)
    labels = table["label"].to_numpy(dtype=float)
    risks, folds = table["probability"].to_numpy()[None], table["fold"].to_numpy()[None]
    shares = patient_shares(score, labels, risks, folds)
    return None if shares is None else standard_error(score, shares, labels)
