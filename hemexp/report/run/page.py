"""The whole page: sections in order, rendered into one file that needs no other."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hemexp import __version__
from hemexp.report.blocks import Block, section
from hemexp.report.embed import without_ids
from hemexp.report.html import to_html
from hemexp.report.run import cohort_sections as cohort
from hemexp.report.run import decision_sections as decision
from hemexp.report.run import full_sections as full
from hemexp.report.run import result_sections as results
from hemexp.report.run.checklist import checklist
from hemexp.report.run.headline import limits, run_cards, summary
from hemexp.report.run.read import RunFiles, other_figures
from hemexp.report.run.reproduce import reproduce
from hemexp.report.texts import caveat, load_texts, verdict_kind

_SECTIONS: list[Callable[[RunFiles], Block | None]] = [
    cohort.predicted, cohort.patients, cohort.quality,
    results.test_scores, results.cv_scores, results.comparison,
    decision.calibration, decision.decisions, decision.subgroups, decision.uncertainty,
    full.sample_size, full.optimism, full.instability, full.label_sensitivity, full.attributions,
    lambda run: section("figures", "Other figures", other_figures(run), scored=True),
    limits, checklist, reproduce,
]  # fmt: skip

_OF_PATIENTS = ("uncertainty", "instability")  # pictures with a mark for each patient


def render(run: RunFiles, patients: bool) -> str:
    """Return the page as HTML.

    Args:
        run: the run's files.
        patients: also show single patients; otherwise no text on the page names one.

    Raises:
        UserError: a block of result.json is not as train.py writes it.
    """
    if not patients:
        run = replace(run, figures={name: each for name, each in run.figures.items() if name not in _OF_PATIENTS})
    sections = [made for make in _SECTIONS if (made := make(run))]
    if patients and (made := cohort.single_patients(run)):
        sections.append(made)
    content = _top(run) | {"sections": sections, "version": __version__, "patients": patients}
    if not patients:
        content = without_ids(content, run.patient_ids)
        for key in (
            "verdict",
            "label",
            "title",
        ):  # of an unfinished run it quotes an error, where a short number may be a name
            content[key] = without_ids(
                content[key], run.patient_ids, short_too=verdict_kind(run.verdict) == "INCOMPLETE"
            )
    return to_html(content)


def _top(run: RunFiles) -> dict[str, Any]:
    kind = verdict_kind(run.verdict)
    codes = run.build("caveats", lambda block: [str(code) for code in block]) or []
    label = run.verdict if kind == "AUDIT" else kind  # what stands beside every score
    return {
        "title": f"Prediction of hematoma expansion: {label}",
        "sub": "Report of one run of hemexp",
        "source": "the run's directory",
        "no_caveats": "The run recorded no caveats.",
        "kind": kind,
        "verdict": run.verdict,
        "label": label,
        "meaning": load_texts("texts")["verdicts"][kind],
        "summary": summary(run),
        "cards": run_cards(run),
        "caveats": [{"name": code.replace("_", " "), "text": caveat(code)} for code in codes],
    }
