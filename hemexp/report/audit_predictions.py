"""The section of an audit about a published table: what its predictions are worth."""

from typing import Any

from hemexp.audit.published import ALL, OUTSIDE, TRAINING, Published
from hemexp.audit.run import Audit
from hemexp.config import get_model_title
from hemexp.files.result import Score
from hemexp.formatting import bounds, num, percent, plural, score_text
from hemexp.metrics.table import STANDARD
from hemexp.report.blocks import Block, bullets, table, text

PREDICTIONS_TITLE = "What the published table is worth"
_NAMES = {TRAINING: "in its training part", OUTSIDE: "outside of its training part", ALL: "in all patients"}
_SCORES = {metric.name: (metric.text, metric.digits) for metric in STANDARD}
_SCORES |= {name: (name, 2) for name in ("sensitivity", "specificity")}
_CLASSES = (
    "The table holds classes only. AUROC, Brier score, log loss and calibration need a probability for each patient, "
    "and so does the comparison with the BRAIN score."
)
_UNKNOWN = (
    "The table does not say who was in training, so that the gap cannot be computed. The simplest explanation of a "
    "high score is that some of these patients were in training; the comparisons below are unfair then. Add a column "
    "in_training with 1 or 0 for each patient."
)
_NO_OUTSIDE = (
    "A model can memorize its training patients. Their scores do not show what the table is worth for other patients."
)
_INTERVALS = (
    "95 % intervals in brackets: exact for shares, Newcombe's for the AUROC, bootstrap over patients for the others; "
    "for the gap, Zou and Donner's from those of the two parts, which hold different patients."
)
_NOT_PROOF = "Each is a possible explanation, one among several. It does not prove what was done."


def conclude(published: Published) -> str:
    """Return what the table is worth, in one sentence."""
    judged, part = published.judged, _NAMES[published.judged.name]
    wrong = [1 - bounds(each.scores["accuracy"])[0] + (each.scores["brier"].value or 0) for each in published.parts]
    if not any(wrong) and judged.name == OUTSIDE:
        return "The table repeats every outcome, also outside of its training part: these are hardly predictions"
    if judged.name == TRAINING:
        return "Every patient with a known outcome was in training: the scores do not show what the table is worth"
    if published.measure == "auroc":
        baseline = f"giving every patient a risk of {percent(published.share)}"
        low, high = bounds(published.skill)[1:]
    else:
        baseline, always = "always answering the more frequent outcome", bounds(judged.scores["majority_accuracy"])[0]
        low, high = (limit - always for limit in bounds(judged.scores["accuracy"])[1:])
    relation = "better than" if low > 0 else "worse than" if high < 0 else "not shown to be better than"
    if judged.name == ALL and low > 0:
        return "The table does not say who was in training: its scores do not show what it is worth"
    unknown = ", although it may have learned from them" if judged.name == ALL else ""
    return f"{part.capitalize()}, the table is {relation} {baseline}{unknown}"


def build_blocks(published: Published, audit: Audit) -> list[Block]:
    """Return the scores, the comparisons and the possible explanations."""
    judged, parts, measure = published.judged, published.parts, published.measure
    rows = [["patients (with expansion)", *(f"{part.num_patients} ({part.events})" for part in parts)]]
    for name, (words, digits) in _SCORES.items():
        shown = [part.scores[name] for part in parts]
        if any(score.value is not None for score in shown):
            rows.append([words, *map(score_text, shown, [digits] * len(shown))])
    for name in ("intercept", "slope") if measure == "auroc" else ():
        words = "calibration intercept (ideal 0)" if name == "intercept" else "calibration slope (ideal 1)"
        rows.append([words, *(score_text(getattr(part.calibration, name, None)) for part in parts)])
    if measure == "auroc":
        rows.append(["observed / expected (ideal 1)", *(_show_ratio(part.scores, part.calibration) for part in parts)])
    missing = [f"{plural(published.num_unknown, 'patient')} of the table without a known outcome: not scored"]
    missing += [f"{plural(published.num_absent, 'patient')} of the cohort: not in the table"]
    if published.num_twins:
        missing.append(f"{plural(published.num_twins, 'patient')} outside: in training, too, under another id")
    facts = [_CLASSES] if measure == "accuracy" else _compare(published)
    return [
        text(f"{conclude(published)}."),
        *([text(_UNKNOWN)] if judged.name == ALL else [text(_NO_OUTSIDE)] if judged.name == TRAINING else []),
        table("", ["score", *(_NAMES[part.name] for part in parts)], rows, _INTERVALS),
        bullets([*facts, *_explain(published, audit), *missing]),
    ]


def _show_ratio(scores: dict[str, Score], calibration: Any) -> str:
    if calibration is None or not calibration.mean_risk:
        return score_text(None)
    share = scores["observed"]
    return score_text(Score(**{end: getattr(share, end) / calibration.mean_risk for end in ("value", "low", "high")}))


def _compare(published: Published) -> list[str]:
    """Return the comparisons with the prevalence and with the BRAIN score."""
    if published.judged.name == TRAINING:
        return []
    skill, always = score_text(published.skill), f"giving every patient a risk of {percent(published.share)}"
    facts = [f"Brier skill against {always}: {skill}. Above 0, the table is better; 1 is perfect."]
    if published.brain is None or published.brain.test_auroc_difference is None:
        return [*facts, "The comparison with the BRAIN score was not possible: too few patients with its items."]
    difference = published.brain.test_auroc_difference
    low, high = bounds(difference)[1:]
    relation = "better than" if low > 0 else "worse than" if high < 0 else "not shown to be better than"
    return [
        *facts,
        f"AUROC against the BRAIN score: {relation} it, difference {score_text(difference)} (DeLong), on the same "
        f"{published.brain.num_patients} patients.",
    ]


def _explain(published: Published, audit: Audit) -> list[str]:
    """Return the gap, and the protocols with a gap or a score like it."""
    word = _SCORES[published.measure]
    rows, by_gap = published.find_similar(audit), published.gap is not None and published.measure == "auroc"
    facts = []
    if published.gap is not None:
        low, high = bounds(published.gap)[1:]
        facts.append(f"Gap in {word}, training minus outside: {score_text(published.gap)}.")
        if low <= 0 <= high:
            return [*facts, "The interval of the gap holds 0: no gap is shown, and no mistake is needed to explain it."]
    what = "inflation in the interval of this gap" if by_gap else f"{word} in the interval of the table's"
    values = [num(audit.inflation(row) if by_gap else row.mean(published.measure)) for row in rows]
    names = [f"{row.protocol.name} ({get_model_title(row.model)}" for row in rows]
    named = ", ".join(f"{name} {value})" for name, value in zip(names, values, strict=True))
    if not named:
        return [*facts, f"No protocol that was run has an {what}."]
    return [*facts, f"Protocols with an {what}, the nearest first: {named}. {_NOT_PROOF}"]
