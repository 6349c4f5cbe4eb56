"""Results that bear on single patients and decisions: calibration, net benefit, thresholds, subgroups, uncertainty."""

from typing import Any

import numpy as np

from hemexp.formatting import count, num, percent, score_text
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.run.read import RunFiles, figure


def calibration(run: RunFiles) -> Block | None:
    """Return the section on whether risks can be taken at their word."""
    shown = run.build("calibration", _calibration)
    return section("calibration", "Calibration: are the risks right?", [shown, figure(run, "calibration")], scored=True)


def _calibration(parts: dict[str, Any]) -> Block:
    there = {name: parts[key] for key, name in (("cv", "cross-validation"), ("test", "test part")) if parts.get(key)}
    ideal = {"intercept": "0", "slope": "1", "scaled_brier": "1"}
    names = {"intercept": "calibration intercept", "slope": "calibration slope", "scaled_brier": "scaled Brier score"}
    rows = [[names[key], *(score_text(part.get(key)) for part in there.values()), ideal[key]] for key in names]
    rows.append(["mean predicted risk", *(percent(part.get("mean_risk")) for part in there.values()), "as observed"])
    rows.append(["observed share of expansion", *(percent(part.get("observed")) for part in there.values()), ""])
    note = (
        "Intercept below 0: risks too high on the whole. Slope below 1: high risks too high and low ones too low, the "
        "mark of overfitting. Scaled Brier: share of uncertainty removed; below 0 is worse than the same risk for "
        "everybody."
    )
    return table("Calibration (95 % interval)", ["", *there, "ideal"], rows, note)


def decisions(run: RunFiles) -> Block | None:
    """Return the section on decisions: net benefit and thresholds."""
    blocks = [_net_benefit(run), figure(run, "decision_curve"), run.build("thresholds", _thresholds)]
    return section("decisions", "Decisions: would acting on it help?", blocks, scored=True)


def _net_benefit(run: RunFiles) -> Block | None:
    curve = run.tables.get("decision_curve")
    if curve is None or not len(curve):
        return None
    wide = curve.pivot_table(index="strategy", columns="threshold", values="net_benefit", sort=False)
    grid = np.asarray(wide.columns, dtype=float)
    near = sorted({int(np.abs(grid - at).argmin()) for at in (0.1, 0.2, 0.3, 0.4)})
    rows = [[name, *(num(wide.iloc[i, j], 3) for j in near)] for i, name in enumerate(wide.index)]
    head = ["strategy", *(f"at {100 * grid[j]:.0f} %" for j in near)]
    note = (
        "Expansions rightly treated for each patient, after subtracting false alarms weighed by the threshold: the "
        "risk from which one would act. These curves have no intervals; small differences between them mean nothing."
    )
    return table("Net benefit at some thresholds", head, rows, note)


def _thresholds(rows: list[dict[str, Any]]) -> Block:
    cells = []
    for row in rows:
        flagged = f"{count(row['flagged'])} of {count(row['num_patients'])}"
        measures = (score_text(row[key]) for key in ("sensitivity", "specificity", "ppv", "npv"))
        cells.append([row["rule"], num(row["threshold"], 3), flagged, *measures])
    head = ["rule", "threshold", "flagged", "sensitivity", "specificity", "PPV", "NPV"]
    note = "Each threshold was fixed on the training part and scored on the test part (95 % interval)."
    return table("Thresholds", head, cells, note)


def subgroups(run: RunFiles) -> Block | None:
    """Return the section on groups of patients."""
    return section(
        "subgroups", "Subgroups", [run.build("subgroups", _subgroups), figure(run, "subgroups")], scored=True
    )


def _subgroups(rows: list[dict[str, Any]]) -> Block:
    cells = []
    for row in rows:
        name = row["subgroup"].replace(">=", "≥").replace("<=", "≤")
        risks = (percent(row["mean_risk"]), percent(row["observed"]))
        cells.append(
            [name, count(row["num_patients"]), count(row["events"]), row["note"] or score_text(row["auroc"]), *risks]
        )
    head = ["", "patients", "expansions", "AUROC (95 % interval)", "mean risk", "observed"]
    return table(
        "Scores by subgroup", head, cells, "“Too few”: too few of either outcome for a score that means anything."
    )


def uncertainty(run: RunFiles) -> Block | None:
    """Return the section on how sure single predictions are."""
    words = run.build("uncertainty", _uncertainty)
    shown = [text(words) if words else None, figure(run, "uncertainty")]
    return section("uncertainty", "Uncertainty of single predictions", shown, scored=True)


def _uncertainty(block: dict[str, Any]) -> str:
    note = str(block.get("coverage_note") or "").rstrip(".")
    return (
        f"Each of {count(block['num_patients'])} patients of the test part got a pair of calibrated risks; its "
        f"median width is {num(block['median_width'])}. For {count(block['num_abstained'])} of them the model leaves "
        f"the decision open.{f' {note}.' if note else ''}"
    )
