"""The page of a validation: the answer, the scores and the sections in order."""

from collections.abc import Callable
from typing import Any

from hemexp.evaluation.validation import get_own_auroc, has_leak
from hemexp.files.result import CONCLUSIONS, INCOMPLETE, LEAKAGE, SEEN_TEST, describe_leak, get_wording
from hemexp.formatting import count, num, plural, score_text
from hemexp.report.blocks import Block, bullets, card, caveat_text, section
from hemexp.report.html import map_texts, to_html
from hemexp.report.validation import case_mix, sections
from hemexp.report.validation.content import ValidationContent

_KINDS = {  # colors of the answer
    "holds": "better_than_baselines",
    "more_patients": "not_better_than_baselines",
    "unknown": "not_evaluated",
    "update": "worse_than_baseline",
    "do_not_use": "worse_than_baseline",
}
_SECTIONS: list[Callable[[ValidationContent], Block | None]] = [
    sections.patients, sections.scores, sections.calibration, sections.decisions, case_mix.inputs, case_mix.gaps,
    sections.sample_size, sections.model,
]  # fmt: skip


def render_validation(content: ValidationContent, patient_ids: frozenset[str]) -> str:
    """Return the page as HTML; no text on it names a patient."""
    made = [block for make in [*_SECTIONS, _limits] if (block := make(content))]
    shown = map_texts(_top(content) | {"sections": made}, get_wording(content.result))
    return to_html(shown, patient_ids, patients=False)


def _top(content: ValidationContent) -> dict[str, Any]:
    result, validation = content.result, content.validation
    kind = result.verdict.partition(":")[0]
    spoiled = has_leak(result.verdict)
    conclusion = CONCLUSIONS[result.conclusion].removeprefix("not evaluated: the model was ")
    alarm = None
    if spoiled or kind == INCOMPLETE:
        reason = describe_leak(result.verdict) if spoiled else result.verdict.removeprefix(f"{INCOMPLETE}: ")
        alarm = {"kind": kind, "title": result.verdict, "text": f"{reason[:1].upper()}{reason[1:]}."}
    return {
        "title": "Prediction of hematoma expansion: validation in new patients",
        "heading": "Does the model work in these patients?",
        "sub": f"External validation of the model “{content.name}” with hemexp",
        "source": "the run and of the new patients",
        "banner": {
            "kind": LEAKAGE if spoiled else _KINDS[validation.advice],
            "title": validation.answer,
            "text": f"In the run that trained it, the model was {conclusion}.",
        },
        "alarm": alarm,
        "verdict": "",
        "warning": result.verdict if spoiled else INCOMPLETE if kind == INCOMPLETE else "",
        "kind": kind,
        "summary": _summarize(content),
        "cards": _make_cards(content),
        "caveats": [
            {"name": code.replace("_", " ").capitalize(), "text": caveat_text(code)} for code in result.caveats
        ],
        "no_caveats": "There are no caveats.",
    }


def _summarize(content: ValidationContent) -> str:
    trained = content.trained
    learned = plural(trained.num_train, "patient")
    if trained.verdict != f"{LEAKAGE}: {SEEN_TEST}":
        learned += f", {count(trained.events_train)} with expansion,"
    else:
        learned = plural(trained.num_train + trained.num_test, "patient")
    return (
        f"The model estimates the risk of hematoma expansion, defined as {trained.label_definition}. It has learned "
        f"from {learned} and is used here as it is: nothing was fitted to the new patients."
    )


def _make_cards(content: ValidationContent) -> list[dict[str, str]]:
    """Return the headline numbers: scores with an interval and something to compare them with."""
    result, found = content.result, content.result.calibration.test
    own = get_own_auroc(content.trained)
    there = f" In its own cohort: {score_text(own)}." if own else ""
    constant = result.prevalence_baseline.brier
    cards = [
        card("AUROC", result.metrics.get("test/auroc"), 2, f"Chance scores 0.50.{there}"),
        card("Calibration intercept", found.intercept if found else None, 2,
             "Ideal 0; below 0 the risks are too high, above 0 too low."),
        card("Brier score", result.metrics.get("test/brier"), 3,
             f"Lower is better; the share of expansion in training, given to all, scores {num(constant, 3)}."),
    ]  # fmt: skip
    return [shown for shown in cards if shown]


def _limits(content: ValidationContent) -> Block | None:
    result, validation = content.result, content.validation
    items = [caveat_text(code) for code in result.caveats]
    if result.num_test:
        events, others = result.events_test, result.num_test - result.events_test
        if min(events, others) < 100:
            items.append(
                f"{count(events)} patients with expansion and {count(others)} without: fewer than 100 of either are "
                "too few to validate a model, as the width of the intervals shows."
            )
        if validation.num_unlabelled:
            items.append(
                f"{plural(validation.num_unlabelled, 'new patient')} without a known outcome could not be scored. If "
                "they differ from the others, the scores do not apply to them."
            )
    if result.verdict.startswith(LEAKAGE) and not has_leak(result.verdict):
        items.append(
            f"The scores of the run are not shown here: {describe_leak(result.verdict)}. The scores of the new "
            "patients are not affected."
        )
    if result.unknown_levels:
        levels = ", ".join(f"{level} ({plural(number, 'patient')})" for level, number in result.unknown_levels.items())
        items.append(f"Texts that the training part did not have count as none of its texts: {levels}.")
    items.append(
        "hemexp cannot know whether these patients come from another hospital, or from another time. Say so where you "
        "report this validation (TRIPOD+AI item 12)."
    )
    items.append("The model ranks and estimates risks. Whether using it helps patients is a question for a trial.")
    return section("limits", "Limits", [bullets(items)])
