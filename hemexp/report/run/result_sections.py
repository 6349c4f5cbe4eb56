"""How good the predictions are: scores of the test part and of cross-validation, and the baselines beside them."""

from typing import Any

from hemexp.evaluation.metrics import auprc_by_chance
from hemexp.files.result import METRIC_NAMES
from hemexp.formatting import num, p_value, score_text
from hemexp.report.blocks import DIGITS, Block, section, table, text
from hemexp.report.run.read import RunFiles, figure
from hemexp.report.texts import claim_words

_CORRECTED = "Intervals and p are corrected for the overlap of the folds (Nadeau and Bengio)."
_HOLM = "“p, Holm” is corrected for looking at all the baselines; intervals and p beside it are not."
_AUROC_NOTE = "AUROC: 0.5 is a coin, 1 perfect ranking. Brier score and log loss: 0 is perfect, lower is better."
_AUPRC_NOTE = (
    "AUPRC depends on how many patients are ranked at once and how many of them expand: compare it with ranking at "
    "random, in the same row, and with nothing else."
)


def test_scores(run: RunFiles) -> Block | None:
    """Return the section on the split's test part."""
    return _scored(run, "test", "Results in the test part", ["roc", "risk", "pr", "loss"])


def cv_scores(run: RunFiles) -> Block | None:
    """Return the section on repeated cross-validation."""
    return _scored(run, "cv", "Results of cross-validation", ["cv_auroc", "cv_risk"])


def _scored(run: RunFiles, stage: str, title: str, figures: list[str]) -> Block | None:
    rows = run.build("metrics", lambda metrics: _rows(run, metrics, stage)) or []
    words = {
        "test": "One split of the patients: what the model said of patients that it had not seen, scored once.",
        "cv": "Every patient was held out in turn, many times over. It uses the patients better than a single split "
        "does, and is the number to quote from this run.",
        "cv within training": "Every patient of the training part was held out in turn, many times over; the test part "
        "took no part. The models behind these scores learnt from fewer patients than the run's own.",
    }[f"{stage} within training" if stage == "cv" and _within_training(run) else stage]
    head = ["", "model (95 % interval)", "knowing nothing"]
    note = f"{_AUROC_NOTE} “Knowing nothing” is a coin, or giving everybody the same answer or risk. {_AUPRC_NOTE}"
    shown = [text(words), table("Scores", head, rows, note)] if rows else []
    return section(f"{stage}-scores", title, [*shown, *(figure(run, name) for name in figures)], scored=True)


def _rows(run: RunFiles, metrics: dict[str, Any], stage: str) -> list[list[str]]:
    baseline = _knowing_nothing(run, metrics, stage)
    rows = []
    for name in ("auroc", "auprc", "brier", "log_loss", "accuracy"):
        if f"{stage}/{name}" in metrics:
            plain = METRIC_NAMES[name].partition(" (")[0]
            rows.append([plain, score_text(metrics[f"{stage}/{name}"], DIGITS.get(name, 2)), baseline.get(name, "–")])
    return rows


def _knowing_nothing(run: RunFiles, metrics: dict[str, Any], stage: str) -> dict[str, str]:
    """Return what no knowledge of the patient gives, by metric."""
    found = {"auroc": "0.50"}
    if metrics.get(f"{stage}/majority_accuracy"):
        found["accuracy"] = score_text(metrics[f"{stage}/majority_accuracy"])
    if stage == "test":
        events, total = run.result.get("events_test"), run.result.get("num_test")
        if events and total:
            found["auprc"] = num(auprc_by_chance(events, total))
        constant = run.build("prevalence_baseline", lambda b: {k: num(b[k], 3) for k in ("brier", "log_loss")}) or {}
    else:
        constant = run.build("comparison", _prevalence) or {}
        found["auprc"] = num(run.build("cross_validation", lambda block: block.get("auprc_by_chance")))
    return found | constant


def _within_training(run: RunFiles) -> bool:
    return bool(run.build("cross_validation", lambda block: block.get("patients") == "train"))


def _prevalence(rows: list[dict[str, Any]]) -> dict[str, str]:
    for row in rows:
        if row["model"] == "prevalence":
            return {name: score_text(row.get(name), 3) for name in ("brier", "log_loss")}
    return {}


def comparison(run: RunFiles) -> Block | None:
    """Return the section that sets the model beside the baselines, with the claim in words."""
    tables = run.build("comparison", _comparison_tables) or []
    claim = run.build("claim", _claim)
    return section(
        "comparison",
        "Comparison with the baselines",
        [text(claim) if claim else None, *tables, figure(run, "comparison")],
        scored=True,
    )


def _claim(claim: dict[str, Any]) -> str:
    parts = []
    for key, name in (("auroc", "By AUROC"), ("brier", "By Brier score")):
        worse = ", ".join((claim.get("worse_than") or {}).get(key) or [])
        parts.append(f"{name} the model is {claim_words(claim[key])}{f' ({worse})' if worse else ''}.")
    rule = (
        "Better would need the whole interval of the difference on the good side against each of the baselines; worse "
        "is the bad side against one of them, corrected for looking at all of them (Holm). The baselines: prevalence "
        "gives everybody the same risk; volume and hours are one input each; brain is the partial BRAIN score, whose "
        "weights are published; ridge2 fits volume and hours."
    )
    return " ".join([*parts, rule])


def _comparison_tables(rows: list[dict[str, Any]]) -> list[Block]:
    strong = next((i for i, row in enumerate(rows) if row["is_model"]), -1)
    scores = [
        [row["model"], *(score_text(row.get(name), DIGITS.get(name, 2)) for name in ("auroc", "brier"))] for row in rows
    ]
    caption = "Cross-validated scores of the model and the baselines (95 % interval)"
    blocks = [table(caption, ["", "AUROC", "Brier score"], scores, _AUROC_NOTE, strong)]
    others = [row for row in rows if not row["is_model"]]
    for key, digits, name, sign in (("auroc", 2, "AUROC", 1), ("brier", 3, "Brier score", -1)):
        blocks.append(_differences(others, f"{key}_difference", digits, f"{name}, cross-validated", sign, _CORRECTED))
    tested = [row for row in rows if row.get("test_auroc")]
    if tested:
        cells = [[row["model"], score_text(row["test_auroc"])] for row in tested]
        blocks.append(table("AUROC in the test part", ["", "AUROC (95 % interval)"], cells,
                            strong=next((i for i, row in enumerate(tested) if row["is_model"]), -1)))  # fmt: skip
        blocks.append(_differences(others, "test_auroc_difference", 2, "AUROC, test part", 1, "DeLong's test."))
    return [block for block in blocks if block["rows"]]


def _differences(rows: list[dict[str, Any]], key: str, digits: int, name: str, sign: int, note: str) -> Block:
    cells = []
    for row in (row for row in rows if row.get(key)):
        value = row[key]
        cells.append(
            [f"model − {row['model']}", score_text(value, digits), p_value(value.get("p")),
             p_value(value.get("p_holm")), _who_wins(value, sign)]
        )  # fmt: skip
    head = ["", "difference (95 % interval)", "p", "p, Holm", "reading"]
    return table(f"Differences in {name}", head, cells, f"{note} {_HOLM}")


def _who_wins(value: dict[str, Any], sign: int) -> str:
    if value["low"] is None or value["high"] is None:
        return "not defined"
    low, high = sorted((sign * value["low"], sign * value["high"]))
    if low <= 0 <= high:
        return "no clear difference"
    corrected = value.get("p_holm")
    before = "" if corrected is not None and corrected < 0.05 else ", before Holm’s correction"
    return f"model {'better' if low > 0 else 'worse'}{before}"
