"""The top of the page: conclusion, summary, headline numbers and verdict; and the limits at its end."""

from typing import Any

from hemexp.config import get_choice_name, get_model_title
from hemexp.files.result import INCOMPLETE, LEAKAGE, NO_LEAKAGE, NOT_EVALUATED, Claim, Score, describe_leak
from hemexp.formatting import count, num, plural, score_text
from hemexp.report.blocks import HEADING, Block, bullets, card, caveat_text, load_texts, section
from hemexp.report.run.read import RunFiles, is_seen, verdict_kind

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


def headline(run: RunFiles) -> dict[str, Any]:
    """Return the content of the top of the page, by the names of the template."""
    texts = load_texts("texts")
    kind = verdict_kind(run.result.verdict)
    title, text = texts["conclusions"][run.result.conclusion]
    words = " ".join(filter(None, [texts["verdicts"][kind], _leak_text(run)]))
    alarm = {"kind": kind, "title": run.result.verdict, "text": words}
    return {
        "title": f"Prediction of hematoma expansion: {run.warning or title}",
        "heading": HEADING,
        "sub": "Report of one run of hemexp",
        "source": "the run directory",
        "banner": {"kind": run.result.conclusion, "title": title, "text": " ".join([text, *_reasons(run)])},
        "alarm": alarm if kind != NO_LEAKAGE else None,
        "verdict": texts["verdicts"][kind] if kind == NO_LEAKAGE else "",
        "warning": run.warning,
        "kind": kind,
        "summary": summary(run),
        "cards": headline_numbers(run),
        "caveats": [
            {"name": code.replace("_", " ").capitalize(), "text": caveat_text(code)} for code in run.result.caveats
        ],
        "no_caveats": "The run recorded no caveats.",
    }


def _leak_text(run: RunFiles) -> str:
    leak, inputs = describe_leak(run.result.verdict), run.result.leaky_inputs
    named = "".join(f" {name} agrees with {agrees_with}." for name, agrees_with in inputs.items())
    return f"{leak[:1].upper()}{leak[1:]}.{named}" if leak else ""


def _reasons(run: RunFiles) -> list[str]:
    """Return the conclusion by each measure, with the baselines that are better."""
    claim = run.result.claim
    if claim is None or run.result.conclusion == NOT_EVALUATED:
        return []
    texts = claim_texts(claim)
    return [
        f"By AUROC (how well it ranks the patients), it is {texts['auroc']}.",
        f"By Brier score (how accurate its risks are), it is {texts['brier']}.",
    ]


def claim_text(claim: str) -> str:
    """Return a claim of result.json in plain words."""
    return str(load_texts("texts")["claims"].get(claim, claim))


def claim_texts(claim: Claim) -> dict[str, str]:
    """Return the claim by each measure in plain words, with the baselines that are better."""
    texts = {"auroc": claim_text(claim.auroc), "brier": claim_text(claim.brier)}
    worse = {measure: ", ".join(map(get_model_title, claim.worse_than.get(measure, []))) for measure in texts}
    return {measure: f"{text} ({worse[measure]})" if worse[measure] else text for measure, text in texts.items()}


def summary(run: RunFiles) -> str:
    """Return one paragraph on the model, the outcome and the number of patients."""
    result = run.result
    parts = [
        f"This run trained the model “{model_name(run)}” to estimate the risk of hematoma expansion after "
        f"intracerebral hemorrhage, defined as {result.label_definition}. The model was then "
        + ("scored on patients that it has learned from, so this is not a test." if is_seen(run) else
           "tested on patients who were not used for training."),
    ]  # fmt: skip
    if result.update:
        parts = [
            f"This run updated the model “{model_name(run)}” for another hospital, with {count(result.num_train)} "
            f"patients, {count(result.events_train)} of them with expansion. The outcome is hematoma expansion after "
            f"intracerebral hemorrhage, defined as {result.label_definition}. The update was validated by "
            "cross-validation among the same patients, not in other ones.",
            *result.update.conclusion,
        ]
    if not headline_numbers(run):
        parts.append("No score has both an interval and a baseline, so this page has no headline number.")
    size = result.sample_size
    if size and size.num_parameters and not size.adequate:
        parts.append(
            f"A model of this size needs {count(size.required_patients)} patients for training; there were "
            f"{count(size.num_patients)}."
        )
    return " ".join(parts)


def model_name(run: RunFiles) -> str:
    """Return the name of the run's model."""
    return get_model_title(get_choice_name(run.result.config.get("model") or {}))


def headline_numbers(run: RunFiles) -> list[dict[str, str]]:
    """Return the headline numbers: only scores that have an interval and a baseline."""
    result = run.result
    stage, where, best = "test", "the test part", ""
    constant = num(result.prevalence_baseline.brier, 3) if result.prevalence_baseline else ""
    if _defined(result.metrics.get("cv/auroc")):
        within = result.cross_validation is not None and result.cross_validation.patients == "train"
        stage, where = "cv", f"cross-validation{' within the training part' if within else ''}"
        constant = ""
        if known := [row for row in result.comparison if not row.is_model and _defined(row.auroc)]:
            baseline = max(known, key=lambda row: row.auroc.value or 0.0)
            best = f"; the best simple baseline, {get_model_title(baseline.model)}, scores {score_text(baseline.auroc)}"
        for row in result.comparison:
            if row.model == "prevalence" and _defined(row.brier):
                constant = score_text(row.brier, 3)
    majority = result.metrics.get(f"{stage}/majority_accuracy")
    cards = [
        card(f"AUROC in {where}", result.metrics.get(f"{stage}/auroc"), 2, f"Chance scores 0.50{best}."),
        card(f"Brier score in {where}", result.metrics.get(f"{stage}/brier"), 3,
             f"Lower is better; the same risk for every patient scores {constant}." if constant else ""),
        card(f"Accuracy in {where}", result.metrics.get(f"{stage}/accuracy"), 2,
             f"Always giving the more frequent answer scores {score_text(majority)}." if _defined(majority) else ""),
    ]  # fmt: skip
    return [shown for shown in cards if shown]


def _defined(score: Score | None) -> bool:
    return score is not None and None not in (score.value, score.low, score.high)


def limits(run: RunFiles) -> Block | None:
    """Return the section on the limits of the conclusions, from the files of the run."""
    result, kind = run.result, verdict_kind(run.result.verdict)
    items = [load_texts("texts")["verdicts"][kind]] if kind in {LEAKAGE, INCOMPLETE} else []
    items += [caveat_text(code) for code in result.caveats]
    size = result.sample_size
    if size and size.num_parameters and not size.adequate:
        items.append("By the usual criteria for sample size, there are too few patients for a model of this size.")
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
