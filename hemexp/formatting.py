"""Format numbers as text for the terminal, the figures and the page."""

import sys
from pathlib import Path
from typing import Any, Protocol

_NO_BREAK = "\N{NO-BREAK SPACE}"


class ScoreLike(Protocol):
    """A number with its interval; None where they are not defined."""

    value: float | None
    low: float | None
    high: float | None


def bounds(score: ScoreLike | None) -> tuple[float, float, float]:
    """Return value, low and high of a score; NaN if not defined, because matplotlib does not draw NaN."""
    numbers = (None, None, None) if score is None else (score.value, score.low, score.high)
    value, low, high = (float("nan") if number is None else number for number in numbers)
    return value, low, high


def interval_text(score: ScoreLike | None, digits: int = 2) -> str:
    """Return a score with its 95 % interval: ``0.57 (0.46 to 0.68)``, in characters that every terminal has."""
    value, low, high = (_fixed(number, digits) for number in bounds(score))
    if value == "nan":
        return "not defined"
    if is_equal(score):
        return "equal"
    return f"{value} (no interval)" if "nan" in (low, high) else f"{value} ({low} to {high})"


def is_equal(difference: ScoreLike | None) -> bool:
    """Return whether a difference is 0 in every fold and for every patient, so that it has no interval."""
    _, low, high = bounds(difference)
    return getattr(difference, "p", None) == 1 and high - low < 1e-12


def score_text(score: ScoreLike | None, digits: int = 2) -> str:
    """Return `interval_text` for a page: with a true minus, and without a line break in the interval."""
    return interval_text(score, digits).replace(" to ", f"{_NO_BREAK}to{_NO_BREAK}").replace("-", "−")


def true_signs(text: str) -> str:
    """Return a text with ``≥`` and ``≤`` as they are printed."""
    return text.replace(">=", "≥").replace("<=", "≤")


def num(value: Any, digits: int = 2) -> str:
    """Return a number for a page; a dash if it is not known."""
    return "–" if value is None or value != value else _fixed(float(value), digits).replace("-", "−")


def percent(share: float | None) -> str:
    """Return a share in percent, such as ``23 %``; a dash if it is not known."""
    return "–" if share is None or share != share else f"{100 * share:.0f} %"


def p_value(value: Any) -> str:
    """Return a p value as journals print it."""
    return "–" if value is None or value != value else "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(value: Any) -> str:
    """Return a whole number with a comma between thousands; a dash if it is not known."""
    return "–" if value is None else f"{int(value):,}"


def program(command: str) -> str:
    """Return how the user starts a command: ``python report.py`` in the sources, else ``hemexp report``."""
    running = Path(sys.argv[0])
    script = running.with_name(f"{command}.py")  # beside the script that runs
    return f"python {script}" if running.suffix == ".py" and script.is_file() else f"hemexp {command}"


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 patient``, ``2 patients``."""
    return f"{number} {noun}" if number == 1 else f"{count(number)} {noun}s"


def ordinal(number: int) -> str:
    """Return a number's place in a row: ``2nd``."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def _fixed(number: float, digits: int) -> str:
    return f"{float(f'{number:.{digits}f}') + 0.0:.{digits}f}"  # never -0.00


def format_duration(seconds: float) -> str:
    """Return a duration for messages: ``40 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
