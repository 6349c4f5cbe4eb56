"""The first screen of the page, which answers in ten seconds whether the model is useful; and the limits at its end."""

from typing import Any

from hemexp.config import get_choice_name, get_model_title
from hemexp.files.result import NO_LEAKAGE, Claim, ComparedModel, Score, describe_leak
from hemexp.formatting import ScoreLike, bounds, count, num, plural
from hemexp.report.blocks import Block, bullets, caveat_text, load_texts, section
from hemexp.report.run.read import RunFiles, figure, verdict_kind

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


_KIND = {"age": "age, years", "hematoma": "hematoma volume, mL"}  # medians of table one on the first screen


def headline(run: RunFiles) -> dict[str, Any]:
    """Return the content of the top of the page, by the names of the template."""
    texts = load_texts("texts")
    kind, name = verdict_kind(run.result.verdict), model_name(run)
    title = texts["conclusions"][run.result.conclusion][0]
    lines = [("Patients", describe_patients(run))]
    if kind == NO_LEAKAGE:
        lines = [("Ranking", describe_ranking(run)), ("Risks", describe_risks(run)), *lines]
    else:
        lines = [(texts["alarms"][kind], " ".join(filter(None, [run.result.verdict, _leak_text(run)]))), *lines]
    return {
        "title": f"Prediction of hematoma expansion: {run.warning or title}",
        "source": "the run directory",
        "warning": run.warning,
        "kind": kind,
        "answer": {
            "about": f"Prediction of hematoma expansion: {name}",
            "kind": run.result.conclusion if kind == NO_LEAKAGE else kind,
            "title": title if kind == NO_LEAKAGE else texts["alarms"]["title"][kind],
            "lines": lines,
            "quiet": "No leakage found." if kind == NO_LEAKAGE else "",
            "figure": figure(run, "comparison") if kind == NO_LEAKAGE else None,
        },
    }


def describe_ranking(run: RunFiles) -> str:
    """Return how well the model ranks the patients, beside a coin and beside the best baseline."""
    metrics, others = run.result.metrics, [row for row in run.result.comparison if not row.is_model]
    stage = "cv" if is_defined(metrics.get("cv/auroc")) else "test"
    score = metrics.get(f"{stage}/auroc")
    if score is None or score.value is None:
        return "not scored."
    words = f"AUROC {num(score.value)}"
    if not is_defined(score):
        return f"{words}, without an interval (a coin has 0.50)."
    coin = _compare(score.low, score.high, 0.5)
    known = [row for row in others if row.model != "prevalence" and row.auroc.value is not None and stage == "cv"]
    if not known:
        return f"{words}: {coin} a coin (0.50)."
    best = max(known, key=lambda row: row.auroc.value or 0.0)
    baseline = f"{get_model_title(best.model)} ({num(best.auroc.value)})"
    versus = _compare_with(best)
    if versus == coin:
        return f"{words}: {coin} a coin (0.50) {'or' if 'not' in coin else 'and'} {baseline}."
    return f"{words}: {coin} a coin (0.50), {versus} {baseline}."


def _compare_with(row: ComparedModel) -> str:
    difference = row.auroc_difference
    _, low, high = bounds(difference)
    certain = difference is not None and difference.p_holm is not None and difference.p_holm < 0.05
    return _compare(low, high, 0.0) if certain else "not shown to be better than"


def _compare(low: float | None, high: float | None, reference: float) -> str:
    if low is None or high is None:
        return "not shown to be better than"
    return "better than" if low > reference else "worse than" if high < reference else "not shown to be better than"


def describe_risks(run: RunFiles) -> str:
    """Return whether the risks are right, from the calibration in cross-validation, else in the test part."""
    stages = run.result.calibration
    part = (stages.cv or stages.test) if stages else None
    if part is None:
        return "not examined."
    words = []
    if part.slope.value is None:
        words.append("about the same for everyone")
    elif side := _side(part.slope, 1.0):
        inverted = (part.slope.high or 0.0) < 0
        words.append("inverted" if inverted else "too extreme" if side < 0 else "too close together")
    if side := _side(part.intercept, 0.0):
        words.append("too high on average" if side < 0 else "too low on average")
    known = f"{' and '.join(words) or 'no clear error found'}"
    use = {-1: "worse than", 0: "not shown to be better than", 1: "better than"}[_side(part.scaled_brier, 0.0)]
    return f"{known}; {use} the same risk for everyone."


def _side(score: ScoreLike, ideal: float) -> int:
    """Return -1 or 1 where the whole interval of a score is below or above the ideal, else 0."""
    _, low, high = bounds(score)
    return int(low > ideal) - int(high < ideal)


def describe_patients(run: RunFiles) -> str:
    """Return how many patients there are, and of which kind."""
    result, design = run.result, run.result.cross_validation
    size, events = result.num_train + result.num_test, result.events_train + result.events_test
    if design is not None:
        size, events = design.num_patients, design.events
    simulated = "simulated " if {"synthetic_cohort", "trained_on_synthetic"} & {*result.caveats} else ""
    words = f"{count(size)} {simulated}({count(events)} with expansion)"
    described = run.tables.get("characteristics")
    if described is None:
        return f"{words}."
    medians = described.set_index("variable")["overall"].str.partition(" (")[0]
    kinds = [f"{name} {medians[row]}{' mL' * ('mL' in row)}" for name, row in _KIND.items() if medians.get(row)]
    return f"{words}{', median ' * bool(kinds)}{', '.join(kinds)}."


def _leak_text(run: RunFiles) -> str:
    leak, inputs = describe_leak(run.result.verdict), run.result.leaky_inputs
    named = "".join(f" {name} agrees with {agrees_with}." for name, agrees_with in inputs.items())
    return f"{leak[:1].upper()}{leak[1:]}.{named}" if leak else ""


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
    items.append(
        "All patients come from one cohort, in training and in testing: there is no external validation. "
        + (
            f"The cohort comes from {plural(result.data.num_centers, 'center')}. The files do not say whether it "
            if result.data.num_centers
            else "The files do not say how many hospitals the cohort comes from, or whether it "
        )
        + "was collected prospectively."
    )
    missing = [name for key, name in _EXAMINED.items() if not getattr(result, key)]
    if missing:
        items.append(f"Not examined in this run: {', '.join(missing)}.")
    return section("limits", "Limits", [bullets(items)])
