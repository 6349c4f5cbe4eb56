"""Compute the effect of each swept key on the score, and the share of chance in a best score."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from hemexp.figures.parallel import in_order, numbers
from hemexp.types import Array

MOST_VALUES = 8  # a number with more values than these is shown in four groups
_NUM_BINS = 4


@dataclass(frozen=True)
class Effect:
    """The effect of one swept key on the score.

    Attributes:
        key: the swept key.
        values: one row for each value or range of values, with ``value, num_jobs, num_settings, mean, spread, luck``.
            ``mean`` is over the settings; a setting counts once, however many seeds it has. ``spread`` is the standard
            deviation over the settings, ``luck`` the pooled standard deviation within a setting. Both are NaN if there
            is only one score.
        places: the row of `values` for each job, in the order of the leaderboard.
        balanced: every value was tried with the same other settings, so the means can be compared.
        ordered: the values are numbers.
    """

    key: str
    values: pd.DataFrame
    places: Array
    balanced: bool
    ordered: bool

    @property
    def reach(self) -> float:
        """The difference between the highest and the lowest mean."""
        return float(np.ptp(self.values["mean"])) if len(self.values) else 0.0


def effects(jobs: pd.DataFrame, swept: dict[str, list[str]], luck: list[str]) -> list[Effect]:
    """Return the effect of every swept key: the largest difference first, seeds and folds last.

    Args:
        jobs: the ranked jobs, with ``score`` and a column for each key.
        swept: the values of each key, in order.
        luck: the swept keys that change a score only by chance.
    """
    varied = [_effect(jobs, key, swept, luck) for key in swept if jobs[key].nunique() > 1]
    return sorted(varied, key=lambda effect: (effect.key in luck, -effect.reach))


def expected_maximum(count: int) -> float:
    """Return the expected maximum of `count` independent standard normal scores."""
    grid = np.linspace(-10, 10, 20_001)
    return float(np.trapezoid(np.heaviside(grid, 0.5) - norm.cdf(grid) ** count, grid)) if count > 1 else 0.0


def luck_within(jobs: pd.DataFrame, settings: list[str]) -> float:
    """Return the pooled standard deviation of the score within settings; NaN if every setting has one job."""
    tables = [table for _, table in jobs.groupby(settings)] if settings else [jobs]
    groups = [table["score"].to_numpy() for table in tables]
    free = sum(len(scores) - 1 for scores in groups)
    squares = sum(float(((scores - scores.mean()) ** 2).sum()) for scores in groups)
    return float(np.sqrt(squares / free)) if free else float("nan")


def _effect(jobs: pd.DataFrame, key: str, swept: dict[str, list[str]], luck: list[str]) -> Effect:
    names, places = _values(jobs[key], swept[key])
    others = [other for other in swept if other != key and (other not in luck or key in luck)]
    settings = [other for other in swept if other not in luck] if key not in luck else [*others, key]
    rows = []
    for place, name in enumerate(names):
        group = jobs[places == place]
        means = group.groupby(settings)["score"].mean() if settings else group["score"]
        spread = float(means.std(ddof=1)) if len(means) > 1 else float("nan")
        rows.append((name, len(group), len(means), float(means.mean()), spread, luck_within(group, settings)))
    columns = ["value", "num_jobs", "num_settings", "mean", "spread", "luck"]
    combinations = [sorted(map(tuple, jobs.loc[places == place, others].to_numpy())) for place in range(len(names))]
    balanced = all(combination == combinations[0] for combination in combinations)
    return Effect(key, pd.DataFrame(rows, columns=columns), places, balanced, numbers(jobs[key]) is not None)


def _values(column: "pd.Series[str]", order: list[str]) -> tuple[list[str], Array]:
    """Return the names of the values or ranges of a key, and the number of the value or range of each job."""
    values = numbers(column)
    if values is not None and column.nunique() > MOST_VALUES:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, _NUM_BINS + 1)[1:-1]))
        bins = np.searchsorted(edges, values, side="left")
        kept, places = np.unique(bins, return_inverse=True)
        names = [f"{values[bins == number].min():.2g} to {values[bins == number].max():.2g}" for number in kept]
        return names, places
    names = in_order(column, order)
    return names, np.array([names.index(value) for value in column])
