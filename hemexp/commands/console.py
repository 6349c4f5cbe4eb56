"""What a command says on the terminal when it is done."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from hemexp.evaluation.metrics import Score
from hemexp.formatting import interval_text, num, percent

NAMES = {
    "accuracy": "accuracy",
    "majority_accuracy": "  always the majority",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score (lower is better)",
    "log_loss": "log loss (lower is better)",
}

_WIDTH = 120  # columns, at least: a table that wraps cannot be read
_OPTIMISM = {"apparent": "apparent", "corrected": "Harrell's", "out_of_bag": "out of bag", "corrected_632plus": ".632+"}
_COMPARED = ("auroc", "auroc_difference", "brier", "brier_difference")
STAGES = {"cv": "cross-validation (95 % interval)", "test": "test part (95 % interval)"}

CAVEATS = {
    "treatments_after_first_scan": "inputs hold treatments, which follow the first scan: no prediction at admission",
    "few_events_per_input": "fewer than 10 patients of the rarer outcome for each input: expect chance findings",
    "one_outcome_in_test": "the test part holds one outcome only: nothing can be ranked",
    "inert_init": "model.init is zeros or all_zeros: what begins at zero never learns",
    "synthetic_cohort": "the patients are simulated",
    "trained_on_synthetic": "the model was trained on simulated patients",
    "debug": "a run that tries the machinery: its scores say nothing",
    "folds_diverged": "in some folds the training loss ended as no number; they predict with their best weights before",
    "cross_validated_within_training": "cross-validation divides the training part alone: fewer patients to learn from",
    "too_few_events_for_thresholds": "a fold of the training part would lack an outcome: no thresholds, no abstaining",
    "too_few_events_for_refits": "fewer than 5 patients of an outcome: no refits, so no optimism and no instability",
    "too_few_events_for_cross_validation": "a fold would lack an outcome: no cross-validation, so no honest headline",
}


def print_scores(
    title: str,
    metrics: Mapping[str, Score],
    by_chance: Mapping[str, float | None],
    notes: Sequence[str],
    columns: Mapping[str, str] = STAGES,
) -> None:
    """Print the scores with their intervals, a column a stage, then what a reader must know beside them.

    Args:
        title: with the verdict.
        metrics: those of result.json.
        by_chance: the AUPRC of ranking at random, by stage.
        notes: lines below.
        columns: what each stage is called.
    """
    stages = [stage for stage in columns if any(key.startswith(f"{stage}/") for key in metrics)]
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    table.add_column("")
    for stage in stages:
        table.add_column(columns[stage], justify="right", no_wrap=True)
    for name, words in NAMES.items():
        table.add_row(words, *(interval_text(metrics[f"{stage}/{name}"], 3) for stage in stages))
        if name == "auprc":
            table.add_row("  ranking at random", *(num(by_chance.get(stage), 3) for stage in stages))
    print_table(table, notes)


def print_comparison(verdict: str, rows: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> None:
    """Print the model beside the baselines, on the same folds, then what may be said of it.

    Args:
        verdict: of the run.
        rows: those of `hemexp.evaluation.comparison.compare`.
        notes: lines below.
    """
    title = f"{verdict}: model and baselines on the same folds (95 % interval)"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    table.add_column("")
    for words in ("AUROC", "the model's minus it", "Brier score", "the model's minus it"):
        table.add_column(words, justify="right", no_wrap=True)
    for row in rows:
        cells = ["" if row[key] is None else interval_text(row[key], 3) for key in _COMPARED]
        table.add_row(row["model"], *cells, style="bold" if row["is_model"] else None)
    print_table(table, notes)


def print_tested(verdict: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print how the model and the baselines rank the same test patients; `rows` as above."""
    known = [row for row in rows if row["test_auroc"]["value"] is not None]
    if len(known) < 2:
        return
    title = f"{verdict}: AUROC of the same test patients (95 % interval, DeLong's for differences)"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for words in ("", "AUROC", "the model's minus it"):
        table.add_column(words, justify="right" if words else "left", no_wrap=True)
    for row in known:
        apart = row["test_auroc_difference"]
        cells = [interval_text(row["test_auroc"], 3), "" if apart is None else interval_text(apart, 3)]
        table.add_row(row["model"], *cells, style="bold" if row["is_model"] else None)
    print_table(table, [])


def print_table(table: Table, notes: Sequence[str]) -> None:
    """Print a table, and what must be said beside it."""
    console = Console(soft_wrap=True, highlight=False, width=max(_WIDTH, Console().width))
    console.print(table)
    for note in notes:
        console.print(note, markup=False)


def caveat_notes(verdict: str, caveats: Sequence[str]) -> list[str]:
    """Return the verdict and each caveat's code with their meaning."""
    meaning = ["HONEST means: neither the outcome nor the test part leaked into the fit; it is no praise"]
    return (meaning if verdict == "HONEST" else []) + [f"caveat {code}: {CAVEATS.get(code, '')}" for code in caveats]


def claim_notes(claim: Mapping[str, Any] | None) -> list[str]:
    """Say in words how the model stands against the baselines."""
    if claim is None:
        return []
    names = {"auroc": "AUROC", "brier": "Brier score"}
    notes = []
    for measure, name in names.items():
        worse = claim["worse_than"][measure]
        notes.append(f"by {name}: {claim[measure]}{' (' + ', '.join(worse) + ')' if worse else ''}")
        if looked := [each for each in claim.get("worse_before_holm", {}).get(measure, []) if each not in worse]:
            notes[-1] += f"; before Holm's correction for looking at all of them, worse than {', '.join(looked)}"
    rule = "better means: the whole interval of the difference is on the good side of zero, against every baseline"
    return [*notes, rule] if any(claim[measure].startswith("better") for measure in names) else notes


def stability_notes(result: Mapping[str, Any]) -> list[str]:
    """Say what ``evaluation=full`` found, a line a block."""
    notes = []
    if result.get("optimism"):
        auroc = result["optimism"]["auroc"]
        shown = [f"{name} {auroc[key]:.3f}" for key, name in _OPTIMISM.items() if auroc.get(key) is not None]
        told = f"AUROC over {result['optimism']['num_refits']} bootstrap refits: {', '.join(shown)}"
        notes.append(f"{told}; they have no intervals: read them beside the cross-validation's")
        notes += [result["optimism"]["note"]] if result["optimism"]["note"] else []
    if result.get("instability"):
        points = 100 * result["instability"]["mean_absolute_difference"]
        notes.append(
            f"a patient's risk moves by {points:.1f} percentage points on average when the pipeline is refitted"
        )
    if result.get("label_sensitivity"):
        rows = [row for row in result["label_sensitivity"] if row["auroc"]["value"] is not None]
        rows.sort(key=lambda row: float(row["auroc"]["value"]))
        ends = dict.fromkeys(_labelled(row) for row in (rows[:1] + rows[-1:])) or ["too few events under each"]
        told = f"AUROC under {len(result['label_sensitivity'])} definitions of expansion"
        notes.append(f"{told}: {' to '.join(ends)}")
    if result.get("attributions"):
        clear, agreement = result["attributions"]["clear"][:3], result["attributions"]["rank_correlation"]
        told = (
            f"the ranking rests on {', '.join(clear)}" if clear else "it is clear of no input that the ranking needs it"
        )
        how = "" if agreement is None else f"; their order's correlation between repeats: {agreement:.2f}"
        notes.append(f"{told} (intervals: attributions.csv){how}")
    return notes


def _labelled(row: Mapping[str, Any]) -> str:
    beside = f", ridge2 {interval_text(row['ridge2_auroc'], 3)}" if row["ridge2_auroc"] != row["auroc"] else ""
    return f"{row['label']} {interval_text(row['auroc'], 3)}{beside}"


def calibration_notes(where: str, found: Mapping[str, Any] | None) -> list[str]:
    """Say whether risks can be taken at their word; `found` is `hemexp.evaluation.calibration.calibration`'s."""
    if not found:
        return []
    intercept, slope = (interval_text(found[name]) for name in ("intercept", "slope"))
    shares = f"mean risk {percent(found['mean_risk'])}, observed {percent(found['observed'])}"
    return [f"calibration in {where}: intercept {intercept}, right is 0; slope {slope}, right is 1; {shares}"]


def interval_width_note(score: Score, num_patients: int, events: int) -> str:
    """Say how much an AUROC of so few patients is worth."""
    if score["low"] is None or score["high"] is None:
        return f"{num_patients} patients, {events} with expansion: no AUROC is defined"
    width = score["high"] - score["low"]
    wide = "wide: anything in it agrees with these patients" if width > 0.1 else "narrow"
    return f"{num_patients} patients, {events} with expansion: the AUROC's interval is {width:.2f} {wide}"


def score_notes(
    metrics: Mapping[str, Score], baseline: Mapping[str, float], who: str = "this test part does"
) -> list[str]:
    """Say in words how the scores compare with knowing nothing; `baseline` scores the training prevalence."""
    accuracy, majority, auroc = (metrics[f"test/{name}"] for name in ("accuracy", "majority_accuracy", "auroc"))
    notes = []
    if baseline:
        values = f"Brier {baseline['brier']:.3f}, log loss {baseline['log_loss']:.3f}"
        notes.append(f"giving everybody the training part's share of expansion would score {values}")
    if accuracy["value"] is not None and majority["value"] is not None:
        gap = accuracy["value"] - majority["value"]
        apart = accuracy["low"] is not None and not accuracy["low"] <= majority["value"] <= (accuracy["high"] or 1.0)
        relation = ("above" if gap > 0 else "below") if apart else "not distinguishable from"
        values = f"{accuracy['value']:.3f} against {majority['value']:.3f}"
        notes.append(f"accuracy is {relation} always giving the training majority's answer ({values})")
    if auroc["low"] is not None and auroc["high"] is not None and auroc["low"] <= 0.5 <= auroc["high"]:
        notes.append(f"the AUROC's interval includes 0.5: {who} not show that the model beats a coin")
    return notes
