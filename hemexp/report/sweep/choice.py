"""Sections about the best job: its optimism, its score after the choice, and the limits of the sweep."""

from typing import Any

import numpy as np
import pandas as pd

from hemexp.config import get_model_title
from hemexp.files.result import Score
from hemexp.formatting import bounds, count, num, ordinal, p_value, plural, score_text
from hemexp.metrics.table import METRICS
from hemexp.report.blocks import Block, bullets, caveat_text, section, table, text
from hemexp.report.sweep.effects import expected_maximum, luck_within
from hemexp.report.sweep.files import SweepFiles, as_score

_WIDTH = 2 * 1.96  # standard errors in a 95 % interval
_OUTCOME_KEYS = ("label", "data")  # these keys change the outcome or the patients


def standard_error(jobs: pd.DataFrame) -> float:
    """Return the typical standard error of a job, from the width of the intervals; NaN without intervals."""
    return float((jobs["score_high"] - jobs["score_low"]).median()) / _WIDTH


def count_near_best(sweep: SweepFiles) -> int | None:
    """Return the number of other ranked jobs within one standard error of the best; None if it is not known."""
    jobs = sweep.ranked
    error = standard_error(jobs) if len(jobs) > 1 else float("nan")
    return None if np.isnan(error) else int((abs(jobs["score"] - jobs.iloc[0]["score"]) <= error).sum()) - 1


def selection_rows(sweep: SweepFiles) -> list[tuple[str, Score]]:
    """Return the score that ranked the best job and, if it was evaluated again, its score on new folds."""
    if sweep.ranked.empty:
        return []
    rows = [("best job, as ranked", sweep.scores(sweep.ranked.iloc[0], "score"))]
    again = sweep.winner.get("reevaluation")
    return [*rows, ("the same settings on new folds", as_score(again))] if again else rows


def compared_rows(sweep: SweepFiles) -> list[tuple[str, Score]]:
    """Return the rows of `selection_rows`, the nested result by the same score, and the best baseline."""
    rows, (name, nested) = selection_rows(sweep), nested_headline(sweep)
    search = str((sweep.facts.get("search") or {}).get("score", "auroc"))
    if nested is not None and sweep.ranked_by.endswith(f"/{search}"):
        rows.append((name, nested))
    baseline = sweep.winner.get("baseline")
    return [*rows, (get_model_title(baseline["model"]), as_score(baseline))] if baseline else rows


def winners_curse(sweep: SweepFiles) -> Block | None:
    """Return the section on the optimism of the best score."""
    jobs = sweep.ranked
    if len(jobs) < 2:
        return None
    rows = selection_rows(sweep)
    words = [
        f"Job {count(jobs.iloc[0]['job'])} has the best score of {count(len(jobs))}: {score_text(rows[0][1], 3)} "
        f"({sweep.measure}). The best of many scores is usually too optimistic: the job may be good, lucky, or both. "
        "The interval is not corrected for this choice."
    ]
    if len(rows) > 1:
        words.append(_new_folds_words(sweep, rows))
    words.append(_expected_optimism(sweep, jobs, again=len(rows) > 1))
    return section(
        "curse", f"How sure: is the best of {count(len(jobs))} scores too optimistic?", list(map(text, words))
    )


def _new_folds_words(sweep: SweepFiles, rows: list[tuple[str, Score]]) -> str:
    before, again = bounds(rows[0][1])[0], bounds(rows[1][1])[0]
    worse = (again - before) if sweep.lower_is_better else (before - again)
    better = f"better by {num(-worse, 3)}, so no optimism from these folds is visible"
    change = f"worse by {num(worse, 3)}" if worse > 0 else better
    return (
        "The same settings, cross-validated again on new folds that were not used for the choice, score "
        f"{score_text(rows[1][1], 3)}: {change}. This is the number to quote. New folds remove the "
        "luck of the folds, but the patients are the same. Only new patients can show the rest of the optimism."
    )


def _expected_optimism(sweep: SweepFiles, jobs: pd.DataFrame, again: bool) -> str:
    steps = expected_maximum(len(jobs))
    error, spread = standard_error(jobs), float(jobs["score"].std(ddof=1))
    within = luck_within(jobs, sweep.settings) if sweep.luck else float("nan")
    side = "below" if sweep.lower_is_better else "above"
    parts = []
    if not np.isnan(error):
        parts.append(
            f"If all {count(len(jobs))} jobs were equally good and their errors independent, with the typical "
            f"standard error ({num(error, 3)}), the best would be expected {num(error * steps, 3)} {side} "
            "their true score."
        )
        if spread < error:
            parts.append("These jobs share their patients, so the difference is smaller here.")
    seeds = not np.isnan(within)
    what = f"Jobs of the same settings differ by {' and '.join(sweep.luck)}" if seeds else "The jobs’ scores differ"
    shown = within if seeds else spread
    parts.append(
        f"{what} with a standard deviation of {num(shown, 3)}, and the best of {count(len(jobs))} equal jobs with "
        f"this spread would be expected {num(shown * steps, 3)} {side} their "
        f"mean{'' if seeds else ', at most: part of the spread is true difference'}."
    )
    if not again:
        parts.append("The best job was not evaluated again on new folds, so only this estimate shows its optimism.")
    return " ".join(parts)


def nested(sweep: SweepFiles) -> Block | None:
    """Return the section on the score of the chosen job in patients that were not used for the choice."""
    choice = sweep.nested
    if not choice:
        return None
    if "folds" in choice:
        return section("nested", "Nested cross-validation: the search as a whole", _nested_folds(sweep, choice))
    words = (
        f"The search chose job {count(choice['winner'])} without seeing the test part. What that job scores there is "
        "therefore not made optimistic by the choice. It is from one split of the patients; the interval shows its "
        "uncertainty."
    )
    if again := reported_again(sweep):
        words = f"The search chose job {count(choice['winner'])} within the training part. {again}"
    rows = [
        [sweep.name(name), score_text(as_score(score), METRICS[name].digits if name in METRICS else 3)]
        for name, score in choice["test"].items()
    ]
    return section("nested", "The chosen job in the test part",
                   [text(words), table("Test part", ["", "score (95 % interval)"], rows)])  # fmt: skip


def reported_again(sweep: SweepFiles) -> str:
    """Return a warning if the search continued after its test score was reported; otherwise an empty text."""
    if sweep.num_reports < 2:
        return ""
    return (
        "Continuing a search after seeing the test score makes that score optimistic. This is the "
        f"{ordinal(sweep.num_reports)} report of the test score."
    )


def nested_headline(sweep: SweepFiles) -> tuple[str, Score | None]:
    """Return the name of the nested result, and its score if there is one."""
    if "folds" in sweep.nested:
        return "the search as a whole, nested", as_score(sweep.nested)
    name = str((sweep.facts.get("search") or {}).get("score", "auroc"))
    score = sweep.nested.get("test", {}).get(name)
    return "the chosen job in the test part", as_score(score) if score else None


def _nested_folds(sweep: SweepFiles, block: dict[str, Any]) -> list[Block]:
    rows = [
        [str(fold["fold"]), str(fold["winner"]), num(fold["chosen_by"], 3), num(fold["test"], 3), fold["overrides"]]
        for fold in block["folds"]
    ]
    pairs = [(fold["chosen_by"], fold["test"]) for fold in block["folds"]]
    drops = [chosen_by - test for chosen_by, test in pairs if chosen_by is not None and test is not None]
    drop = float(np.mean(drops)) if drops else float("nan")
    p = f", p {p_value(block['p'])} against no signal" if block.get("p") is not None else ""
    words = (
        f"In each of {count(len(rows))} folds the whole search ran on the other patients, and its winner was scored "
        f"on the fold, which was not used in the search. The mean of these scores, {score_text(as_score(block), 3)} "
        f"({sweep.name(block['score'])}{p}), is a fair estimate for this way of searching. The winners’ own "
        f"scores, as they were chosen, are on average {num(abs(drop), 3)} {'lower' if drop < 0 else 'higher'}. "
        f"{reported_again(sweep)}"
    )
    head = ["fold", "job chosen", "chosen by", "in the fold", "settings"]
    return [text(words), table("Fold by fold", head, rows, "The interval is corrected for the overlap of the folds.")]


def limits(sweep: SweepFiles) -> Block | None:
    """Return the section on the limits of the sweep."""
    items = [f"{caveat_text(code)} ({plural(number, 'job')})" for code, number in sweep.caveats.most_common()]
    jobs, near = sweep.ranked, count_near_best(sweep)
    if near is not None:
        verb = "is" if near == 1 else "are"
        items.append(
            f"{count(near)} of the other {count(len(jobs) - 1)} ranked jobs {verb} within one standard error of the "
            "best. The ranking does not show that the first job is better than these."
        )
    for key in sweep.swept:
        if key.partition(".")[0] in _OUTCOME_KEYS:
            items.append(
                f"{key} was swept: these jobs predict different outcomes, or for different patients. Their scores "
                "answer different questions, and the ranking among them means little; Brier score and log loss "
                "depend on how frequent the outcome is."
            )
    if sweep.lower_is_better and sweep.ranked_by == "val/loss":
        items.append("One validation part ranked the jobs, without an interval: its few patients may favor any.")
    if sweep.luck and jobs[sweep.luck].drop_duplicates().shape[0] < 5:
        items.append(f"Few values of {' and '.join(sweep.luck)}: the spread over them is uncertain too.")
    if len(sweep.swept) > 1:
        items.append("A mean over the other keys can hide a combined effect of two keys; see the parallel coordinates.")
    items.append(
        "Nothing is known about values that were not tried. All jobs used one cohort: there is no external validation."
    )
    return section("limits", "Limits of this sweep", [bullets(items)])
