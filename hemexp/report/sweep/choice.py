"""What may be concluded from a sweep: how far the best is luck, what it is worth elsewhere, and what stays unknown."""

from typing import Any

import numpy as np
import pandas as pd

from hemexp.formatting import bounds, count, num, ordinal, p_value, score_text
from hemexp.report.blocks import Block, bullets, section, table, text
from hemexp.report.sweep.effects import expected_maximum, luck_within
from hemexp.report.sweep.files import SweepFiles, measure_name
from hemexp.report.texts import caveat_text

_WIDTH = 2 * 1.96  # standard errors in a 95 % interval
_OUTCOME_KEYS = ("label", "data")  # to sweep them changes what is predicted, or for whom


def standard_error(jobs: pd.DataFrame) -> float:
    """Return a job's typical standard error, from the width of the intervals; NaN where there are none."""
    widths = (jobs["score_high"] - jobs["score_low"]).dropna()
    return float(widths.median()) / _WIDTH if len(widths) else float("nan")


def selection_rows(sweep: SweepFiles) -> list[tuple[str, dict[str, float | None]]]:
    """Return the best job's score as ranked, and where it was evaluated again, on fresh folds."""
    if sweep.ranked.empty:
        return []
    rows = [("as ranked", sweep.score(sweep.ranked.iloc[0]))]
    reevaluation = (sweep.block("winner", ("num_jobs", "score")) or {}).get("reevaluation")
    return [*rows, ("the same settings on new folds", reevaluation)] if reevaluation else rows


def winners_curse(sweep: SweepFiles, figures: dict[str, Block]) -> Block | None:
    """Return the section on how far the best score is too good."""
    jobs = sweep.ranked
    if len(jobs) < 2:
        return None
    rows = selection_rows(sweep)
    words = [
        f"Job {count(jobs.iloc[0]['job'])} has the best score of {count(len(jobs))}: {score_text(rows[0][1], 3)} "
        f"({sweep.measure}). It is shown because it is the best, and a score chosen for being the best is too good: "
        "the job was good, lucky, or both. An interval knows nothing of the choice."
    ]
    if len(rows) > 1:
        words.append(_fresh_words(sweep, rows))
    words.append(_expected_luck(sweep, jobs, fresh=len(rows) > 1))
    return section("curse", f"The best of {count(len(jobs))}: the winner’s curse",
                   [*map(text, words), figures.get("sweep_selection")])  # fmt: skip


def _fresh_words(sweep: SweepFiles, rows: list[tuple[str, dict[str, float | None]]]) -> str:
    before, again = bounds(rows[0][1])[0], bounds(rows[1][1])[0]
    worse = (again - before) if sweep.lower_is_better else (before - again)
    change = f"worse by {num(worse, 3)}" if worse > 0 else f"better by {num(-worse, 3)}, so no luck of the folds shows"
    return (
        "The same settings, cross-validated again on fresh folds that had no part in the choice, score "
        f"{score_text(rows[1][1], 3)}: {change}. This is the number to quote. Fresh folds of the same patients take "
        "the luck of the folds away, not that of the patients: the job was chosen on these very patients, and only "
        "new ones can tell how much of its lead is theirs."
    )


def _expected_luck(sweep: SweepFiles, jobs: pd.DataFrame, fresh: bool) -> str:
    steps = expected_maximum(len(jobs))
    error, spread = standard_error(jobs), float(jobs["score"].std(ddof=1))
    within = luck_within(jobs, sweep.settings) if sweep.luck else float("nan")
    side = "below" if sweep.lower_is_better else "above"
    parts = []
    if not np.isnan(error):
        parts.append(
            f"Were all {count(len(jobs))} jobs equally good and their errors independent, each with the standard "
            f"error typical here ({num(error, 3)}), the best of them would be expected {num(error * steps, 3)} {side} "
            "what they are all worth."
        )
        if spread < error:
            parts.append("These jobs share their patients and err together, so it is less here.")
    seeds = not np.isnan(within)
    what = f"Jobs of the same settings differ by {' and '.join(sweep.luck)}" if seeds else "The jobs’ scores differ"
    shown = within if seeds else spread
    parts.append(
        f"{what} with a standard deviation of {num(shown, 3)}, and the best of {count(len(jobs))} equal jobs that "
        f"spread so would be expected {num(shown * steps, 3)} {side} their "
        f"mean{'' if seeds else ', at most: part of the spread is true difference'}."
    )
    if not fresh:
        parts.append("Nobody evaluated the best again on fresh folds, so this is all that is known of its luck.")
    return " ".join(parts)


def nested(sweep: SweepFiles) -> Block | None:
    """Return the section on what the winner is worth where it was not chosen."""
    block = sweep.block("nested", ())
    if block is None:
        return None
    if "folds" in block:
        return section("nested", "Nested cross-validation: the search as a whole", _nested_folds(sweep, block))
    found = sweep.block("nested", ("test", "winner")) or {}
    words = (
        f"The search chose job {count(found['winner'])} without seeing the test part. What that job scores there is "
        "therefore not flattered by the choice; it is one split of the patients, and as uncertain as its interval "
        "says."
    )
    if again := reported_again(sweep):
        words = f"The search chose job {count(found['winner'])} within the training part. {again}"
    digits = {"auroc": 2, "auprc": 2}
    rows = [[name.replace("_", " "), score_text(value, digits.get(name, 3))] for name, value in found["test"].items()]
    return section("nested", "The chosen job in the test part",
                   [text(words), table("Test part", ["", "score (95 % interval)"], rows)])  # fmt: skip


def reported_again(sweep: SweepFiles) -> str:
    """Return what must be said of a search that went on after its test part was reported; empty where it did not."""
    return (
        ""
        if sweep.num_reports < 2
        else (
            "But it went on after its test part had been reported: this is the "
            f"{ordinal(sweep.num_reports)} report, and who looks and goes on searching "
            "chooses by the test part. The score may flatter."
        )
    )


def nested_headline(sweep: SweepFiles) -> tuple[str, list[tuple[str, dict[str, float | None]]]]:
    """Return what the nested result is called, and its score where there is one."""
    block = sweep.block("nested", ()) or {}
    if "folds" in block:
        return "The search as a whole, nested", [("", block)]
    name = str((sweep.facts.get("search") or {}).get("score", "auroc"))
    score = (block.get("test") or {}).get(name)
    return f"The chosen job: {measure_name(f'test/{name}')}", [("", score)] if score else []


def _nested_folds(sweep: SweepFiles, block: dict[str, Any]) -> list[Block]:
    sweep.block("nested", ("score", "value", "low", "high"))
    rows = [
        [str(each["fold"]), str(each["winner"]), num(each["chosen_by"], 3), num(each["test"], 3), each["overrides"]]
        for each in block["folds"]
    ]
    known = [each for each in block["folds"] if each["chosen_by"] is not None and each["test"] is not None]
    drop = float(np.mean([each["chosen_by"] - each["test"] for each in known])) if known else float("nan")
    p = f", p {p_value(block['p'])} against no signal" if block.get("p") is not None else ""
    words = (
        f"In each of {count(len(rows))} folds the whole search ran on the other patients, and its winner was scored "
        f"on the fold, which had no part in it. The mean of these scores, {score_text(block, 3)} "
        f"({block['score'].replace('_', ' ')}{p}), is the honest worth of searching like this. The winners’ own "
        f"scores, as they were chosen, are on average {num(abs(drop), 3)} {'lower' if drop < 0 else 'higher'}. "
        f"{reported_again(sweep)}"
    )
    head = ["fold", "job chosen", "chosen by", "in the fold", "settings"]
    return [text(words), table("Fold by fold", head, rows, "The interval is corrected for the overlap of the folds.")]


def limits(sweep: SweepFiles) -> Block | None:
    """Return what the sweep cannot say."""
    items = [caveat_text(code) for code, _ in sweep.caveats.most_common()]
    jobs = sweep.ranked
    error = standard_error(jobs) if len(jobs) else float("nan")
    if len(jobs) > 1 and not np.isnan(error):
        near = int((abs(jobs["score"] - jobs.iloc[0]["score"]) <= error).sum()) - 1
        items.append(
            f"{count(near)} of the other {count(len(jobs) - 1)} ranked jobs are within one standard error of the "
            "best. The ranking does not show that the first is better than those."
        )
    for key in sweep.swept:
        if key.partition(".")[0] in _OUTCOME_KEYS:
            items.append(
                f"{key} was swept: these jobs predict different outcomes, or for different patients. Their scores "
                "answer different questions, and the ranking among them means little; Brier score and log loss "
                "depend on how frequent the outcome is."
            )
    if sweep.lower_is_better and str(sweep.facts.get("ranked_by")) == "val/loss":
        items.append(
            "One validation part ranked the jobs, without an interval: its few patients may favor any of them."
        )
    if sweep.luck and jobs[sweep.luck].drop_duplicates().shape[0] < 5:
        items.append(f"Few values of {' and '.join(sweep.luck)}: the spread over them is itself uncertain.")
    if len(sweep.swept) > 1:
        items.append("A mean over the other keys hides where two keys act together; the parallel picture may show it.")
    items.append(
        "Nothing outside the values tried is known, and all jobs learned from and were scored on the one cohort: "
        "there is no external validation."
    )
    return section("limits", "What this sweep cannot say", [bullets(items)])
