"""Summaries that a command prints at its end."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from hemexp.files.result import (
    BETTER,
    CAVEATS,
    CONCLUSIONS,
    METRIC_NAMES,
    NO_LEAKAGE,
    NOT_EVALUATED,
    Calibration,
    Claim,
    ComparedModel,
    LabelScore,
    PrevalenceBaseline,
    RunResult,
    Score,
)
from hemexp.formatting import interval_text, num, percent

_WIDTH = 120  # columns, at least: a table that wraps cannot be read
_OPTIMISM = {"apparent": "apparent", "corrected": "Harrell's", "out_of_bag": "out of bag", "corrected_632plus": ".632+"}
STAGES = {"cv": "cross-validation (95 % interval)", "test": "test part (95 % interval)"}


def print_scores(
    title: str,
    metrics: Mapping[str, Score],
    by_chance: Mapping[str, float | None],
    notes: Sequence[str],
    columns: Mapping[str, str] = STAGES,
) -> None:
    """Print the scores with their intervals, one column for each stage, then the notes.

    Args:
        title: of the table.
        metrics: of result.json.
        by_chance: the AUPRC of a random ranking, by stage.
        notes: lines below the table.
        columns: the title of each stage.
    """
    stages = [stage for stage in columns if any(key.startswith(f"{stage}/") for key in metrics)]
    table = new_table(title, "", *(columns[stage] for stage in stages))
    for name, text in METRIC_NAMES.items():
        table.add_row(text, *(interval_text(metrics.get(f"{stage}/{name}"), 3) for stage in stages))
        if name == "auprc":
            table.add_row("  ranking at random", *(num(by_chance.get(stage), 3) for stage in stages))
    print_table(table, notes)


def print_comparison(verdict: str, rows: Sequence[ComparedModel], notes: Sequence[str]) -> None:
    """Print the model and the baselines, scored on the same folds, then the notes."""
    title = title_with_verdict(verdict, "model and baselines on the same folds (95 % interval)")
    table = new_table(title, "", "AUROC", "model minus baseline", "Brier score", "model minus baseline")
    for row in rows:
        scores = (row.auroc, row.auroc_difference, row.brier, row.brier_difference)
        cells = ["" if score is None else interval_text(score, 3) for score in scores]
        table.add_row(row.model, *cells, style="bold" if row.is_model else None)
    print_table(table, notes)


def print_test_comparison(verdict: str, rows: Sequence[ComparedModel]) -> None:
    """Print the AUROC of the model and of the baselines in the same test patients."""
    known = [row for row in rows if row.test_auroc.value is not None]
    if len(known) < 2:
        return
    title = "AUROC in the same test patients (95 % interval, of differences by DeLong's method)"
    table = new_table(title_with_verdict(verdict, title), "", "AUROC", "model minus baseline")
    for row in known:
        difference = row.test_auroc_difference
        cells = [interval_text(row.test_auroc, 3), "" if difference is None else interval_text(difference, 3)]
        table.add_row(row.model, *cells, style="bold" if row.is_model else None)
    print_table(table, [])


def new_table(title: str, *columns: str) -> Table:
    """Return an empty table; all columns but the first hold numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", no_wrap=number > 0)
    return table


def print_table(table: Table, notes: Sequence[str]) -> None:
    """Print a table and the notes below it."""
    console = Console(soft_wrap=True, highlight=False, width=max(_WIDTH, Console().width))
    console.print(table)
    for note in notes:
        console.print(note, markup=False)


def title_with_verdict(verdict: str, title: str) -> str:
    """Return the title of a table; a verdict of leakage or of an incomplete run comes first."""
    return title if verdict == NO_LEAKAGE else f"{verdict}: {title}"


def verdict_note(verdict: str) -> str:
    """Return the verdict in plain words, as the last line of a summary."""
    if verdict != NO_LEAKAGE:
        return f"Verdict: {verdict}"
    return (
        "No leakage found: the test patients did not influence the training. "
        "Whether the model is good is answered above."
    )


def conclusion_text(conclusion: str, claim: Claim | None) -> str:
    """Return whether the model is any good, as the first line of a summary."""
    text = f"Conclusion: {CONCLUSIONS[conclusion]}"
    if claim is None or conclusion in (BETTER, NOT_EVALUATED):
        return text
    names = {"auroc": "AUROC", "brier": "Brier score"}
    worse = {name: claim.worse_than.get(measure, []) for measure, name in names.items()}
    parts = [f"by {name} worse than {', '.join(models)}" for name, models in worse.items() if models]
    return f"{text}: {'; '.join(parts)}" if parts else text


def caveat_notes(caveats: Sequence[str]) -> list[str]:
    """Return a line with the code and the meaning of each caveat."""
    return [f"caveat {code}: {CAVEATS.get(code, '')}" for code in caveats]


def claim_notes(claim: Claim | None) -> list[str]:
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


def stability_notes(result: RunResult) -> list[str]:
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


def _label_text(row: LabelScore) -> str:
    ridge2 = f", ridge2 {interval_text(row.ridge2_auroc, 3)}" if row.ridge2_auroc != row.auroc else ""
    return f"{row.label} {interval_text(row.auroc, 3)}{ridge2}"


def calibration_notes(patients: str, calibration: Calibration | None) -> list[str]:
    """Return a line on how well predicted risks agree with observed outcomes in these patients."""
    if calibration is None:
        return []
    intercept, slope = (interval_text(score) for score in (calibration.intercept, calibration.slope))
    shares = f"mean risk {percent(calibration.mean_risk)}, observed {percent(calibration.observed)}"
    return [f"calibration in {patients}: intercept {intercept}, ideal 0; slope {slope}, ideal 1; {shares}"]


def interval_width_note(score: Score, num_patients: int, events: int) -> str:
    """Return a line on how precise an AUROC of these patients is."""
    if score.low is None or score.high is None:
        return f"{num_patients} patients, {events} with expansion: the AUROC is not defined"
    width = score.high - score.low
    text = "wide: every value in it agrees with these patients" if width > 0.1 else "narrow"
    return f"{num_patients} patients, {events} with expansion: the interval of the AUROC is {width:.2f} {text}"


def score_notes(metrics: Mapping[str, Score], baseline: PrevalenceBaseline | None, patients: str) -> list[str]:
    """Return lines that compare the test scores with trivial predictions.

    Args:
        metrics: with the ``test/`` scores.
        baseline: scores of the training prevalence.
        patients: the patients who were scored, in words.
    """
    accuracy, majority, auroc = (metrics[f"test/{name}"] for name in ("accuracy", "majority_accuracy", "auroc"))
    notes = []
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
