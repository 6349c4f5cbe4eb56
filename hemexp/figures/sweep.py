"""Figures of a sweep: the scores of the jobs, their dependence on each key, the best job, and the timeline."""

from collections.abc import Sequence
from textwrap import fill, shorten
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hemexp.figures import style
from hemexp.figures.style import BASELINE, GREY, MODEL, NO, SMALL, YES
from hemexp.formatting import bounds, interval_text
from hemexp.types import Array

_MOST_NAMED = 40  # jobs, at most, whose names are written
_OUTCOMES = {"done": MODEL, "pruned": "#8fc7b8", "interrupted": GREY, "killed": "#7b3f8c", "timeout": BASELINE}


def job_scores(jobs: pd.DataFrame, names: Sequence[str], header: str, measure: str) -> Figure:
    """Draw the score of every ranked job with its interval, best first.

    Args:
        jobs: ``score, score_low, score_high``, in order of rank.
        names: of the jobs.
        header: text above the names.
        measure: name of the score.
    """
    values, low, high = (jobs[name].to_numpy(dtype=float) for name in ("score", "score_low", "score_high"))
    places = np.arange(len(jobs))
    colors = [GREY if place else MODEL for place in range(len(jobs))]
    title = f"Score of every job, best first: {measure}"
    note = "bars: 95 % intervals" if np.isfinite(low).any() else "no intervals"
    if len(jobs) > _MOST_NAMED:
        figure, axes = style.new_axes(5.2, 3.8)
        axes.vlines(places + 1, low, high, colors="#cfd4dc", linewidth=max(0.6, 240 / len(jobs) / 2))
        axes.scatter(places + 1, values, c=colors, s=np.where(places == 0, 36, 9), zorder=3, linewidths=0)
        axes.set(xlabel=f"rank ({note})", ylabel=measure, xlim=(0, len(jobs) + 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        figure, axes = style.new_axes(5.2, 1.3 + 0.27 * max(len(jobs), 2))
        axes.hlines(-places, low, high, colors=colors, linewidth=1.8)
        axes.scatter(values, -places, c=colors, s=30, zorder=3)
        style.name_rows(axes, [shorten(name, 30, placeholder=" …") for name in names])
        for place in range(len(jobs)):
            style.margin_text(axes, -float(place), f"{values[place]:.3f}", bold=place == 0)
        title += f"\n{fill(header, 64)}"
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.set_xlabel(f"{measure} ({note})")
    if not len(jobs):
        style.write_note(axes, "no job is ranked")
    style.write_title(figure, title, size=10)
    return figure


def effects(panels: Sequence[tuple[str, Sequence[str], Array, Array, bool]], scores: Array, measure: str) -> Figure:
    """Draw the score of every job over the values of each swept key; diamonds are the means.

    Args:
        panels: key, its values in order, the position of each job among them, the mean score of each value, and whether
            the values are numbers; means of numbers are joined by a line.
        scores: of the jobs.
        measure: name of the score.

    Shape:
        scores: (N,).
    """
    across = min(2, max(len(panels), 1))
    down = max(-(-len(panels) // across), 1)
    figure = Figure(figsize=(5.2, 0.5 + 2.4 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    rng = np.random.default_rng(0)
    for axes, panel in zip(grid.flat, panels, strict=False):
        key, values, places, means, ordered = panel
        size = float(np.clip(600 / max(len(scores), 1), 6, 24))
        spread = rng.uniform(-0.16, 0.16, len(places))
        axes.scatter(places + spread, scores, s=size, color=NO, alpha=0.5, linewidths=0)
        if ordered:
            axes.plot(np.arange(len(means)), means, color="#222222", linewidth=1, zorder=3)
        axes.plot(np.arange(len(means)), means, "D", color="#222222", markeredgecolor="white", markersize=7, zorder=4)
        width = max(6, int({1: 50, 2: 22}[across] / max(len(values), 1)))
        crowded = any(len(value) > width for value in values)
        texts = [shorten(value, 22, placeholder=" …") if " " in value else value[:22] for value in values]
        slanted = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
        axes.set_xticks(np.arange(len(values)), texts, fontsize=SMALL, **slanted)
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        axes.set_xlim(-0.5, len(values) - 0.5)
        axes.set_title(key, fontsize=10)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    if not panels:
        style.write_note(grid[0, 0], "no key has two values with a score")
    figure.supylabel(measure, fontsize=10)
    style.write_title(figure, "Score for each value of each key\n(dots: jobs; diamonds: means)")
    return figure


def selection(
    rows: Sequence[tuple[str, Any]], scores: Array, measure: str, ranked_by: str, has_baseline: bool = False
) -> Figure:
    """Draw the scores of all jobs, the ranking score of the best, less biased scores of it, and the best baseline.

    Args:
        rows: the name of each score, and the score with its interval; the ranking score first.
        scores: of all ranked jobs.
        measure: name of the score.
        ranked_by: such as ``cv/auroc``; only an AUROC has the line of a coin.
        has_baseline: the last row is a baseline.

    Shape:
        scores: (N,).
    """
    figure, axes = style.new_axes(5.2, 1.05 + 0.45 * (1 + len(rows)))
    rng = np.random.default_rng(0)
    axes.scatter(scores, rng.uniform(-0.2, 0.2, len(scores)), s=14, color=GREY, alpha=0.5, linewidths=0)
    colors = [YES, *[MODEL] * (len(rows) - 1 - has_baseline), GREY]
    for place, ((_, score), color) in enumerate(zip(rows, colors, strict=False), start=1):
        value, low, high = bounds(score)
        axes.plot([low, high], [-place, -place], color=color, linewidth=2)
        axes.plot(value, -place, "o", color=color, markersize=7)
        style.margin_text(axes, -place, interval_text(score), bold=place == 1, size=10)
    style.name_rows(axes, [f"all {len(scores)} jobs", *(fill(name, 18) for name, _ in rows)], size=10)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    coin = ranked_by.endswith("/auroc")
    if coin:
        axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1, zorder=1)
    axes.set_xlabel(f"{measure}, with 95 % interval{chr(10) + '(dashed: a coin)' if coin else ''}")
    return figure


def timeline(tasks: pd.DataFrame) -> Figure:
    """Draw the time of each task on each device: one bar for each task, one row for each device.

    Args:
        tasks: ``task, device, started, ended, outcome``; times in seconds.
    """
    devices = sorted(tasks["device"].unique())
    figure, axes = style.new_axes(5.2, 1.3 + 0.3 * max(len(devices), 2))
    begin = float(tasks["started"].min()) if len(tasks) else 0.0
    unit, name = (60.0, "minutes") if len(tasks) and tasks["ended"].max() - begin > 300 else (1.0, "seconds")
    for kind in dict.fromkeys(tasks["outcome"]):
        part = tasks[tasks["outcome"] == kind]
        rows = [-devices.index(device) for device in part["device"]]
        spans = (part["ended"] - part["started"]) / unit
        axes.barh(rows, spans, left=(part["started"] - begin) / unit, height=0.7, label=kind,
                  color=_OUTCOMES.get(kind, YES), edgecolor="white", linewidth=0.4)  # fmt: skip
    if not len(tasks):
        style.write_note(axes, "no task has run")
    style.name_rows(axes, [shorten(device, 20, placeholder=" …") for device in devices], size=10)
    axes.set_xlabel(f"{name} since the first work item began")
    if len(tasks):
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=SMALL)
    style.write_title(figure, "Work items by device and time")
    return figure
