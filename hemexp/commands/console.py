"""Summaries that a command prints at its end."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hemexp.cohort.find_column import MOST_NAMED, describe_left_out, list_columns
from hemexp.evaluation.metrics import auprc_by_chance
from hemexp.files import result as results
from hemexp.files.result import PredictionResult, RunResult, Score, describe_brain, get_label, get_wording
from hemexp.formatting import interval_text, num, percent, plural, program

_WIDTH = 120  # columns, at least: a table that wraps cannot be read
_OPTIMISM = {"apparent": "apparent", "corrected": "Harrell's", "out_of_bag": "out of bag", "corrected_632plus": ".632+"}
Result = RunResult | PredictionResult
_STAGES = {"cv": "cross-validation (95 % interval)", "test": "test part (95 % interval)"}


def print_summary(result: RunResult, directory: Path) -> None:
    """Print the conclusion of a run, the scores with their caveats, and last the verdict."""
    print(_conclusion_text(result.conclusion, result.claim))
    if result.claim:
        title = "model and baselines on the same folds (95 % interval)"
        _print_models(
            result, title, result.comparison, {"AUROC": "auroc", "Brier score": "brier"}, claim_notes(result.claim)
        )
    _print_test_comparison(result)
    title = f"{result.num_test} test patients, {result.events_test} with expansion"
    cv_chance = None
    if design := result.cross_validation:
        title += f"; {design.num_patients} in cross-validation, {design.events} with expansion"
        cv_chance = design.auprc_by_chance

    notes = _score_notes(result, "these test patients")
    if result.best_possible_auroc is not None:
        notes.append(f"the best possible AUROC in this synthetic population is {result.best_possible_auroc:.3f}")
    if result.left_out_inputs:
        notes.append(f"columns not used as inputs: {describe_left_out(result.left_out_inputs)}")
    if result.constant_inputs:
        names = list_columns(result.constant_inputs, MOST_NAMED)
        notes.append(f"inputs with one value in the whole training part, which have no effect: {names}")
    if result.left_out_baselines:
        notes.append(f"baselines left out: {describe_left_out(result.left_out_baselines)}")
    notes += _brain_notes(result)
    if calibration := result.calibration:
        in_test = _calibration_notes("the test part", calibration.test)
        notes += _calibration_notes("cross-validation", calibration.cv) or in_test
    notes += _stability_notes(result)
    time = f"{result.seconds:.0f} s of computing"
    if result.best_epoch is not None and result.stopped_by != "fitted":
        time = f"{result.epochs} epochs, the best is number {result.best_epoch + 1}; {time}"
    files = f"files in {directory}; for a page about them: {program('report')} run_dir={shlex.quote(str(directory))}"
    _print_scores(result, title, [*notes, *_caveat_notes(result), time, files], _STAGES, cv_chance)


def print_prediction_summary(result: PredictionResult, directory: Path) -> None:
    """Print the conclusion of the run, the scores of new patients beside those of its test part, and the verdict."""
    files = f"{result.num_patients} patients predicted; files in {directory}; for a browser: report.html"
    gaps = _gap_notes(result)
    if result.num_test == 0:
        text = "no outcome is known for new patients, so the predictions are not scored"
        if result.num_train == result.num_patients:
            text = "all patients are of the run's own training part, so the predictions are not scored"
        conclusion = f"{_conclusion_text(result.conclusion, None)} (in the run that trained the model)"
        answer = result.validation.answer if result.validation else text
        print("\n".join([text, answer, conclusion, *gaps, *_caveat_notes(result), files, f"Verdict: {result.verdict}"]))
        return
    own_only = "own_test_part" in result.caveats
    unsure = result.verdict.startswith(results.INCOMPLETE)
    who = "the run's own test part" if own_only else "perhaps of the run, too" if unsure else "new patients"
    if own_only:
        print(results.CAVEATS["own_test_part"])
    if result.validation:
        print(result.validation.answer)
    print(f"{_conclusion_text(result.conclusion, None)} (in the run that trained the model)")
    _print_test_comparison(result)
    notes = _score_notes(result, "these patients")
    notes.append(_interval_width_note(result.metrics["test/auroc"], result.num_test, result.events_test))
    notes += _calibration_notes("these patients", result.calibration.test)
    if result.num_own_test and not own_only:
        notes.append(
            f"{result.num_own_test} patients are the run's own test part, {result.events_own_test} with expansion: "
            "scored apart, not an external test"
        )
    notes += gaps + _brain_notes(result)
    if result.num_train:
        notes.append(f"{result.num_train} patients of the run's own training part are predicted but not scored")
    if number := result.recognized.get("measurements"):
        notes.append(
            f"{plural(number, 'patient')} recognized as the run's own by measurements alone (recognized_by in "
            "predictions.csv); recognize=ids turns this off"
        )
    if min(result.events_test, result.num_test - result.events_test) < 100:
        notes.append("fewer than 100 patients of each outcome: too few for a validation")
    title = f"{result.num_test} patients scored ({who}), {result.events_test} with expansion"
    columns = {"test": f"{who} (95 % interval)", "own_test": "the run's own test part"}
    _print_scores(result, title, [*notes, *_caveat_notes(result), files], columns)


def _print_scores(
    result: Result, title: str, notes: Sequence[str], columns: Mapping[str, str], cv_chance: float | None = None
) -> None:
    """Print the scores with their intervals, one column for each stage, then the notes and the verdict.

    Args:
        result: with the scores.
        title: of the table.
        notes: lines below the table.
        columns: the title of each stage.
        cv_chance: the AUPRC of a random ranking in cross-validation.
    """
    wording = get_wording(result)
    chance = {"cv": cv_chance, "test": auprc_by_chance(result.events_test, result.num_test)}
    if isinstance(result, PredictionResult):
        chance["own_test"] = auprc_by_chance(result.events_own_test, result.num_own_test)
    stages = [stage for stage in columns if any(key.startswith(f"{stage}/") for key in result.metrics)]
    table = _new_table(result.verdict, wording(title), [columns[stage] for stage in stages])
    for metric in results.list_metrics(result):
        scores = [interval_text(result.metrics.get(f"{stage}/{metric.name}"), 3) for stage in stages]
        table.add_row("  " * metric.is_reference + get_label(metric), *scores)
        if metric.name == "auprc":
            table.add_row("  ranking at random", *(num(chance.get(stage), 3) for stage in stages))
    verdict = f"Verdict: {result.verdict}"
    if result.verdict == results.NO_LEAKAGE:
        verdict = "No leakage found: the test patients did not influence the training."
    elif leak := results.describe_leak(result.verdict):
        verdict = f"{verdict}: {leak}"
    print_table(table, [*map(wording, notes), verdict])


def _print_test_comparison(result: Result) -> None:
    """Print the AUROC of the model and of the baselines in the same test patients."""
    known = [row for row in result.comparison if row.test_auroc.value is not None]
    if len(known) > 1:
        title = "AUROC in the same test patients (95 % interval, of differences by DeLong's method)"
        _print_models(result, title, known, {"AUROC": "test_auroc"})


def _print_models(
    result: Result, title: str, rows: list[results.ComparedModel], measures: dict[str, str], notes: Sequence[str] = ()
) -> None:
    """Print the scores of the model and the baselines with the differences; `measures` are names and fields of rows."""
    table = _new_table(result.verdict, title, [text for name in measures for text in (name, "model minus baseline")])
    for row in rows:
        scores = [getattr(row, field + end) for field in measures.values() for end in ("", "_difference")]
        cells = ["" if score is None else interval_text(score, 3) for score in scores]
        table.add_row(row.model, *cells, style="bold" if row.is_model else None)
    print_table(table, notes)


def _new_table(verdict: str, title: str, columns: Sequence[str]) -> Table:
    """Return a table with a first column of names; a verdict of leakage or of an incomplete run is in the title."""
    kind = verdict.partition(":")[0]
    mark = verdict if kind == results.LEAKAGE else kind  # the reason is long; the last line gives it
    title = title if verdict == results.NO_LEAKAGE else f"{mark}: {title}"
    table = Table("", title=title, title_justify="left", title_style="bold", header_style="dim")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def print_table(table: Table, notes: Sequence[str]) -> None:
    """Print a table and the notes below it."""
    console = Console(soft_wrap=True, highlight=False, width=max(_WIDTH, Console().width))
    console.print(table)
    for note in notes:
        console.print(note, markup=False)


def _conclusion_text(conclusion: str, claim: results.Claim | None) -> str:
    """Return whether the model is any good, as the first line of a summary."""
    text = f"Conclusion: {results.CONCLUSIONS[conclusion]}"
    if claim is None or conclusion in (results.BETTER, results.NOT_EVALUATED):
        return text
    names = {"auroc": "AUROC", "brier": "Brier score"}
    worse = {name: claim.worse_than.get(measure, []) for measure, name in names.items()}
    parts = [f"by {name} worse than {', '.join(models)}" for name, models in worse.items() if models]
    return f"{text}: {'; '.join(parts)}" if parts else text


def _gap_notes(result: PredictionResult) -> list[str]:
    """Return a line on the inputs of the model without a value in all or in some of the patients."""
    absent = [name for name, number in result.missing_inputs.items() if number == result.num_patients]
    parts = [f"in all patients {list_columns(absent)}"] if absent else []
    if others := len(result.missing_inputs) - len(absent):
        parts.append(f"in some patients {plural(others, 'input')} (missing_inputs in result.json)")
    notes = [f"inputs that are empty and were filled: {'; '.join(parts)}"] if parts else []
    if result.unknown_levels:
        levels = [f"{level} ({plural(number, 'patient')})" for level, number in result.unknown_levels.items()]
        notes.append(f"texts that the training part did not have: {list_columns(levels)}; treated as none of its texts")
    return notes


def _brain_notes(result: Result) -> list[str]:
    return [describe_brain(result.brain_missing_items)] if result.brain_missing_items else []


def _caveat_notes(result: Result) -> list[str]:
    """Return a line with the code and the meaning of each caveat."""
    return [f"caveat {code}: {results.CAVEATS.get(code, '')}" for code in result.caveats]


def claim_notes(claim: results.Claim | None) -> list[str]:
    """Return how the model compares with the baselines, a line for each measure."""
    if claim is None:
        return []
    notes = []
    for measure, name, relation in (("auroc", "AUROC", claim.auroc), ("brier", "Brier score", claim.brier)):
        worse = claim.worse_than.get(measure, [])
        note = f"by {name}: {relation}{' (' + ', '.join(worse) + ')' if worse else ''}"
        if before := [model for model in claim.worse_before_holm.get(measure, []) if model not in worse]:
            note += f"; before Holm's correction for several comparisons also worse than {', '.join(before)}"
        notes.append(note)
    if any(relation.startswith("better") for relation in (claim.auroc, claim.brier)):
        notes.append("better means: for every baseline, the whole interval of the difference favors the model")
    return notes


def _stability_notes(result: RunResult) -> list[str]:
    """Return the main numbers of ``evaluation=full``, a line for each block."""
    notes = []
    if optimism := result.optimism:
        values = {name: getattr(optimism.auroc, key) for key, name in _OPTIMISM.items()}
        text = ", ".join(f"{name} {value:.3f}" for name, value in values.items() if value is not None)
        notes.append(
            f"AUROC over {optimism.num_refits} bootstrap refits: {text}; "
            "they have no intervals: compare them with the cross-validation"
        )
        notes += [optimism.note] if optimism.note else []
    if result.instability:
        points = 100 * result.instability.mean_absolute_difference
        notes.append(f"a patient's risk changes by {points:.1f} percentage points on average in a refitted model")
    if result.label_sensitivity:
        rows = [row for row in result.label_sensitivity if row.auroc.value is not None]
        rows.sort(key=lambda row: row.auroc.value or 0.0)
        ends = dict.fromkeys(_label_text(row) for row in (rows[:1] + rows[-1:])) or ["too few expansions under each"]
        notes.append(f"AUROC under {len(result.label_sensitivity)} definitions of expansion: {' to '.join(ends)}")
    if result.attributions:
        clear, agreement = result.attributions.clear[:3], result.attributions.rank_correlation
        text = f"the ranking depends on {', '.join(clear)}" if clear else "no input is clearly needed for the ranking"
        order = "" if agreement is None else f"; rank correlation of the inputs between repeats: {agreement:.2f}"
        notes.append(f"{text} (intervals: attributions.csv){order}")
    return notes


def _label_text(row: results.LabelScore) -> str:
    ridge2 = f", ridge2 {interval_text(row.ridge2_auroc, 3)}" if row.ridge2_auroc != row.auroc else ""
    return f"{row.label} {interval_text(row.auroc, 3)}{ridge2}"


def _calibration_notes(patients: str, calibration: results.Calibration | None) -> list[str]:
    """Return a line on how well predicted risks agree with observed outcomes in these patients."""
    if calibration is None:
        return []
    intercept, slope = (interval_text(score) for score in (calibration.intercept, calibration.slope))
    shares = f"mean risk {percent(calibration.mean_risk)}, observed {percent(calibration.observed)}"
    return [f"calibration in {patients}: intercept {intercept}, ideal 0; slope {slope}, ideal 1; {shares}"]


def _interval_width_note(score: Score, num_patients: int, events: int) -> str:
    """Return a line on how precise an AUROC of these patients is."""
    if score.low is None or score.high is None:
        return f"{num_patients} patients, {events} with expansion: the AUROC is not defined"
    width = score.high - score.low
    text = "wide: too few patients for a precise AUROC" if width > 0.1 else "narrow"
    return f"{num_patients} patients, {events} with expansion: the interval of the AUROC is {width:.2f} {text}"


def _score_notes(result: Result, patients: str) -> list[str]:
    """Return lines that compare the test scores with trivial predictions; `patients` is who was scored, in words."""
    accuracy, majority, auroc = (result.metrics[f"test/{name}"] for name in ("accuracy", "majority_accuracy", "auroc"))
    notes = []
    baseline = result.prevalence_baseline
    if baseline and baseline.brier is not None and baseline.log_loss is not None:
        values = f"Brier {baseline.brier:.3f}, log loss {baseline.log_loss:.3f}"
        notes.append(f"giving every patient the share of expansion in the training part would score {values}")
    if accuracy.value is not None and majority.value is not None:
        differs = accuracy.low is not None and not accuracy.low <= majority.value <= (accuracy.high or 1.0)
        side = "above" if accuracy.value > majority.value else "below"
        relation = side if differs else "not distinguishable from"
        values = f"{accuracy.value:.3f} against {majority.value:.3f}"
        notes.append(f"accuracy is {relation} always predicting the majority of the training part ({values})")
    if auroc.low is not None and auroc.high is not None and auroc.low <= 0.5 <= auroc.high:
        notes.append(f"the interval of the AUROC includes 0.5: {patients} do not show that the model is above chance")
    return notes
