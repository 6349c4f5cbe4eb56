"""Sections on patients, scores, calibration, decisions, sample size and the model."""

from hemexp.config import get_model_title
from hemexp.evaluation.validation_sample_size import WIDTHS
from hemexp.files.result import CONCLUSIONS, LEAKAGE, SEEN_TEST, describe_brain, get_label, list_metrics
from hemexp.formatting import count, num, percent, plural, score_text
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.score_tables import calibration_table, net_benefit_table
from hemexp.report.validation.content import ValidationContent, get_figure

_CRITERIA = {
    "observed_to_expected": "ratio of observed to expected events",
    "slope": "calibration slope",
    "auroc": "AUROC",
    "net_benefit": "standardized net benefit",
}
_SIZE_NOTE = (
    "Riley et al. (Statistics in Medicine 2021;40:4230) and Archer et al. (2021;40:133), for a model with these risks "
    "that are right. The net benefit is at the share of expansion in training as the threshold."
)


def patients(content: ValidationContent) -> Block | None:
    """Return the section on the patients of the file: who is new, and who is scored."""
    result, validation = content.result, content.validation
    own_only = "own_test_part" in result.caveats
    rows = [
        ("patients in the file", result.num_patients, ""),
        ("of the run's training part", result.num_train, "got a risk, never scored" if result.num_train else ""),
        ("of the run's test part", result.num_own_test, _say_own_test(own_only, result.num_own_test)),
        ("new, outcome not known", validation.num_unlabelled, "got a risk"),
        ("new, outcome known", 0 if own_only else result.num_test, "scored here"),
        ("with expansion among the scored", result.events_test, ""),
    ]
    known = sum(number for _, number, _ in rows[1:5])
    if others := result.num_patients - known:
        rows.insert(3, ("of the run, but in neither part", others, "got a risk, not scored"))
    shown = [[name, count(number), meaning] for name, number, meaning in rows if number or name.startswith("new")]
    note = "Patients of the run are recognized by their scan serials or by their measurements."
    return section(
        "patients",
        "Patients: who is new, and who is scored",
        [text(content.validation.answer), table("", ["", "patients", "what was done"], shown, note)],
    )


def _say_own_test(own_only: bool, number: int) -> str:
    return "scored here: no new patient has a known outcome" if own_only else "scored apart" if number else ""


def scores(content: ValidationContent) -> Block | None:
    """Return the section on the scores beside those of the run, and on the BRAIN score."""
    result, trained = content.result, content.trained
    if not result.num_test:
        return None
    leaks = trained.verdict.startswith(LEAKAGE)
    stages = [] if leaks else [("cv", "cross-validation of the run"), ("test", "test part of the run")]
    stages = [(stage, name) for stage, name in stages if trained.metrics.get(f"{stage}/auroc")][:1]
    baseline = result.prevalence_baseline
    constant = {"auroc": "0.50", "brier": num(baseline.brier, 3), "log_loss": num(baseline.log_loss, 3)}
    if majority := result.metrics.get("test/majority_accuracy"):
        constant["accuracy"] = num(majority.value, 3)
    rows = [
        [get_label(metric), score_text(result.metrics[f"test/{metric.name}"], metric.digits),
         *(score_text(trained.metrics.get(f"{stage}/{metric.name}"), metric.digits) for stage, _ in stages),
         constant.get(metric.name, "–")]
        for metric in list_metrics(result) if not metric.is_reference
    ]  # fmt: skip
    head = ["", content.who, *(name for _, name in stages), "no information"]
    note = (
        "95 % intervals. “No information”: chance, the majority of the training part, or its share of expansion as the "
        "risk of every patient. The AUPRC grows with the share of expansion: do not compare it between cohorts."
    )
    return section(
        "scores",
        "Ranking: how well does it order the patients?",
        [table("Scores", head, rows, note), *_compare(content)],
        scored=True,
    )


def _compare(content: ValidationContent) -> list[Block]:
    """Return the model beside the BRAIN score in the patients with its items."""
    known = content.result.comparison
    if not known:
        return []
    rows = [[content.name if row.is_model else get_model_title(row.model), score_text(row.test_auroc),
             "" if row.is_model else score_text(row.test_auroc_difference)] for row in known]  # fmt: skip
    number = known[0].num_patients
    note = f"In {count(number)} patients with the items of the score. DeLong's interval of the difference."
    shown = table("Beside the BRAIN score", ["", "AUROC", "model minus BRAIN"], rows, note)
    missing = content.result.brain_missing_items
    words = describe_brain(missing) if missing else ""
    return [shown, *([text(f"{words[0].upper()}{words[1:]}.", "note")] if words else [])]


def calibration(content: ValidationContent) -> Block | None:
    """Return the section on calibration."""
    found = content.result.calibration.test
    if found is None:
        return None
    few = None if "calibration" in content.figures else text("There are too few different risks for a curve.", "note")
    there = content.trained.calibration
    own = None if content.trained.verdict.startswith(LEAKAGE) or there is None else there.cv or there.test
    parts = {content.who: found, "its own cohort": own}
    blocks = [get_figure(content, "calibration"), few, calibration_table(parts)]
    return section("calibration", "Calibration: are the risks right?", blocks, scored=True)


def decisions(content: ValidationContent) -> Block | None:
    """Return the section on the decision curve."""
    shown = net_benefit_table(content.tables.get("decision_curve"), get_model_title)
    blocks = [get_figure(content, "decision_curve"), shown]
    return section("decisions", "Decisions: would the model help?", blocks, scored=True)


def sample_size(content: ValidationContent) -> Block | None:
    """Return the section on the sample size: what each criterion wants, and what is missing."""
    size = content.validation.sample_size
    if size is None:
        return None
    rows = [
        [_CRITERIA[name], f"at most {WIDTHS[name]:g} wide", count(required),
         count(max(0, required - size.num_patients)) if required > size.num_patients else "enough"]
        for name, required in size.criteria.items()
    ]  # fmt: skip
    words = (
        f"{count(size.num_patients)} patients with a known outcome, {count(size.events)} with expansion. A precise "
        f"validation needs {count(size.required_patients)} patients, {count(size.required_events)} with expansion."
    )
    if size.adequate:
        words += " There are enough."
    elif size.num_patients:
        words += " The intervals are wider than wanted: small errors of the model cannot be seen."
    else:
        words += " The share of expansion in the training part is expected here."
    head = ["95 % interval of", "target", "patients needed", "missing"]
    return section(
        "sample-size", "Are there enough patients?", [text(words), table("", head, rows, _SIZE_NOTE)], folded=True
    )


def model(content: ValidationContent) -> Block | None:
    """Return the section on the model and its training cohort."""
    trained, result = content.trained, content.result
    share = trained.events_train / trained.num_train
    rows = [
        ["model", content.name],
        ["hematoma expansion means", trained.label_definition],
        ["training part", f"{count(trained.num_train)} patients, {percent(share)} with expansion"],
        ["number of inputs", count(len(trained.inputs))],
        ["verdict of the prediction", result.verdict],
        *[[f"version of {name}", version] for name, version in trained.versions.items() if name == "hemexp"],
    ]  # fmt: skip
    return section("model", "Which model?", [text(_summarize(content)), table("", ["", ""], rows)], folded=True)


def _summarize(content: ValidationContent) -> str:
    trained = content.trained
    learned = plural(trained.num_train, "patient")
    if trained.verdict != f"{LEAKAGE}: {SEEN_TEST}":
        learned += f", {count(trained.events_train)} with expansion,"
    else:
        learned = plural(trained.num_train + trained.num_test, "patient")
    conclusion = CONCLUSIONS[trained.conclusion].removeprefix("not evaluated: the model was ")
    return (
        f"The model estimates the risk of hematoma expansion, defined as {trained.label_definition}. It has learned "
        f"from {learned} and is used here as it is: nothing was fitted to the new patients. In the run that trained "
        f"it, the model was {conclusion}."
    )
