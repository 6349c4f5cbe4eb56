"""The summary that update.py prints at its end."""

import shlex
from pathlib import Path

from rich.table import Table

from hemexp.commands.console import print_table
from hemexp.files.result import CAVEATS, LEAKAGE, NO_LEAKAGE, Calibration, RunResult, describe_leak, get_wording
from hemexp.formatting import interval_text, p_value, percent, plural, program

_NAMES = {
    "none": "keep the model",
    "intercept": "correct the average risk (intercept)",
    "intercept_slope": "correct intercept and slope",
    "refit": "train the model again",
}


def print_update_summary(result: RunResult, directory: Path) -> None:
    """Print what was chosen and why, the scores beside the original model and the prevalence, and the conclusion."""
    validation, step = result.update, result.updated_from[0]
    assert validation is not None
    wording = get_wording(result)
    print("\n".join(map(wording, validation.conclusion)))
    title = (
        f"{plural(step.num_patients, 'new patient')}, {step.events} with expansion: {validation.num_folds}-fold "
        f"cross-validation of the whole update, {validation.num_repeats} times (95 % interval)"
    )
    table = Table("", title=wording(title), title_justify="left", title_style="bold", header_style="dim")
    for name in ("AUROC", "updated - this", "Brier score", "updated - this"):
        table.add_column(name, justify="right", no_wrap=True)
    names = ("updated model", "original model", "same risk for all")
    for name, row in zip(names, validation.comparison, strict=True):
        scores = (row.auroc, row.auroc_difference, row.brier, row.brier_difference)
        cells = ["" if score is None else interval_text(score, 3) for score in scores]
        table.add_row(name, *cells, style="bold" if row.is_model else None)
    before = result.calibration.cv if result.calibration else None
    notes = [_describe_method(result)]
    notes += _describe_calibration("updated risks", before)
    notes += _describe_calibration("original risks", validation.original_calibration)
    notes += [f"{method} was not a choice: {reason}" for method, reason in step.left_out_methods.items()]
    if step.left_out_patients:
        roles = ", ".join(f"{count} {role}" for role, count in step.left_out_patients.items())
        notes.append(f"patients of an earlier cohort of the model who were recognized and left out: {roles}")
    notes += [f"caveat {code}: {CAVEATS.get(code, '')}" for code in result.caveats]
    quoted = shlex.quote(str(directory))
    notes.append(
        f"files in {directory}; to predict with the updated model: {program('predict')} run_dir={quoted} data.root=PATH"
    )
    verdict = f"Verdict: {result.verdict}"
    if result.verdict == NO_LEAKAGE:
        verdict = "No leakage found: the held-out patients did not influence the choice or the fit of the update."
    elif result.verdict.startswith(LEAKAGE):
        verdict = f"{verdict}: {describe_leak(result.verdict)}"
    print_table(table, [*map(wording, notes), verdict])


def _describe_method(result: RunResult) -> str:
    """Return which method was used, and by which tests it was chosen."""
    step, validation = result.updated_from[0], result.update
    assert validation is not None
    text = f"method: {_NAMES[step.method]}"
    if step.method in {"intercept", "intercept_slope"}:
        text += f", logit of the updated risk = {step.intercept:.3f} + {step.slope:.3f} x logit of the risk"
    if not step.p_values:
        return f"{text}; as asked for" if step.asked_for != "auto" else text
    tests = ", ".join(f"{method} p {p_value(p)}" for method, p in step.p_values.items())
    chosen = ", ".join(f"{method} {count}" for method, count in validation.chosen.items())
    return f"{text}; closed test against the largest update: {tests}; chosen in the folds: {chosen}"


def _describe_calibration(name: str, calibration: Calibration | None) -> list[str]:
    if calibration is None:
        return []
    intercept, slope = (interval_text(score) for score in (calibration.intercept, calibration.slope))
    shares = f"mean {percent(calibration.mean_risk)}, observed {percent(calibration.observed)}"
    return [f"calibration of the {name}: intercept {intercept}, ideal 0; slope {slope}, ideal 1; {shares}"]
