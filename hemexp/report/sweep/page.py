"""The page of a sweep, with the template that the page of a run has."""

import shlex
from typing import Any

from hemexp.config import get_model_title
from hemexp.files.result import CONCLUSIONS, INCOMPLETE, LEAKAGE, TUNED_ON_TEST, describe_leak
from hemexp.formatting import count, num, plural, program, score_text
from hemexp.report.blocks import HEADING, Block, card, caveat_text, load_texts, section, table, text
from hemexp.report.files import read_overrides
from hemexp.report.html import to_html
from hemexp.report.run.reproduce import single_run
from hemexp.report.sweep import choice
from hemexp.report.sweep import sections as parts
from hemexp.report.sweep.effects import Effect
from hemexp.report.sweep.files import SweepFiles, as_score
from hemexp.report.sweep.keys import key_effects
from hemexp.report.sweep.sections import status_counts

_ENDS = {
    "interrupted": "The sweep was stopped before its end. This page shows its finished jobs.",
    "running": "The sweep is running, or was killed. This page shows its finished jobs.",
    "failed": "Some jobs have no result; the others are ranked without them.",
}
_CHOOSES = (
    "The best score of a sweep is usually too optimistic, because it was chosen for being the best. Quote a score that "
    "was measured after the choice."
)


def render_sweep(sweep: SweepFiles, effects: list[Effect], figures: dict[str, Block], patients: bool) -> str:
    """Return the page as HTML.

    Args:
        sweep: the sweep's files.
        effects: of its keys.
        figures: by name, as blocks.
        patients: leave messages as they are; otherwise no text on the page names a patient.
    """
    sections = [
        parts.swept(sweep),
        parts.leaderboard(sweep, figures),
        key_effects(sweep, effects, figures),
        section("parallel", "All settings at once", [figures.get("sweep_parallel")]),
        choice.winners_curse(sweep, figures),
        choice.nested(sweep),
        parts.test_scores(sweep),
        parts.failures(sweep, patients),
        choice.limits(sweep),
        _reproduce(sweep, figures),
    ]
    content = _top(sweep) | {"sections": [block for block in sections if block]}
    return to_html(content, sweep.patient_ids, patients)


def _top(sweep: SweepFiles) -> dict[str, Any]:
    status, leaks = str(sweep.facts.get("status", "unknown")), sweep.leaks
    alarms = [
        f"In {count(number)} jobs the test patients or the outcome influenced the training ({verdict})."
        for verdict, number in leaks.items()
    ]
    tuned = f"{LEAKAGE}: {TUNED_ON_TEST}"
    alarms += [f"{tuned}: {describe_leak(tuned)}."] if sweep.num_reports > 1 else []
    kind = LEAKAGE if alarms else INCOMPLETE
    alarms += [_ENDS[status]] if status in _ENDS else []
    conclusion, title = sweep.winner.get("conclusion"), f"Sweep of {count(len(sweep.jobs))} jobs"
    if conclusion in CONCLUSIONS:
        title = f"Best job: {load_texts('texts')['conclusions'][conclusion][0].lower()}"
    return {
        "title": f"Sweep of {count(len(sweep.jobs))} jobs: prediction of hematoma expansion",
        "heading": HEADING,
        "sub": "Report of a sweep of hemexp",
        "source": "the sweep directory",
        "banner": {"kind": conclusion, "title": title, "text": _CHOOSES},
        "alarm": {"kind": kind, "title": "Read this first", "text": " ".join(alarms)} if alarms else None,
        "verdict": "",
        "warning": "",
        "kind": kind if alarms else "SWEEP",
        "summary": _summary(sweep),
        "cards": _cards(sweep),
        "caveats": [
            {"name": f"{code.replace('_', ' ').capitalize()} ({plural(number, 'job')})", "text": caveat_text(code)}
            for code, number in sweep.caveats.most_common()
        ],
        "no_caveats": "The jobs recorded no caveats.",
    }


def _summary(sweep: SweepFiles) -> str:
    keys = ", ".join(sweep.swept) or "no key"
    words = f"{count(len(sweep.jobs))} jobs ({status_counts(sweep)}) tried different values of {keys}."
    if sweep.ranked.empty:
        return f"{words} None of them is ranked, so there is no best job."
    best = sweep.ranked.iloc[0]
    settings = best["overrides"] or "the default settings"
    return f"{words} By {sweep.measure}, the best is job {count(best['job'])} ({settings})."


def _cards(sweep: SweepFiles) -> list[dict[str, str]]:
    """Return the headline numbers, each with its interval: the best score, then the scores after the choice."""
    best, again = ([score for _, score in choice.selection_rows(sweep)] + [None, None])[:2]
    nested_name, nested = choice.nested_headline(sweep)
    unseen = choice.reported_again(sweep) or "Patients that were not used for the choice."
    scores = [
        (f"Best of {count(len(sweep.ranked))}: {sweep.measure}", best, "Usually too optimistic."),
        (f"The same on new folds: {sweep.measure}", again, "Same patients, other folds, after the choice."),
        (nested_name, nested, unseen),
    ]
    reference = " Chance: 0.50." if sweep.ranked_by == "cv/auroc" else ""
    if baseline := sweep.winner.get("baseline"):
        best_baseline = f"{get_model_title(baseline['model'])}: {score_text(as_score(baseline), 3)}"
        reference += f" The best baseline on the folds of the choice, {best_baseline}."
    cards = [card(name, score, 3, words + reference) for name, score, words in scores]
    chips = ["chosen by this score", "not chosen by this score", "not chosen by this score"]
    return [shown | {"chip": chip} for shown, chip in zip(cards, chips, strict=True) if shown]


def _reproduce(sweep: SweepFiles, figures: dict[str, Block]) -> Block | None:
    command = [str(word) for word in sweep.facts.get("command") or []]
    blocks: list[Block | None] = []
    if command:
        words = "This command made the sweep. With the same hydra.sweep.dir, it runs only the missing and failed jobs."
        blocks += [text(words), {"kind": "code", "text": shlex.join(["python"] * command[0].endswith(".py") + command)}]
    if len(sweep.ranked):
        folder = str(sweep.ranked.iloc[0]["folder"])
        overrides = read_overrides(sweep.path / folder / ".hydra" / "overrides.yaml")
        if overrides is not None:
            blocks += [text("This command runs the best job only:"),
                       {"kind": "code", "text": shlex.join(single_run(overrides))}]  # fmt: skip
            blocks.append(text(f"Its own page: {program('report')} run_dir={shlex.quote(str(sweep.path / folder))}"))
    rows = [["status", str(sweep.facts.get("status", "unknown"))]]
    if isinstance(sweep.facts.get("seconds"), int | float):
        rows.append(["time from start to end", f"{num(sweep.facts['seconds'], 0)} seconds"])
    rows.append(["sum of the times of the jobs", f"{num(float(sweep.jobs['seconds'].sum()), 0)} seconds"])
    rows += [[f"version of {name}", str(version)] for name, version in (sweep.facts.get("versions") or {}).items()]
    return section("reproduce", "How to reproduce this sweep",
                   [*blocks, table("", ["", ""], rows), figures.get("sweep_timeline")])  # fmt: skip
