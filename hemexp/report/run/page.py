"""The page of a run: its sections in order."""

from collections.abc import Callable
from dataclasses import replace

from hemexp.files.result import INCOMPLETE, get_wording
from hemexp.report.blocks import Block, section
from hemexp.report.first_screen import verdict_kind
from hemexp.report.html import map_texts, to_html, without_ids
from hemexp.report.run import center_sections as center
from hemexp.report.run import cohort_sections as cohort
from hemexp.report.run import decision_sections as decision
from hemexp.report.run import full_sections as full
from hemexp.report.run import result_sections as results
from hemexp.report.run.checklist import checklist
from hemexp.report.run.headline import headline, limits
from hemexp.report.run.read import RunFiles, other_figures
from hemexp.report.run.reproduce import reproduce
from hemexp.report.run.update_section import update

_SECTIONS: list[Callable[[RunFiles], Block | None]] = [
    update, cohort.patients, results.scores, center.centers, decision.calibration, decision.decisions, cohort.quality,
    limits,
    # details, folded
    cohort.outcome, decision.subgroups, full.sample_size, full.optimism, full.instability, full.label_sensitivity,
    full.attributions, lambda run: section("figures", "Other figures", other_figures(run), scored=True, folded=True),
    checklist, reproduce,
]  # fmt: skip
_PATIENT_FIGURES = ("uncertainty", "instability")  # figures with a mark for each patient


def render(run: RunFiles, patients: bool) -> str:
    """Return the page as HTML.

    Args:
        run: the run's files.
        patients: also show single patients; otherwise no text on the page names a patient.
    """
    if not patients:
        run = replace(run, figures={name: data for name, data in run.figures.items() if name not in _PATIENT_FIGURES})
    sections = [made for make in _SECTIONS if (made := make(run))]
    if patients and (made := cohort.single_patients(run)):
        sections.append(made)
    content = map_texts(headline(run) | {"sections": sections}, get_wording(run.result))
    if not patients and verdict_kind(run.result.verdict) == INCOMPLETE:
        # The verdict of an unfinished run quotes an error message, where a short number may be a patient id.
        for key in ("answer", "title"):
            content[key] = without_ids(content[key], run.patient_ids, short_too=True)
    return to_html(content, run.patient_ids, patients)
