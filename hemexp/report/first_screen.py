"""The first screen of a page, which answers in ten seconds, and the words that several pages use on it."""

from collections.abc import Sequence
from typing import Any

from hemexp.files.result import INCOMPLETE, NO_LEAKAGE, Calibration, Score, describe_leak
from hemexp.formatting import ScoreLike, bounds, num
from hemexp.report.blocks import Block, load_texts

Line = tuple[str, str]
Version = tuple[str, Sequence[Line]]
_MOST_WORDS = 60


def verdict_kind(verdict: str) -> str:
    """Return the verdict without its reason: NO_LEAKAGE_FOUND, LEAKAGE or INCOMPLETE."""
    return verdict.partition(":")[0]


def get_warning(verdict: str) -> str:
    """Return the warning beside every score: the leakage, or INCOMPLETE; empty if no leakage was found."""
    kind = verdict_kind(verdict)
    return "" if kind == NO_LEAKAGE else INCOMPLETE if kind == INCOMPLETE else verdict


def build_top(
    versions: Sequence[Version], source: str, verdict: str, answer: tuple[str, str], figure: Block | None,
    alarm: Sequence[str] = (), quiet: str = "No leakage found.", unfinished: str = "INCOMPLETE",
) -> dict[str, Any]:  # fmt: skip
    """Return the top of a page, by the names of the template.

    A page with a leak, or without an end, shows why instead of the scores.

    Args:
        versions: what the page is about, and its lines: names with sentences; the last one describes the patients. The
            first version with at most 60 words is used, else the last.
        source: of the page, for its last line.
        verdict: that counts for the scores of the page.
        answer: the conclusion in words, and its code, which gives the color.
        figure: a forest plot.
        alarm: further sentences on a leak.
        quiet: a line on leakage, below the others.
        unfinished: name of the title for a verdict INCOMPLETE.
    """
    texts, kind, warning = load_texts("texts")["alarms"], verdict_kind(verdict), get_warning(verdict)
    title, code = answer
    about, lines = next((each for each in versions if _count_words(each, title, quiet) <= _MOST_WORDS), versions[-1])
    if warning:
        leak = describe_leak(verdict)
        why = [verdict, f"{leak[:1].upper()}{leak[1:]}.", *alarm] if leak else [verdict, *alarm]
        title, code, figure, quiet = texts["title"][unfinished if kind == INCOMPLETE else kind], kind, None, ""
        lines = [(texts[kind], " ".join(why)), lines[-1]]
    return {
        "title": f"{about}: {warning or title}",
        "source": source,
        "warning": warning,
        "kind": kind,
        "answer": {
            "about": about, "kind": code, "title": title, "lines": list(lines), "quiet": quiet, "figure": figure
        },
    }  # fmt: skip


def _count_words(version: Version, title: str, quiet: str) -> int:
    about, lines = version
    return len(" ".join([about, title, quiet, *(words for line in lines for words in line)]).split())


def compare_with_coin(score: Score | None) -> str:
    """Return the AUROC beside a coin."""
    if score is None or score.value is None:
        return "not scored."
    words = f"AUROC {num(score.value)}"
    if None in (score.low, score.high):
        return f"{words}, without an interval (a coin has 0.50)."
    return f"{words}: {say_relation(score.low, score.high, 0.5)} a coin (0.50)."


def say_relation(low: float | None, high: float | None, reference: float) -> str:
    """Return ``better than``, ``worse than``, or that neither is shown, by an interval beside a reference."""
    if low is None or high is None:
        return "not shown to be better than"
    return "better than" if low > reference else "worse than" if high < reference else "not shown to be better than"


def describe_risks(part: Calibration | None, difference: ScoreLike | None = None) -> str:
    """Return whether the risks are right, and whether they are better than the same risk for everyone.

    Args:
        part: the calibration.
        difference: Brier score minus that of the same risk for everyone; else the scaled Brier score decides.
    """
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
    if difference is None:
        use = say_relation(part.scaled_brier.low, part.scaled_brier.high, 0.0)
    else:
        _, low, high = bounds(difference)
        use = say_relation(-high, -low, 0.0)
    return f"{' and '.join(words) or 'no clear error found'}; {use} the same risk for everyone."


def _side(score: ScoreLike, ideal: float) -> int:
    """Return -1 or 1 where the whole interval of a score is below or above the ideal, else 0."""
    _, low, high = bounds(score)
    return int(low > ideal) - int(high < ideal)
