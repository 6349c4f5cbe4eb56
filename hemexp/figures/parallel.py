"""Parallel coordinates: one line for each job, through its value of every swept key to its score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from hemexp.figures.style import SMALL, write_note, write_title
from hemexp.types import Array

_FAN = 0.05  # of the height: range over which lines through the same value are spread
_MOST_TICKS = 6  # values of a number, at most, that are all written
_DECADE = 10  # numbers that span this factor get a logarithmic axis


@dataclass(frozen=True)
class _Scale:
    """Positions on one axis, from 0 at the bottom to 1; a fan spreads lines through the same value."""

    heights: Array
    ticks: list[tuple[float, str]]
    fans: bool


def parallel_coordinates(
    jobs: pd.DataFrame, keys: Sequence[str], orders: Mapping[str, Sequence[str]], measure: str, lower_is_better: bool
) -> Figure:
    """Draw the ranked jobs, colored by their score, better jobs on top; the best job is black.

    Numbers that span a factor of ten or more get a logarithmic axis; texts (and ``null``) are spaced evenly.

    Args:
        jobs: ``score`` and a column of text for each key, in order of rank.
        keys: the axes, from left to right.
        orders: for each key with texts, its values in order.
        measure: name of the score.
        lower_is_better: the axis of the score is turned, so that the best is on top.
    """
    figure = Figure(figsize=(max(6.4, 1.25 * (len(keys) + 1)), 4.4), layout="constrained")
    axes = figure.add_subplot()
    if jobs.empty or not keys:
        write_note(axes, "no ranked job, or no swept key")
        axes.set_axis_off()
        return figure
    scores = jobs["score"].to_numpy(dtype=float)
    order = np.argsort(np.argsort(-scores if lower_is_better else scores, kind="stable"))  # the best last
    fan = _FAN * (order / max(len(jobs) - 1, 1) - 0.5)
    scales = [_scale(jobs[key], orders.get(key, [])) for key in keys] + [_score_scale(scores, lower_is_better)]
    heights = np.array([scale.heights + (fan if scale.fans else 0) for scale in scales])  # (axes, jobs)
    drawn = np.argsort(order)
    lines = [np.column_stack([np.arange(len(scales)), heights[:, job]]) for job in drawn]
    colors = mpl.colormaps["viridis_r" if lower_is_better else "viridis"]
    shade = Normalize(*_span(scores))
    style = {"alpha": float(np.clip(12 / np.sqrt(len(jobs)), 0.35, 0.9)), "linewidths": 1.6 if len(jobs) <= 60 else 0.9}
    axes.add_collection(LineCollection(lines, colors=colors(shade(scores[drawn])), zorder=2, **style))
    best = heights[:, int(np.argmax(order))]
    axes.plot(np.arange(len(scales)), best, color="black", linewidth=2, zorder=3)
    for place, scale in enumerate(scales):
        _draw_axis(axes, place, scale, last=place == len(keys))
    names = [*(fill(_break(key), 16) for key in keys), fill(measure, 16)]
    axes.set_xticks(np.arange(len(scales)), names, fontsize=SMALL)
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0, pad=8)
    axes.set(xlim=(-0.15, len(scales) - 0.62), ylim=(-0.06, 1.06), yticks=[])
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(ScalarMappable(shade, colors), ax=axes, orientation="horizontal", shrink=0.6, aspect=40)
    bar.set_label(f"{measure} ({'lower' if lower_is_better else 'higher'} is better)", fontsize=SMALL)
    bar.ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    write_title(figure, "One line for each job, colored by its score (black: the best)")
    return figure


def numbers(values: "pd.Series[str]") -> Array | None:
    """Return values as numbers; None if one of them is not a number, such as ``null`` or ``true``."""
    try:
        array = values.astype(float).to_numpy()
    except ValueError:
        return None
    return array if np.isfinite(array).all() else None


def in_order(values: Iterable[str], given: Sequence[str]) -> list[str]:
    """Return the different values in the order of an axis: numbers by size, then words in the given order."""

    def place(value: str) -> tuple[bool, float, str]:
        number = numbers(pd.Series([value]))
        if number is not None:
            return False, float(number[0]), value
        return True, float(given.index(value) if value in given else len(given)), value

    return sorted(set(values), key=place)


def _scale(column: "pd.Series[str]", order: Sequence[str]) -> _Scale:
    values = numbers(column)
    if values is not None:
        return _number_scale(values)
    names = in_order(column, order)
    step = 1 / max(len(names) - 1, 1)
    heights = np.array([names.index(value) * step for value in column])
    return _Scale(heights, [(place * step, name) for place, name in enumerate(names)], fans=True)


def _number_scale(values: Array) -> _Scale:
    distinct = np.unique(values)
    log = distinct[0] > 0 and distinct[-1] / distinct[0] >= _DECADE
    low, high = _span(np.log10(distinct) if log else distinct)

    def height(value: Any) -> Any:
        return ((np.log10(value) if log else value) - low) / (high - low)

    few = len(distinct) <= _MOST_TICKS and (len(distinct) < 2 or np.diff(height(distinct)).min() > 0.06)
    subs = (1.0,) if high - low >= 2 else (1.0, 2.0, 5.0)
    locator = LogLocator(subs=subs) if log else MaxNLocator(nbins=5)
    ticks = distinct if few else locator.tick_values(distinct[0], distinct[-1])
    inside = [tick for tick in ticks if (tick > 0 or not log) and -1e-9 <= height(tick) <= 1 + 1e-9]
    return _Scale(height(values), [(float(height(tick)), f"{tick:g}") for tick in inside], len(distinct) < len(values))


def _score_scale(scores: Array, lower_is_better: bool) -> _Scale:
    low, high = _span(scores)
    bottom, top = (high, low) if lower_is_better else (low, high)
    ticks = [tick for tick in MaxNLocator(nbins=5).tick_values(low, high) if low <= tick <= high]
    heights = (scores - bottom) / (top - bottom)
    return _Scale(heights, [((tick - bottom) / (top - bottom), f"{tick:g}") for tick in ticks], fans=False)


def _span(values: Array) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _draw_axis(axes: Axes, place: int, scale: _Scale, last: bool) -> None:
    axes.plot([place, place], [-0.03, 1.03], color="#222222", linewidth=1, zorder=4)
    for height, text in scale.ticks:
        axes.plot([place - 0.015, place + 0.015], [height, height], color="#222222", linewidth=1, zorder=4)
        box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.82}
        short = fill(text, 14, max_lines=2, placeholder="…")
        axes.annotate(
            short, (place, height), (5, 0), textcoords="offset points", va="center", fontsize=SMALL, zorder=5,
            bbox=None if last else box, annotation_clip=False,
        )  # fmt: skip


def _break(key: str) -> str:
    return key.replace(".", ". ").replace("_", "_ ") if len(key) > 16 else key
