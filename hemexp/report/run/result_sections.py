"""Sections on the scores: test part, cross-validation, and comparison with the baselines."""

from typing import Any

from hemexp.cohort.find_column import describe_left_out
from hemexp.config import MODELS, get_model_title
from hemexp.evaluation.metrics import auprc_by_chance
from hemexp.files.result import Claim, ComparedModel, Difference, RunResult, describe_brain, get_label, list_metrics
from hemexp.formatting import is_equal, num, p_value, score_text
from hemexp.metrics.table import METRICS
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.run.headline import claim_texts
from hemexp.report.run.read import RunFiles, figure, is_seen

_CORRECTED = "Intervals and p are corrected for the overlap of the folds (Nadeau and Bengio)."
_HOLM = "“p, Holm” is corrected for testing all baselines; the intervals and the p beside it are not."
_AUROC_NOTE = "AUROC: 0.5 is chance, 1 is a perfect ranking. Brier score and log loss: 0 is perfect, lower is better."
_AUPRC_NOTE = (
    "AUPRC depends on the number of patients and on the share with expansion. Compare it only with the random ranking "
    "in the same row."
)
_INTRODUCTIONS = {
    "test": "One split of the patients. The model predicted patients who were not used for training, and was scored "
    "once.",
    "seen": "One split of the patients. The model was trained on all of them, the test part included: these scores "
    "show how well it remembers them.",
    "cv": "Every patient was held out in turn, many times. Cross-validation uses the patients better than a single "
    "split; quote these scores.",
    "cv within training": "Every patient of the training part was held out in turn, many times. The test part was not "
    "used. These models learned from fewer patients than the model of the run.",
}


def test_scores(run: RunFiles) -> Block | None:
    """Return the section on the test part of the split."""
    return _scores(
        run, "test", "Results in the test part", "seen" if is_seen(run) else "test", ["roc", "risk", "pr", "loss"]
    )


def cv_scores(run: RunFiles) -> Block | None:
    """Return the section on repeated cross-validation."""
    design = run.result.cross_validation
    within = " within training" if design and design.patients == "train" else ""
    return _scores(run, "cv", "Results of cross-validation", f"cv{within}", ["cv_auroc", "cv_risk"])


def _scores(run: RunFiles, stage: str, title: str, introduction: str, figures: list[str]) -> Block | None:
    metrics, baseline = run.result.metrics, _uninformed_scores(run, stage)
    rows = [
        [get_label(metric), score_text(score, metric.digits), baseline.get(metric.name, "–")]
        for metric in list_metrics(run.result)
        if not metric.is_reference and (score := metrics.get(f"{stage}/{metric.name}"))
    ]
    head = ["", "model (95 % interval)", "without any information"]
    note = f"{_AUROC_NOTE} “Without any information”: chance, or the same answer or risk for all. {_AUPRC_NOTE}"
    shown = [text(_INTRODUCTIONS[introduction]), table("Scores", head, rows, note)] if rows else []
    return section(f"{stage}-scores", title, [*shown, *(figure(run, name) for name in figures)], scored=True)


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
    for row in result.comparison:
        if row.model == "prevalence":
            scores |= {"brier": score_text(row.brier, 3), "log_loss": score_text(row.log_loss, 3)}
    return scores


def comparison(run: RunFiles) -> Block | None:
    """Return the section that compares the model with the baselines."""
    result = run.result
    baselines = [row.model for row in result.comparison if not row.is_model]
    words = text(_claim_words(result.claim, baselines)) if result.claim else None
    blocks = [words, *_notes(result), *_comparison_tables(result), figure(run, "comparison")]
    return section("comparison", "Comparison with the baselines", blocks, scored=True)


def _notes(result: RunResult) -> list[Block]:
    """Return which baselines are left out, and which items of the BRAIN score the cohort does not have."""
    notes = []
    if result.left_out_baselines:
        reasons = {get_model_title(name): reason for name, reason in result.left_out_baselines.items()}
        notes.append(f"Baselines left out: {describe_left_out(reasons)}.")
    if items := result.brain_missing_items:
        words = describe_brain(items)
        notes.append(f"{words[0].upper()}{words[1:]}.")
    return [text(note, "note") for note in notes]


def _claim_words(claim: Claim, baselines: list[str]) -> str:
    texts = claim_texts(claim)
    words = f"By AUROC the model is {texts['auroc']}. By Brier score the model is {texts['brier']}."
    rule = (
        "“Better” means that the whole interval of the difference is on the good side, for every baseline. “Worse” "
        "means that it is on the bad side for at least one baseline, after Holm's correction for testing all of them."
    )
    helps = {name: MODELS[name].help.removeprefix("Baseline: ").rstrip(".") for name in baselines if name in MODELS}
    meanings = [f"{get_model_title(name)} ({text})" for name, text in helps.items()]
    return f"{words} {rule} The baselines: {'; '.join(meanings)}."


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
        table("AUROC in the test part", ["", "AUROC (95 % interval)"],
              [[get_model_title(row.model), score_text(row.test_auroc)] for row in tested], strong=_model_row(tested)),
        _differences({row.model: row.test_auroc_difference for row in rows}, 2, "AUROC, test part", 1,
                     "DeLong's test."),
    ]  # fmt: skip
    return [block for block in blocks if block["rows"]]


def _differences(differences: dict[str, Difference | None], digits: int, name: str, sign: int, note: str) -> Block:
    cells: list[list[Any]] = [
        [get_model_title(model), score_text(difference, digits), p_value(difference.p),
         p_value(difference.p_holm), _reading(difference, sign)]
        for model, difference in differences.items() if difference is not None
    ]  # fmt: skip
    head = ["", "difference (95 % interval)", "p", "p, Holm", "meaning"]
    return table(f"Model minus baseline: {name}", head, cells, f"{note} {_HOLM}")


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
