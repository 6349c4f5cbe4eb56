"""The section on the scores: comparison with the baselines, cross-validation and test part."""

from typing import Any

from hemexp.cohort.find_column import describe_left_out
from hemexp.config import MODELS, get_model_title
from hemexp.evaluation.metrics import auprc_by_chance
from hemexp.files.result import ComparedModel, Difference, RunResult, describe_brain, get_label, list_metrics
from hemexp.formatting import is_equal, num, p_value, score_text
from hemexp.metrics.table import METRICS
from hemexp.report.blocks import Block, load_texts, section, table, text
from hemexp.report.run.headline import claim_texts
from hemexp.report.run.read import RunFiles, figure, is_seen

_CORRECTED = "Intervals and p are corrected for the overlap of the folds (Nadeau and Bengio)."
_HOLM = "“p, Holm” is corrected for testing all baselines; the intervals and the p beside it are not."
_AUROC_NOTE = "AUROC: 0.5 is chance, 1 is a perfect ranking. Brier score and log loss: 0 is perfect, lower is better."
_AUPRC_NOTE = (
    "AUPRC depends on the number of patients and on the share with expansion. Compare it only with the random ranking "
    "in the same row."
)
_RULE = (
    "“Better” means that the whole interval of the difference is on the good side, for every baseline. “Worse” means "
    "that it is on the bad side for at least one baseline, after Holm's correction for testing all of them."
)
_INTRODUCTIONS = {
    "test": "Test part: one split of the patients. The model predicted patients who were not used for training.",
    "seen": "Test part: the model was trained on all patients, the test part included. Its scores there show how well "
    "it remembers them.",
    "cv": "Cross-validation: every patient was held out in turn, many times. This uses the patients better than a "
    "single split; quote these scores.",
    "cv within training": "Cross-validation: every patient of the training part was held out in turn, many times. The "
    "test part was not used. These models learned from fewer patients than the model of the run.",
}


def scores(run: RunFiles) -> Block | None:
    """Return the section on the scores: the comparison with the baselines, then cross-validation and the test part."""
    result = run.result
    words = "" if result.update else load_texts("texts")["conclusions"][result.conclusion][1]
    if result.claim:
        claim = claim_texts(result.claim)
        words += f" By AUROC the model is {claim['auroc']}. By Brier score the model is {claim['brier']}."
    blocks = [text(words) if words else None, figure(run, "roc"), *_notes(result),
              *_comparison_tables(result), *_score_table(run)]  # fmt: skip
    return section("scores", "Ranking: how well does it order the patients?", blocks, scored=True)


def _score_table(run: RunFiles) -> list[Block]:
    """Return the table of all scores, cross-validation before the test part."""
    metrics, design = run.result.metrics, run.result.cross_validation
    within = " within training" if design and design.patients == "train" else ""
    named = {"cv": ("cross-validation", f"cv{within}"), "test": ("test part", "seen" if is_seen(run) else "test")}
    stages = [stage for stage in named if any(name.startswith(f"{stage}/") for name in metrics)]
    chance = {stage: _uninformed_scores(run, stage) for stage in stages}
    rows = []
    for metric in list_metrics(run.result):
        found = [metrics.get(f"{stage}/{metric.name}") for stage in stages]
        if not metric.is_reference and any(found):
            cells = [(score_text(score, metric.digits) if score else "–", chance[stage].get(metric.name, "–"))
                     for stage, score in zip(stages, found, strict=True)]  # fmt: skip
            rows.append([get_label(metric), *(cell for pair in cells for cell in pair)])
    head = ["", *(title for stage in stages for title in (named[stage][0], "without information"))]
    note = f"“Without information”: chance, or the same answer or risk for all. {_AUPRC_NOTE}"
    introductions = " ".join(_INTRODUCTIONS[named[stage][1]] for stage in stages)
    return [text(introductions), table("All scores (95 % interval)", head, rows, note)] if rows else []


def _uninformed_scores(run: RunFiles, stage: str) -> dict[str, str]:
    """Return the score of each metric without any information about the patient."""
    result = run.result
    scores = {"auroc": "0.50"}
    if majority := result.metrics.get(f"{stage}/majority_accuracy"):
        scores["accuracy"] = score_text(majority, METRICS["accuracy"].digits)
    if stage == "test":
        if result.events_test:
            scores["auprc"] = num(auprc_by_chance(result.events_test, result.num_test))
        if constant := result.prevalence_baseline:
            scores |= {"brier": num(constant.brier, 3), "log_loss": num(constant.log_loss, 3)}
        return scores
    if result.cross_validation:
        scores["auprc"] = num(result.cross_validation.auprc_by_chance)
    for row in result.update.comparison if result.update else result.comparison:
        if row.model == "prevalence":
            scores |= {"brier": score_text(row.brier, 3), "log_loss": score_text(row.log_loss, 3)}
    return scores


def _notes(result: RunResult) -> list[Block]:
    """Return what the claim means, which baselines are left out, and which items the BRAIN score lacks."""
    notes = []
    if result.claim:
        helps = {row.model: MODELS[row.model].help.removeprefix("Baseline: ").rstrip(".") for row in result.comparison
                 if not row.is_model and row.model in MODELS}  # fmt: skip
        meanings = [f"{get_model_title(name)} ({text})" for name, text in helps.items()]
        notes.append(f"{_RULE} The baselines: {'; '.join(meanings)}.")
    if result.left_out_baselines:
        reasons = {get_model_title(name): reason for name, reason in result.left_out_baselines.items()}
        notes.append(f"Baselines left out: {describe_left_out(reasons)}.")
    if items := result.brain_missing_items:
        words = describe_brain(items)
        notes.append(f"{words[0].upper()}{words[1:]}.")
    return [text(note, "note") for note in notes]


def _model_row(rows: list[ComparedModel]) -> int:
    return next((number for number, row in enumerate(rows) if row.is_model), -1)


def _comparison_tables(result: RunResult) -> list[Block]:
    rows, own = result.comparison, result.own_metrics if result.cross_validation else []
    scores = [
        [get_model_title(row.model), score_text(row.auroc), score_text(row.brier, 3),
         *(score_text(row.own_metrics.get(metric.name), metric.digits) for metric in own)]
        for row in rows
    ]  # fmt: skip
    caption = "Cross-validated scores of the model and the baselines (95 % interval)"
    tested = [row for row in rows if row.test_auroc.value is not None]
    blocks = [
        table(caption, ["", "AUROC", "Brier score", *map(get_label, own)], scores, _AUROC_NOTE, _model_row(rows)),
        _differences({row.model: row.auroc_difference for row in rows}, 2, "AUROC, cross-validated", 1, _CORRECTED),
        _differences({row.model: row.brier_difference for row in rows}, 3, "Brier score, cross-validated", -1,
                     _CORRECTED),
        table("", ["", "AUROC (95 % interval)"],
              [[get_model_title(row.model), score_text(row.test_auroc)] for row in tested], strong=_model_row(tested),
              folded="AUROC of the model and the baselines in the test part"),
        _differences({row.model: row.test_auroc_difference for row in rows}, 2, "AUROC, test part", 1,
                     "DeLong's test."),
    ]  # fmt: skip
    return [block for block in blocks if block["rows"]]


def _differences(differences: dict[str, Difference | None], digits: int, name: str, sign: int, note: str) -> Block:
    """Return the folded table of the differences from the baselines."""
    cells: list[list[Any]] = [
        [get_model_title(model), score_text(difference, digits), p_value(difference.p),
         p_value(difference.p_holm), _reading(difference, sign)]
        for model, difference in differences.items() if difference is not None
    ]  # fmt: skip
    head = ["", "difference (95 % interval)", "p", "p, Holm", "meaning"]
    return table("", head, cells, f"{note} {_HOLM}", folded=f"Model minus baseline: {name}")


def _reading(difference: Difference, sign: int) -> str:
    if difference.low is None or difference.high is None:
        return "not defined"
    if is_equal(difference):
        return "equal"
    low, high = sorted((sign * difference.low, sign * difference.high))
    if low <= 0 <= high:
        return "no clear difference"
    corrected = difference.p_holm is not None and difference.p_holm < 0.05
    return f"model {'better' if low > 0 else 'worse'}{'' if corrected else ', before Holm’s correction'}"
