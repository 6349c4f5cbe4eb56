"""Sections on risks and decisions: calibration, single risks, net benefit, thresholds, subgroups."""

from hemexp.config import get_model_title
from hemexp.files.result import SubgroupScore, ThresholdScore, Uncertainty
from hemexp.formatting import count, num, percent, score_text, true_signs
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.run.read import RunFiles, figure
from hemexp.report.score_tables import calibration_table, net_benefit_table


def calibration(run: RunFiles) -> Block | None:
    """Return the section on the agreement of predicted and observed risks, and on the range of single risks."""
    pairs = run.result.uncertainty
    notes = [text(_uncertainty(pairs)), text(pairs.coverage_note, "note")] if pairs else []
    found, updated = run.result.calibration, run.result.update
    parts = {"cross-validation": found.cv, "test part": found.test} if found else {}
    if updated:
        parts |= {"before the update": updated.original_calibration}
    blocks = [figure(run, "calibration"), calibration_table(parts), *notes, figure(run, "uncertainty")]
    return section("calibration", "Calibration: are the risks right?", blocks, scored=True)


def decisions(run: RunFiles) -> Block | None:
    """Return the section on decisions: net benefit and thresholds."""
    blocks = [
        figure(run, "decision_curve"),
        net_benefit_table(run.tables.get("decision_curve"), get_model_title),
        _thresholds(run.result.thresholds),
    ]
    return section("decisions", "Decisions: would the model help?", blocks, scored=True)


def _thresholds(rows: list[ThresholdScore]) -> Block | None:
    cells = [
        [row.rule.replace("youden", "Youden’s index"), num(row.threshold, 3),
         f"{count(row.flagged)} of {count(row.num_patients)}",
         *(score_text(score) for score in (row.sensitivity, row.specificity, row.ppv, row.npv))]
        for row in rows
    ]  # fmt: skip
    head = ["rule", "threshold", "flagged", "sensitivity", "specificity", "PPV", "NPV"]
    note = "Each threshold was fixed on the training part and scored on the test part (95 % interval)."
    return table("", head, cells, note, folded="Thresholds that flag patients") if cells else None


def subgroups(run: RunFiles) -> Block | None:
    """Return the section on clinical subgroups."""
    blocks = [figure(run, "subgroups"), _subgroups(run.result.subgroups)]
    return section("subgroups", "Subgroups", blocks, scored=True, folded=True)


def _subgroups(rows: list[SubgroupScore]) -> Block | None:
    cells = [
        [true_signs(row.subgroup), count(row.num_patients), count(row.events),
         row.note or score_text(row.auroc), percent(row.mean_risk), percent(row.observed)]
        for row in rows
    ]  # fmt: skip
    head = ["", "patients", "expansions", "AUROC (95 % interval)", "mean risk", "observed"]
    note = "“Too few”: too few patients of one outcome for a meaningful score."
    return table("Scores by subgroup", head, cells, note) if cells else None


def _uncertainty(pairs: Uncertainty) -> str:
    return (
        f"Single patients: each of {count(pairs.num_patients)} test patients got a Venn-Abers range of the risk; its "
        f"median width is {num(pairs.median_width)}. For {count(pairs.num_abstained)} of them the range contains the "
        "threshold, so the model gives no decision."
    )
