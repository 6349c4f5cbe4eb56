"""The page about a sweep: the same template as a run's, filled from the sweep's directory."""

import shlex
from typing import Any

from hemexp import __version__
from hemexp.files.result import INCOMPLETE, LEAKAGE
from hemexp.formatting import bounds, count, num, score_text
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.embed import read_overrides, without_ids
from hemexp.report.html import to_html
from hemexp.report.run.reproduce import single_run
from hemexp.report.sweep import choice
from hemexp.report.sweep import sections as parts
from hemexp.report.sweep.effects import Effect
from hemexp.report.sweep.files import SweepFiles
from hemexp.report.sweep.keys import key_effects
from hemexp.report.sweep.sections import status_counts
from hemexp.report.texts import caveat_text

_ENDS = {
    "interrupted": "The sweep was stopped before its end. What stands below is what its finished jobs left.",
    "running": "The sweep is running, or was killed. What stands below is what its finished jobs left when it was last "
    "written.",
    "failed": "Some jobs left no result; the others are ranked without them.",
}
_CHOOSES = (
    "A sweep chooses among settings. Its best score is chosen for being the best, and so too good: quote what was "
    "measured after the choice, not what made it."
)


def render_sweep(sweep: SweepFiles, effects: list[Effect], figures: dict[str, Block], patients: bool) -> str:
    """Return the page as HTML.

    Args:
        sweep: the sweep's files.
        effects: of its keys.
        figures: by name, as blocks.
        patients: leave messages as they are; otherwise no text on the page names a patient.

    Raises:
        UserError: a block of sweep.json is not as train.py writes it.
    """
    picture = figures.get("sweep_parallel")
    sections = [
        parts.swept(sweep),
        parts.leaderboard(sweep, figures),
        key_effects(sweep, effects, figures),
        section("parallel", "All settings at once", [picture]),
        choice.winners_curse(sweep, figures),
        choice.nested(sweep),
        parts.test_scores(sweep),
        parts.failures(sweep, patients),
        choice.limits(sweep),
        _reproduce(sweep, figures),
    ]
    content = _top(sweep) | {
        "sections": [each for each in sections if each],
        "version": __version__,
        "patients": patients,
    }
    if not patients:
        content = without_ids(content, sweep.patient_ids)
    return to_html(content)


def _top(sweep: SweepFiles) -> dict[str, Any]:
    status, leaks = str(sweep.facts.get("status", "unknown")), sweep.verdicts[LEAKAGE]
    alarms = [f"In {count(leaks)} jobs the test patients or the outcome influenced the training."] if leaks else []
    alarms += [_ENDS[status]] if status in _ENDS else []
    kind = LEAKAGE if leaks else INCOMPLETE
    counts = f"{count(len(sweep.jobs))} jobs: {status_counts(sweep)}"
    return {
        "title": f"Sweep of {count(len(sweep.jobs))} jobs: prediction of hematoma expansion",
        "sub": "Report of a sweep of hemexp",
        "source": "the sweep's directory",
        "banner": {"kind": "SWEEP", "title": f"Sweep of {counts}", "text": _CHOOSES},
        "alarm": {"kind": kind, "title": "Read this first", "text": " ".join(alarms)} if alarms else None,
        "verdict": "",
        "warning": "",
        "kind": kind if alarms else "SWEEP",
        "summary": _summary(sweep),
        "cards": _cards(sweep),
        "caveats": [
            {"name": f"{code.replace('_', ' ')} ({count(number)} jobs)", "text": caveat_text(code)}
            for code, number in sweep.caveats.most_common()
        ],
        "no_caveats": "The jobs recorded no caveats.",
    }


def _summary(sweep: SweepFiles) -> str:
    keys = ", ".join(sweep.swept) or "no key"
    words = f"{count(len(sweep.jobs))} jobs went through different values of {keys}."
    if sweep.ranked.empty:
        return f"{words} None of them is ranked, so none of them may be called the best."
    best = sweep.ranked.iloc[0]
    rows = choice.selection_rows(sweep)
    words += f" By {sweep.measure}, the best is job {count(best['job'])} ({best['overrides'] or 'as it is'})"
    words += f", with {_shown(rows[0][1])}."
    if len(rows) > 1:
        words += f" On fresh folds the same settings have {_shown(rows[1][1])}."
    return words


def _shown(score: dict[str, float | None]) -> str:
    value, low, high = bounds(score)
    interval = f" (95 % interval {num(low, 3)} to {num(high, 3)})" if low == low and high == high else ""
    return f"{num(value, 3)}{interval}"


def _cards(sweep: SweepFiles) -> list[dict[str, str]]:
    """Return the best score beside its less flattering relatives; without an interval none is headlined."""
    cards = []
    found = [
        (f"Best of {count(len(sweep.ranked))}: {sweep.measure}", choice.selection_rows(sweep)[:1],
         "The score that chose it: too good.", "chosen by this score"),
        (f"The same on fresh folds: {sweep.measure}", choice.selection_rows(sweep)[1:],
         "Same patients, other folds, after the choice.", "not chosen by this score"),
    ]  # fmt: skip
    name, honest = choice.nested_headline(sweep)
    found.append(
        (
            name,
            honest,
            choice.reported_again(sweep) or "Patients that the choice never saw.",
            "not chosen by this score",
        )
    )
    coin = " A coin scores 0.50." if "AUROC" in sweep.measure else ""
    rival = (sweep.block("winner", ("num_jobs", "score")) or {}).get("baseline")
    if rival:
        coin += f" The best baseline on the folds that chose, {rival['model']}: {score_text(rival, 3)}."
    for name, rows, words, chip in found:
        for _, score in rows:
            value, low, high = bounds(score)
            if low == low and high == high:
                cards.append({"name": name, "value": num(value, 3), "chip": chip, "baseline": words + coin,
                              "interval": f"95 % interval {num(low, 3)} to {num(high, 3)}"})  # fmt: skip
    return cards


def _reproduce(sweep: SweepFiles, figures: dict[str, Block]) -> Block | None:
    command = [str(each) for each in sweep.facts.get("command") or []]
    blocks: list[Block | None] = []
    if command:
        words = (
            "This command made the sweep. Given the same hydra.sweep.dir again, it runs only what is missing or failed."
        )
        blocks += [text(words), {"kind": "code", "text": shlex.join(["python", *command])}]
    if len(sweep.ranked):
        folder = str(sweep.ranked.iloc[0]["folder"])
        overrides = read_overrides(sweep.path / folder / ".hydra" / "overrides.yaml")
        if overrides is not None:
            blocks += [text("And this one the best job alone:"),
                       {"kind": "code", "text": shlex.join(single_run(overrides))}]  # fmt: skip
            blocks.append(text(f"Its own page: python report.py run_dir={shlex.quote(str(sweep.path / folder))}"))
    rows = [["status", str(sweep.facts.get("status", "unknown"))]]
    if isinstance(sweep.facts.get("seconds"), int | float):
        rows.append(["time from start to end", f"{num(sweep.facts['seconds'], 0)} seconds"])
    together = float(sweep.jobs["seconds"].sum())
    rows.append(["the jobs' own times together", f"{num(together, 0)} seconds"])
    rows += [[f"version of {name}", str(each)] for name, each in (sweep.facts.get("versions") or {}).items()]
    return section("reproduce", "How to reproduce this sweep",
                   [*blocks, table("", ["", ""], rows), figures.get("sweep_timeline")])  # fmt: skip
