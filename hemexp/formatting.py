"""Text of numbers for the terminal, figures and pages."""

from collections.abc import Mapping
from typing import Any

_BOUNDS = ("value", "low", "high")
_NO_BREAK = "\N{NO-BREAK SPACE}"


def bounds(score: Any) -> tuple[float, float, float]:
    """Return value, low and high of a score; an undefined number is NaN, which matplotlib does not draw."""
    content = score if isinstance(score, Mapping) else vars(score) if score is not None else {}
    value, low, high = (float("nan") if number is None else number for number in map(content.get, _BOUNDS))
    return value, low, high


def interval_text(score: Any, digits: int = 2) -> str:
    """Return a score with its 95 % interval in ASCII characters: ``0.57 (0.46 to 0.68)``."""
    value, low, high = (_fixed(number, digits) for number in bounds(score))
    if value == "nan":
        return "not defined"
    return f"{value} (no interval)" if "nan" in (low, high) else f"{value} ({low} to {high})"


def score_text(score: Any, digits: int = 2) -> str:
    """Return `interval_text` for a page: with a minus sign, and without a line break inside the interval."""
    return interval_text(score, digits).replace(" to ", f"{_NO_BREAK}to{_NO_BREAK}").replace("-", "−")


def num(value: Any, digits: int = 2) -> str:
    """Return a number for a page; a dash for None and NaN."""
    return "–" if value is None or value != value else _fixed(float(value), digits).replace("-", "−")


def percent(share: float | None) -> str:
    """Return a share in percent: ``23 %``; a dash for None and NaN."""
    return "–" if share is None or share != share else f"{100 * share:.0f} %"


def p_value(value: Any) -> str:
    """Return a p value as in journals: three digits, or ``< 0.001``; a dash for None and NaN."""
    return "–" if value is None or value != value else "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(value: Any) -> str:
    """Return a whole number with thousands separators: ``1,234``; a dash for None."""
    return "–" if value is None else f"{int(value):,}"


def ordinal(number: int) -> str:
    """Return an ordinal number: ``2nd``."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def _fixed(number: float, digits: int) -> str:
    return f"{float(f'{number:.{digits}f}') + 0.0:.{digits}f}"  # never -0.00
