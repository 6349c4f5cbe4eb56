"""Forest plots: scores with their intervals, one below the other."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hemexp.config import get_model_title
from hemexp.figures.style import GREY, MODEL, margin_text, name_rows, new_axes, write_title
from hemexp.files.result import Calibration, CenterValidation, ComparedModel, Score, SubgroupScore
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


def centers(block: CenterValidation) -> Figure:
    """Draw AUROC and calibration intercept in each center, their mean, and what is expected in a new center.

    Args:
        block: ``by_center`` of result.json.
    """
    figure = Figure(figsize=(7, 2.1 + 0.36 * len(block.centers)), layout="constrained")
    left, right = figure.subplots(1, 2)
    panels = ((left, "auroc", block.auroc, 0.5, 0.2), (right, "intercept", block.intercept, 0.0, 0.5))
    for axes, key, pooled, reference, least in panels:
        scores = [getattr(row, key) for row in block.centers]
        _intervals(axes, scores, [MODEL] * len(scores))
        texts = list(map(interval_text, scores))
        if pooled is not None:
            mean = Score(value=pooled.mean, low=pooled.low, high=pooled.high)
            place = -len(scores)
            axes.plot([pooled.low, pooled.high], [place] * 2, color="#222222", linewidth=1.8)
            axes.plot(pooled.mean, place, "D", color="#222222", markersize=7)
            axes.plot([pooled.predicted_low, pooled.predicted_high], [place - 1] * 2, color=GREY, linewidth=4)
            texts += [interval_text(mean), f"{pooled.predicted_low:.2f} to {pooled.predicted_high:.2f}"]
            scores.append(mean)  # the bar of a new center may be cut: with few centers it is much wider than all others
        for number, words in enumerate(texts):
            margin_text(axes, -number, words, bold=number == len(block.centers))
        _frame(axes, scores, reference, least, (0, 1) if key == "auroc" else (-np.inf, np.inf))
        axes.xaxis.get_major_locator().set_params(nbins=3)
    names = [fill(f"{row.center} ({row.events}/{row.num_patients})", 20) for row in block.centers]
    bold = [False] * len(names) + [True, False]
    name_rows(left, [*names, "mean over centers", "a new center"], grid=True, bold=bold)
    name_rows(right, [""] * (len(names) + 2), grid=True)
    left.set_xlabel("AUROC: higher is better\n(dashed: chance)")
    right.set_xlabel("calibration intercept: above 0,\nthe risks are too low (dashed: ideal)")
    write_title(figure, "Does the model work in every center? (expansions/patients; bars: 95 % intervals)")
    return figure


def validation(rows: Sequence[tuple[str, Score, Calibration | None]]) -> Figure:
    """Draw AUROC, calibration intercept and slope, one panel below the other, so that it fits a narrow screen.

    Args:
        rows: name, AUROC and calibration; the new patients first.
    """
    intercepts = [part.intercept if part else Score() for _, _, part in rows]
    slopes = [part.slope if part else Score() for _, _, part in rows]
    panels = (
        ("AUROC: how well it ranks (0.5 is chance)", [score for _, score, _ in rows], 0.5, 0.2),
        ("calibration intercept (ideal 0; below: risks too high)", intercepts, 0.0, 1.0),
        ("calibration slope (ideal 1; below: risks too extreme)", slopes, 1.0, 1.0),
    )
    drawn = [panel for panel in panels if any(score.value is not None for score in panel[1])]
    figure = Figure(figsize=(5.9, 0.5 + len(drawn) * (0.75 + 0.3 * len(rows))), layout="constrained")
    colors = [MODEL, *[GREY] * (len(rows) - 1)]
    bold = [True, *[False] * (len(rows) - 1)]
    for axes, (label, scores, ideal, least) in zip(figure.subplots(len(drawn), 1, squeeze=False)[:, 0], drawn,
                                                   strict=True):  # fmt: skip
        _intervals(axes, scores, colors)
        _frame(axes, scores, ideal, least, (0, 1) if ideal == 0.5 else (-np.inf, np.inf))
        for place, score in enumerate(scores):
            margin_text(axes, -place, interval_text(score) if score.value is not None else "not known", bold=place == 0)
        name_rows(axes, [name for name, _, _ in rows], grid=True, bold=bold)
        axes.set_xlabel(label)
    write_title(figure, "Here and in its own cohort (bars: 95 % intervals)")
    return figure


def _intervals(axes: Axes, scores: Sequence[Score], colors: Sequence[str]) -> None:
    """Draw each score with its interval, one below the other."""
    for place, (score, color) in enumerate(zip(scores, colors, strict=True)):
        value, low, high = bounds(score)
        if value == value:
            axes.plot([low, high], [-place] * 2, color=color, linewidth=1.8)
            axes.plot(value, -place, "o", color=color, markersize=6)


def _frame(
    axes: Axes, scores: Sequence[Score], reference: float, least: float = 0.2, limits: tuple[float, float] = (0, 1)
) -> None:
    """Fit the horizontal axis to the intervals and the reference; scores have `limits`."""
    numbers = np.array([*(number for score in scores for number in bounds(score)), reference])
    numbers = numbers[np.isfinite(numbers)]
    low, high = (numbers.min(), numbers.max()) if len(numbers) else (0.0, 1.0)
    margin = max(0.06 * (high - low), (least - high + low) / 2, 0.01)
    axes.set_xlim(max(low - margin, limits[0] - 0.01), min(high + margin, limits[1] + 0.01))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(reference, color=GREY, linestyle="--", linewidth=1, zorder=1)
