"""The page of a sweep, with the template that the page of a run has."""

import shlex
from typing import Any

from hemexp.config import get_model_title
from hemexp.files.result import CONCLUSIONS, INCOMPLETE, LEAKAGE, TUNED_ON_TEST, describe_leak
from hemexp.formatting import count, num, plural, program
from hemexp.report.blocks import Block, load_texts, section, table, text
from hemexp.report.files import read_overrides
from hemexp.report.html import to_html
from hemexp.report.run.reproduce import single_run
from hemexp.report.sweep import choice
from hemexp.report.sweep import sections as parts
from hemexp.report.sweep.effects import Effect
from hemexp.report.sweep.files import SweepFiles
from hemexp.report.sweep.keys import key_effects

_ENDS = {
    "interrupted": "The sweep was stopped before its end. This page shows its finished jobs.",
    "running": "The sweep is running, or was killed. This page shows its finished jobs.",
    "failed": "Some jobs have no result; the others are ranked without them.",
}
_SHOWN = 3  # swept keys that are named on the first screen


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
        choice.winners_curse(sweep),
        choice.nested(sweep),
        key_effects(sweep, effects, figures),
        section("parallel", "All settings at once", [figures.get("sweep_parallel")]),
        parts.test_scores(sweep),
        parts.failures(sweep, patients),
        choice.limits(sweep),
        _reproduce(sweep, figures),
    ]
    content = _top(sweep, figures) | {"sections": [block for block in sections if block]}
    return to_html(content, sweep.patient_ids, patients)


def _top(sweep: SweepFiles, figures: dict[str, Block]) -> dict[str, Any]:
    status, leaks = str(sweep.facts.get("status", "unknown")), sweep.leaks
    alarms = [
        f"In {count(number)} jobs the test patients or the outcome influenced the training ({verdict})."
        for verdict, number in leaks.items()
    ]
    tuned = f"{LEAKAGE}: {TUNED_ON_TEST}"
    alarms += [f"{tuned}: {describe_leak(tuned)}."] if sweep.num_reports > 1 else []
    kind = LEAKAGE if alarms else INCOMPLETE if status in _ENDS else ""
    alarms += [_ENDS[status]] if status in _ENDS else []
    conclusion, name = sweep.winner.get("conclusion"), f"Sweep of {plural(len(sweep.jobs), 'job')}"
    title = "There is no best job" if sweep.ranked.empty else "Best job: not compared with simple scores"
    if conclusion in CONCLUSIONS:
        title = f"Best job: {load_texts('texts')['conclusions'][conclusion][0].lower()}"
    lines = [("Read this first", " ".join(alarms))] if alarms else []
    return {
        "title": f"{name}: prediction of hematoma expansion",
        "source": "the sweep directory",
        "warning": "",
        "kind": kind,
        "answer": {
            "about": f"{name}: prediction of hematoma expansion",
            "kind": kind or conclusion,
            "title": title,
            "lines": [*lines, ("Asked", _asked(sweep)), *_answer(sweep)],
            "quiet": "" if kind == LEAKAGE else "No leakage found.",
            "figure": figures.get("sweep_selection"),
        },
    }


def _asked(sweep: SweepFiles) -> str:
    keys = list(map(sweep.short, sweep.swept))
    shown = keys if len(keys) <= _SHOWN else [*keys[: _SHOWN - 1], f"{len(keys) - _SHOWN + 1} more"]
    return f"which {', '.join(shown)} is best?" if keys else "how good is one setting?"


def _answer(sweep: SweepFiles) -> list[tuple[str, str]]:
    """Return the best job beside the best baseline and a coin, and how sure the choice is."""
    if sweep.ranked.empty:
        return [("Answer", "no job is ranked.")]
    best, rows = sweep.ranked.iloc[0], choice.selection_rows(sweep)
    settings = ", ".join(best[key] for key in list(sweep.swept)[:_SHOWN])
    beside = [f"a coin {num(0.5, 3)}"] if sweep.ranked_by.endswith("/auroc") else []
    if baseline := sweep.winner.get("baseline"):
        beside.append(f"{get_model_title(baseline['model'])} {num(baseline['value'], 3)}")
    words = f"job {count(best['job'])}{f' ({settings})' if settings else ''}, {sweep.measure} {num(best['score'], 3)}"
    near = choice.count_near_best(sweep)
    sure = [f"{num(rows[1][1].value, 3)} on new folds"] if len(rows) > 1 else []
    if near is not None:
        sure.append(f"{count(near)} of {plural(len(sweep.ranked) - 1, 'other job')} within one standard error")
    return [
        ("Answer", f"{words}{'; ' * bool(beside)}{', '.join(beside)}."),
        ("How sure", f"{'; '.join(sure) or 'not known: the best of many scores is usually too optimistic'}."),
    ]


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
                   [*blocks, table("", ["", ""], rows), figures.get("sweep_timeline")], folded=True)  # fmt: skip
