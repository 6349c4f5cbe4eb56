"""Forest plots: scores with their intervals, one below the other."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hemexp.config import get_model_title
from hemexp.figures.style import GREY, MODEL, margin_text, name_rows, new_axes, write_title
from hemexp.files.result import ComparedModel, Score, SubgroupScore
from hemexp.formatting import bounds, interval_text, true_signs


def comparison(rows: Sequence[ComparedModel]) -> Figure:
    """Draw the cross-validated AUROC of the model and of the baselines beside a coin.

    Args:
        rows: ``comparison`` of result.json, the model first; the prevalence is not drawn, because it is a coin.
    """
    rows = [row for row in rows if row.is_model or row.model != "prevalence"]
    figure, axes = new_axes(5.2, 1.05 + 0.42 * len(rows))
    scores = [row.auroc for row in rows]
    _intervals(axes, scores, [MODEL if row.is_model else GREY for row in rows])
    _frame(axes, scores, 0.5)
    name_rows(axes, [fill(get_model_title(row.model), 18) for row in rows], size=10, grid=True,
              bold=[row.is_model for row in rows])  # fmt: skip
    for place, (row, score) in enumerate(zip(rows, scores, strict=True)):
        margin_text(axes, -place, interval_text(score), bold=row.is_model, size=10)
    axes.set_xlabel("AUROC, cross-validated, with 95 % interval\n(dashed: a coin)")
    return figure


def subgroups(rows: Sequence[SubgroupScore]) -> Figure:
    """Draw the AUROC in every subgroup.

    Args:
        rows: ``subgroups`` of result.json.
    """
    figure, axes = new_axes(5.2, 1.2 + 0.36 * max(len(rows), 1))
    scores = [row.auroc for row in rows]
    _intervals(axes, scores, [GREY if row.note else MODEL for row in rows])
    _frame(axes, scores, 0.5)
    name_rows(axes, [fill(true_signs(row.subgroup), 24) for row in rows], size=10, grid=True)
    for place, row in enumerate(rows):
        margin_text(axes, -place, row.note or interval_text(row.auroc))
    axes.set_xlabel("AUROC, cross-validated, with 95 % interval\n(dashed: a coin)")
    write_title(figure, "Does the model work in every subgroup?")
    return figure


def _intervals(axes: Axes, scores: Sequence[Score], colors: Sequence[str]) -> None:
    """Draw each score with its interval, one below the other."""
    for place, (score, color) in enumerate(zip(scores, colors, strict=True)):
        value, low, high = bounds(score)
        if value == value:
            axes.plot([low, high], [-place] * 2, color=color, linewidth=1.8)
            axes.plot(value, -place, "o", color=color, markersize=6)


def _frame(axes: Axes, scores: Sequence[Score], reference: float, least: float = 0.2) -> None:
    """Fit the horizontal axis to the intervals and the reference."""
    numbers = np.array([*(number for score in scores for number in bounds(score)), reference])
    numbers = numbers[np.isfinite(numbers)]
    low, high = (numbers.min(), numbers.max()) if len(numbers) else (0.0, 1.0)
    margin = max(0.06 * (high - low), (least - high + low) / 2, 0.01)
    axes.set_xlim(max(low - margin, -0.01), min(high + margin, 1.01))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(reference, color=GREY, linestyle="--", linewidth=1, zorder=1)
