"""Numbers in print, wherever they stand: on the terminal, in a figure, on the page."""

from collections.abc import Mapping

_BOUNDS = ("value", "low", "high")


def bounds(score: Mapping[str, float | None] | None) -> tuple[float, float, float]:
    """Return value, low and high of a score; NaN where it is not defined, which matplotlib leaves out."""
    value, low, high = (float("nan") if number is None else number for number in map((score or {}).get, _BOUNDS))
    return value, low, high


def interval_text(score: Mapping[str, float | None] | None, digits: int = 2) -> str:
    """Return a score in print: ``0.57 (0.46 to 0.68)``."""
    value, low, high = (f"{number:.{digits}f}" for number in bounds(score))
    if value == "nan":
        return "not defined"
    return value if "nan" in (low, high) else f"{value} ({low} to {high})"


def percent(share: float | None) -> str:
    """Return a share in print: ``23 %``; nothing known is a dash."""
    return "–" if share is None or share != share else f"{100 * share:.0f} %"
