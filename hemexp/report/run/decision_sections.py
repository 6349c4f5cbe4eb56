"""Sections on risks and decisions: calibration, single risks, net benefit, thresholds, subgroups."""

import numpy as np

from hemexp.config import get_model_title
from hemexp.files.result import CalibrationByStage, SubgroupScore, ThresholdScore, Uncertainty
from hemexp.formatting import count, num, percent, score_text, true_signs
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.run.read import RunFiles, figure


def calibration(run: RunFiles) -> Block | None:
    """Return the section on the agreement of predicted and observed risks, and on the range of single risks."""
    pairs = run.result.uncertainty
    notes = [text(_uncertainty(pairs)), text(pairs.coverage_note, "note")] if pairs else []
    blocks = [figure(run, "calibration"), _calibration(run.result.calibration), *notes, figure(run, "uncertainty")]
    return section("calibration", "Calibration: are the risks right?", blocks, scored=True)


def _calibration(parts: CalibrationByStage | None) -> Block | None:
    stages = {"cross-validation": parts.cv, "test part": parts.test} if parts else {}
    known = {name: part for name, part in stages.items() if part}
    if not known:
        return None
    rows = [
        ["calibration intercept", *(score_text(part.intercept) for part in known.values()), "0"],
        ["calibration slope", *(score_text(part.slope) for part in known.values()), "1"],
        ["scaled Brier score", *(score_text(part.scaled_brier) for part in known.values()), "1"],
        ["mean predicted risk", *(percent(part.mean_risk) for part in known.values()), "as observed"],
        ["observed share of expansion", *(percent(part.observed) for part in known.values()), ""],
    ]
    note = (
        "Intercept below 0: the risks are too high on average. Slope below 1: high risks are too high and low risks "
        "are too low, a sign of overfitting; below 0: patients with higher risks had the outcome less often. Scaled "
        "Brier score: the share of uncertainty that the model removes; below 0 is worse than the same risk for every "
        "patient."
    )
    return table("Calibration (95 % interval)", ["", *known, "ideal"], rows, note)


def decisions(run: RunFiles) -> Block | None:
    """Return the section on decisions: net benefit and thresholds."""
    blocks = [figure(run, "decision_curve"), _net_benefit(run), _thresholds(run.result.thresholds)]
    return section("decisions", "Decisions: would the model help?", blocks, scored=True)


def _net_benefit(run: RunFiles) -> Block | None:
    curve = run.tables.get("decision_curve")
    if curve is None or not len(curve):
        return None
    wide = curve.pivot_table(index="strategy", columns="threshold", values="net_benefit", sort=False)
    grid = np.asarray(wide.columns, dtype=float)
    near = sorted({int(np.abs(grid - at).argmin()) for at in (0.1, 0.2, 0.3, 0.4)})
    rows = [[get_model_title(name), *(num(wide.iloc[i, j], 3) for j in near)] for i, name in enumerate(wide.index)]
    head = ["strategy", *(f"at {100 * grid[j]:.0f} %" for j in near)]
    note = (
        "Correctly treated expansions per patient, minus false alarms weighted by the threshold. The threshold is the "
        "risk from which one would treat. These curves have no intervals; ignore small differences between them."
    )
    return table("", head, rows, note, folded="Net benefit at some thresholds")


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
        f"Single patients: each of {count(pairs.num_patients)} test patients got a calibrated risk as a range; its "
        f"median width is {num(pairs.median_width)}. For {count(pairs.num_abstained)} of them the range contains the "
        "threshold, so the model gives no decision."
    )
