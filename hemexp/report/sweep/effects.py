"""What each swept key does to the score, and how much of a best score is luck: computed from a leaderboard alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from hemexp.types import Array

MOST_VALUES = 8  # a number with more values than these is shown in four groups
_NUM_BINS = 4


@dataclass(frozen=True)
class Effect:
    """How the score goes with one key.

    Attributes:
        key: the swept key.
        values: a row a value (or range of values): ``value, num_jobs, num_settings, mean, spread, luck``; the mean is
            over settings, each taken once however many seeds it has; ``spread`` is the standard deviation over them,
            ``luck`` the pooled one within a setting. NaN where there is one only.
        places: of the jobs in the order of the leaderboard: the row of `values` that each belongs to.
        balanced: every value was tried with the same other settings, so that their means can be compared.
        ordered: the values are numbers.
    """

    key: str
    values: pd.DataFrame
    places: Array
    balanced: bool
    ordered: bool

    @property
    def reach(self) -> float:
        """How far apart the best and the worst value are on average."""
        return float(np.ptp(self.values["mean"])) if len(self.values) else 0.0


def effects(jobs: pd.DataFrame, swept: dict[str, list[str]], luck: list[str]) -> list[Effect]:
    """Return the effect of every swept key, the one that reaches furthest first and those of luck last.

    Args:
        jobs: the ranked ones, with ``score`` and a column for each key.
        swept: the values of each key, in order.
        luck: those of the keys that only vary what is chance.
    """
    found = [_effect(jobs, key, swept, luck) for key in swept if jobs[key].nunique() > 1]
    return sorted(found, key=lambda effect: (effect.key in luck, -effect.reach))


def numbers(values: "pd.Series[str]") -> Array | None:
    """Return values as numbers, None where one is none (``null`` and ``true`` are words)."""
    try:
        found = values.astype(float).to_numpy()
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def expected_maximum(count: int) -> float:
    """Return by how many standard deviations the best of so many equal, independent normal scores beats their mean."""
    grid = np.linspace(-10, 10, 20_001)
    return float(np.trapezoid(np.heaviside(grid, 0.5) - norm.cdf(grid) ** count, grid)) if count > 1 else 0.0


def luck_within(jobs: pd.DataFrame, settings: list[str]) -> float:
    """Return the pooled standard deviation of the score among jobs of the same settings; NaN where no two are."""
    groups = (
        [each["score"].to_numpy() for _, each in jobs.groupby(settings)] if settings else [jobs["score"].to_numpy()]
    )
    free = sum(len(scores) - 1 for scores in groups)
    squares = sum(float(((scores - scores.mean()) ** 2).sum()) for scores in groups)
    return float(np.sqrt(squares / free)) if free else float("nan")


def _effect(jobs: pd.DataFrame, key: str, swept: dict[str, list[str]], luck: list[str]) -> Effect:
    names, places = _values(jobs[key], swept[key])
    others = [other for other in swept if other != key and (other not in luck or key in luck)]
    settings = [other for other in swept if other not in luck] if key not in luck else [*others, key]
    rows = []
    for place, name in enumerate(names):
        there = jobs[places == place]
        means = there.groupby(settings)["score"].mean() if settings else there["score"]
        spread = float(means.std(ddof=1)) if len(means) > 1 else float("nan")
        rows.append((name, len(there), len(means), float(means.mean()), spread, luck_within(there, settings)))
    columns = ["value", "num_jobs", "num_settings", "mean", "spread", "luck"]
    company = [sorted(map(tuple, jobs.loc[places == place, others].to_numpy())) for place in range(len(names))]
    balanced = all(each == company[0] for each in company)
    return Effect(key, pd.DataFrame(rows, columns=columns), places, balanced, numbers(jobs[key]) is not None)


def _values(column: "pd.Series[str]", order: list[str]) -> tuple[list[str], Array]:
    """Return what to call the values or groups of values of a key, and the group of each job."""
    there = set(column)
    values = numbers(column)
    if values is not None and len(there) > MOST_VALUES:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, _NUM_BINS + 1)[1:-1]))
        bins = np.searchsorted(edges, values, side="left")
        kept, places = np.unique(bins, return_inverse=True)
        names = [f"{values[bins == each].min():.2g} to {values[bins == each].max():.2g}" for each in kept]
        return names, places
    names = in_order(there, order)
    return names, np.array([names.index(value) for value in column])


def in_order(values: Iterable[str], given: Sequence[str]) -> list[str]:
    """Return different values as an axis has them: numbers by size, then words as they were given."""

    def place(value: str) -> tuple[bool, float, str]:
        number = numbers(pd.Series([value]))
        if number is not None:
            return False, float(number[0]), value
        return True, float(given.index(value) if value in given else len(given)), value

    return sorted(set(values), key=place)
