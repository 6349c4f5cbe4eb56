"""The page of a validation: the answer, the scores and the sections in order."""

from collections.abc import Callable
from typing import Any

from hemexp.evaluation.validation import has_leak
from hemexp.evaluation.validation_answer import list_better
from hemexp.files.result import INCOMPLETE, LEAKAGE, NO_LEAKAGE, describe_leak, get_wording
from hemexp.formatting import count, plural
from hemexp.report.blocks import Block, bullets, caveat_text, load_texts, section
from hemexp.report.first_screen import build_top, compare_with_coin, describe_risks, verdict_kind
from hemexp.report.html import map_texts, to_html
from hemexp.report.validation import case_mix, sections
from hemexp.report.validation.content import ValidationContent, get_figure

_COLORS = {
    "holds": "better_than_baselines",
    "more_patients": "not_better_than_baselines",
    "unknown": "not_evaluated",
    "own_test_part": "not_evaluated",
    "update": "worse_than_baseline",
    "do_not_use": "worse_than_baseline",
}
_SECTIONS: list[Callable[[ValidationContent], Block | None]] = [
    sections.patients, sections.scores, sections.calibration, sections.decisions, case_mix.inputs,
    # details, folded
    case_mix.gaps, sections.sample_size, sections.model,
]  # fmt: skip


def render_validation(content: ValidationContent, patient_ids: frozenset[str]) -> str:
    """Return the page as HTML; no text on it names a patient."""
    made = [block for make in [*_SECTIONS[:5], _limits, *_SECTIONS[5:]] if (block := make(content))]
    shown = map_texts(_top(content) | {"sections": made}, get_wording(content.result))
    return to_html(shown, patient_ids, patients=False)


def _top(content: ValidationContent) -> dict[str, Any]:
    """Return the first screen: what to do with the model here, its ranking, its risks and the patients."""
    result = content.result
    advice = "own_test_part" if "own_test_part" in result.caveats else content.validation.advice
    kind = verdict_kind(result.verdict)
    spoiled = kind == INCOMPLETE or has_leak(result.verdict)
    quiet = "No leakage found." if kind == NO_LEAKAGE else "A leak in the run itself does not affect these scores."
    lines = []
    if result.num_test:
        lines = [("Ranking", _describe_ranking(content)), ("Risks", describe_risks(result.calibration.test))]
    return build_top(
        [
            (f"Validation in {content.who}: {content.name}", [*lines, ("Patients", _describe_patients(content, size))])
            for size in (True, False)
        ],
        "the run and of the new patients",
        result.verdict if spoiled else NO_LEAKAGE,
        (load_texts("texts")["advice"][advice], _COLORS[advice]),
        get_figure(content, "validation"),
        quiet=quiet,
        unfinished="UNCERTAIN",
    )


def _describe_ranking(content: ValidationContent) -> str:
    """Return the AUROC beside a coin, and which scores of other patients or models it is clearly below."""
    words = compare_with_coin(content.result.metrics["test/auroc"])
    better = list_better(content.result, content.trained)
    return f"{words[:-1]}, lower than {' and '.join(better)}." if better else words


def _describe_patients(content: ValidationContent, with_size: bool) -> str:
    result, validation, size = content.result, content.validation, content.validation.sample_size
    simulated = "simulated " if "synthetic_cohort" in result.caveats else ""
    if not validation.num_patients:
        return "none is new to the model."
    if not result.num_test:
        words = f"{count(validation.num_patients)} new {simulated}without a known outcome"
    else:
        words = f"{count(result.num_test)} {simulated}({count(result.events_test)} with expansion)"
    wanted = "; too few" if with_size and size and not size.adequate else ""
    return f"{words}{wanted}."


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
