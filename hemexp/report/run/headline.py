"""The first screen of the page, which answers in ten seconds whether the model is useful; and the limits at its end."""

from typing import Any

from hemexp.config import get_choice_name, get_model_title
from hemexp.evaluation.heterogeneity import list_large
from hemexp.files.result import Claim, ComparedModel, Score
from hemexp.formatting import bounds, count, num, plural
from hemexp.report.blocks import Block, bullets, caveat_text, load_texts, section
from hemexp.report.first_screen import (
    build_top,
    compare_with_coin,
    describe_risks,
    say_relation,
    verdict_kind,
)
from hemexp.report.run.read import RunFiles, figure
from hemexp.report.run.update_section import conclude_update, describe_update

_EXAMINED = {
    "cross_validation": "repeated cross-validation",
    "comparison": "comparison with baselines",
    "calibration": "calibration",
    "thresholds": "decision thresholds",
    "subgroups": "subgroups",
    "sample_size": "sample size",
    "uncertainty": "uncertainty of single predictions",
    "optimism": "bootstrap optimism",
    "instability": "instability of predictions",
    "label_sensitivity": "other definitions of expansion",
    "attributions": "importance of the inputs",
}


_OTHER_PART = {
    "center": "The test part is one center that did not train the model,",
    "temporal": "The test part holds the later patients (temporal validation)",
}
_KIND = {"age": "age, years", "hematoma": "hematoma volume, mL"}  # medians of table one on the first screen


def headline(run: RunFiles) -> dict[str, Any]:
    """Return the content of the top of the page, by the names of the template."""
    result, about = run.result, f"Prediction of hematoma expansion: {model_name(run)}"
    answer = load_texts("texts")["conclusions"][result.conclusion][0], result.conclusion
    stage, calibrated, beside = _get_stage(run), None, None
    if result.calibration:
        calibrated = result.calibration.test if stage == "test" else result.calibration.cv
    if stage == "cv":
        beside = next((row.brier_difference for row in result.comparison if row.model == "prevalence"), None)
    lines = [("Ranking", describe_ranking(run)), ("Risks", describe_risks(calibrated, beside))]
    if result.update:
        answer, lines = conclude_update(result), describe_update(result)
    centers, briefly = [], []
    if result.by_center and (large := list_large(result.by_center)):
        words = " and ".join(large).replace("and calibration slope", "and slope")
        centers, briefly = [("Centers", f"they differ in {words}.")], [("Centers", "they differ.")]
    full, short = (("Patients", describe_patients(run, kinds)) for kinds in (True, False))
    versions = [(about, [*lines, *centers, full]), (about, [*lines, *centers, short])]
    versions.append((f"Hematoma expansion: {model_name(run)}", [*lines, *briefly, short]))
    named = [f"{name} agrees with {agrees_with}." for name, agrees_with in result.leaky_inputs.items()]
    return build_top(versions, "the run directory", result.verdict, answer, figure(run, "comparison"), named)


def _get_stage(run: RunFiles) -> str:
    """Return whose scores are on the first screen: of cross-validation, or of a test part of another kind."""
    metrics = run.result.metrics
    is_other = is_defined(metrics.get("test/auroc")) and _get_split(run) in _OTHER_PART
    return "cv" if is_defined(metrics.get("cv/auroc")) and not is_other else "test"


def _get_split(run: RunFiles) -> str:
    return str((run.result.config.get("split") or {}).get("name", ""))


def describe_ranking(run: RunFiles) -> str:
    """Return how well the model ranks the patients, beside a coin and beside the best baseline."""
    stage = _get_stage(run)
    score = run.result.metrics.get(f"{stage}/auroc")
    words = compare_with_coin(score)
    others = [row for row in run.result.comparison if not row.is_model and row.model != "prevalence"]
    known = [(row.test_auroc if stage == "test" else row.auroc, row) for row in others]
    known = [(auroc, row) for auroc, row in known if auroc.value is not None]
    if score is None or not known:
        return words
    auroc, best = max(known, key=lambda item: item[0].value or 0.0)
    baseline = f"{get_model_title(best.model)} ({num(auroc.value)})"
    versus, coin = _compare_with(best, stage), say_relation(score.low, score.high, 0.5)
    if versus == coin:
        return f"{words[:-1]} {'or' if 'not' in coin else 'and'} {baseline}."
    return f"{words[:-1]}, {versus} {baseline}."


def _compare_with(row: ComparedModel, stage: str) -> str:
    difference = row.auroc_difference if stage == "cv" else row.test_auroc_difference
    _, low, high = bounds(difference)
    certain = difference is not None and difference.p_holm is not None and difference.p_holm < 0.05
    return say_relation(low, high, 0.0) if certain else "not shown to be better than"


def describe_patients(run: RunFiles, kinds: bool = True) -> str:
    """Return how many patients there are, and of which kind."""
    result, design = run.result, run.result.cross_validation
    if _get_split(run) in _OTHER_PART:
        others = (
            "later patients" if _get_split(run) == "temporal" else f"of the center {result.config['split']['center']}"
        )
        return (
            f"{count(result.num_train + result.num_val)} trained, {count(result.num_test)} {others} tested "
            f"({count(result.events_test)} with expansion)."
        )
    size, events = result.num_train + result.num_test, result.events_train + result.events_test
    if design is not None:
        size, events = design.num_patients, design.events
    simulated = "simulated " if {"synthetic_cohort", "trained_on_synthetic"} & {*result.caveats} else ""
    words = f"{count(size)} {simulated}({count(events)} with expansion)"
    described = run.tables.get("characteristics")
    if described is None or not kinds:
        return f"{words}."
    medians = described.set_index("variable")["overall"].str.partition(" (")[0]
    shown = [f"{name} {medians[row]}{' mL' * ('mL' in row)}" for name, row in _KIND.items() if medians.get(row)]
    return f"{words}{', median ' * bool(shown)}{', '.join(shown)}."


def claim_text(claim: str) -> str:
    """Return a claim of result.json in plain words."""
    return str(load_texts("texts")["claims"].get(claim, claim))


def claim_texts(claim: Claim) -> dict[str, str]:
    """Return the claim by each measure in plain words, with the baselines that are better."""
    texts = {"auroc": claim_text(claim.auroc), "brier": claim_text(claim.brier)}
    worse = {measure: ", ".join(map(get_model_title, claim.worse_than.get(measure, []))) for measure in texts}
    return {measure: f"{text} ({worse[measure]})" if worse[measure] else text for measure, text in texts.items()}


def model_name(run: RunFiles) -> str:
    """Return the name of the run's model."""
    return get_model_title(get_choice_name(run.result.config.get("model") or {}))


def is_defined(score: Score | None) -> bool:
    """Return whether a score has a value and an interval."""
    return score is not None and None not in (score.value, score.low, score.high)


def limits(run: RunFiles) -> Block | None:
    """Return the section on the limits of the conclusions, from the files of the run."""
    result, kind = run.result, verdict_kind(run.result.verdict)
    items = [load_texts("texts")["verdicts"][kind]]
    items += [caveat_text(code) for code in result.caveats]
    size = result.sample_size
    if size and size.num_parameters and not size.adequate:
        items.append(
            f"A model of this size needs {count(size.required_patients)} patients for training by the usual criteria; "
            f"there were {count(size.num_patients)}."
        )
    events, others = result.events_test, result.num_test - result.events_test
    if result.num_test and min(events, others) < 100:
        items.append(
            f"The test part has {count(events)} patients with expansion and {count(others)} without. Fewer than 100 "
            "of either are too few to validate a model, as the width of the intervals shows."
        )
    if lost := sum(result.flow.unlabelled.values()):
        items.append(
            f"{count(lost)} patients without a known outcome are left out. If they differ from the others, the results "
            "do not apply to them."
        )
    items += [_describe_origin(run), "The files do not say whether the cohort was collected prospectively."]
    missing = [name for key, name in _EXAMINED.items() if not getattr(result, key)]
    if missing:
        items.append(f"Not examined in this run: {', '.join(missing)}.")
    return section("limits", "Limits", [bullets(items)])


def _describe_origin(run: RunFiles) -> str:
    """Return what is known about the hospitals of the patients, and which validation is missing."""
    result, centers = run.result, run.result.data.num_centers
    if result.update:
        return (
            "The update was fitted and judged in the patients of one cohort, by cross-validation. Validate the updated "
            "model in other patients before it is used."
        )
    if result.by_center and _get_split(run) not in _OTHER_PART:
        return (
            f"The patients come from {plural(centers or 0, 'center')}. Leaving out a center shows how well this way of "
            "training does in a center that it has not seen. The model of this run has learned from several centers, "
            "and was not tested in another one: there is no external validation."
        )
    known = f"The patients come from {plural(centers, 'center')}." if centers else ""
    known = known or "The files do not say how many hospitals they come from."
    if part := _OTHER_PART.get(_get_split(run)):
        return f"{part} of the same cohort. Another hospital has not tested the model. {known}"
    return f"All patients come from one cohort, in training and in testing: there is no external validation. {known}"
