"""Forest plots: scores with their intervals, one below the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hemexp.config import get_model_title
from hemexp.figures.style import GREY, MODEL, can_draw, margin_text, name_rows, write_title
from hemexp.files.result import Calibration, CenterValidation, ComparedModel, Heterogeneity, Score, SubgroupScore
from hemexp.formatting import bounds, interval_text, true_signs

_AUROC = "AUROC, cross-validated, with 95 % interval\n(dashed: a coin)"
_RANKING = "AUROC: how well it ranks (dashed: a coin)"
_INTERCEPT = "calibration intercept (ideal 0; below: risks too high)"
_SLOPE = "calibration slope (ideal 1; below: risks too extreme)"
_FREE = (-np.inf, np.inf)
_NAME = 20  # characters of a name in one line


@dataclass(frozen=True)
class _Row:
    """A score with its name; a row that is not `framed` may be cut off by the horizontal axis."""

    name: str
    score: Score | None
    color: str = GREY
    bold: bool = False
    text: str = ""  # empty: the score with its interval
    marker: str = "o"
    framed: bool = True


@dataclass(frozen=True)
class _Panel:
    """Rows with one horizontal axis, which spans at least `least` and at most `limits`."""

    label: str
    rows: Sequence[_Row]
    reference: float = 0.5
    least: float = 0.2
    limits: tuple[float, float] = (0, 1)


def comparison(rows: Sequence[ComparedModel]) -> Figure:
    """Draw the cross-validated AUROC of the model and of the baselines beside a coin.

    Args:
        rows: ``comparison`` of result.json, the model first; the prevalence is not drawn, because it is a coin.
    """
    shown = [
        _Row(get_model_title(row.model), row.auroc, MODEL if row.is_model else GREY, row.is_model)
        for row in rows
        if row.is_model or row.model != "prevalence"
    ]
    return _draw([_Panel(_AUROC, shown)])


def subgroups(rows: Sequence[SubgroupScore]) -> Figure:
    """Draw the AUROC in every subgroup.

    Args:
        rows: ``subgroups`` of result.json.
    """
    shown = [_Row(true_signs(row.subgroup), row.auroc, GREY if row.note else MODEL, text=row.note) for row in rows]
    return _draw([_Panel(_AUROC, shown)], "Does the model work in every subgroup?")


def centers(block: CenterValidation) -> Figure:
    """Draw AUROC and calibration intercept in each center, their mean, and what is expected in a new center.

    Args:
        block: ``by_center`` of result.json.
    """
    drawn = [row.center if can_draw(row.center) else f"center {n}" for n, row in enumerate(block.centers, 1)]
    names = [f"{name} ({row.events}/{row.num_patients})" for name, row in zip(drawn, block.centers, strict=True)]

    def list_rows(key: str, pooled: Heterogeneity | None) -> list[_Row]:
        scores = [getattr(row, key) for row in block.centers]
        return [*(_Row(*pair, MODEL) for pair in zip(names, scores, strict=True)), *_list_pooled(pooled)]

    panels = [
        _Panel(_RANKING, list_rows("auroc", block.auroc)),
        _Panel(_INTERCEPT, list_rows("intercept", block.intercept), 0.0, 0.5, _FREE),
    ]
    return _draw(panels, "In each center (expansions/patients; bars: 95 % intervals)")


def _list_pooled(pooled: Heterogeneity | None) -> list[_Row]:
    """Return the mean over centers, and the bar of a new center, which is very wide if there are few centers."""
    if pooled is None:
        return []
    mean = Score(value=pooled.mean, low=pooled.low, high=pooled.high)
    expected = Score(low=pooled.predicted_low, high=pooled.predicted_high)
    words = f"{pooled.predicted_low:.2f} to {pooled.predicted_high:.2f}"
    return [
        _Row("mean over centers", mean, "#222222", bold=True, marker="D"),
        _Row("a new center", expected, text=words, framed=False),
    ]


def validation(rows: Sequence[tuple[str, Score, Calibration | None]], title: str) -> Figure:
    """Draw AUROC, calibration intercept and slope, one panel below the other, so that it fits a narrow screen.

    Args:
        rows: name, AUROC and calibration; the first one is highlighted.
        title: what is compared.
    """
    panels = [_Panel(_RANKING, _list_known([(name, auroc) for name, auroc, _ in rows]))]
    for label, key, ideal in ((_INTERCEPT, "intercept", 0.0), (_SLOPE, "slope", 1.0)):
        scores = [(name, getattr(part, key) if part else None) for name, _, part in rows]
        panels.append(_Panel(label, _list_known(scores), ideal, 1.0, _FREE))
    return _draw([panel for panel in panels if panel.rows], f"{title} (bars: 95 % intervals)")


def _list_known(scores: Sequence[tuple[str, Score | None]]) -> list[_Row]:
    """Return a row for each score with a value, the first score of all highlighted."""
    return [
        _Row(name, score, GREY if place else MODEL, not place)
        for place, (name, score) in enumerate(scores)
        if score is not None and score.value is not None
    ]


def _draw(panels: Sequence[_Panel], title: str = "") -> Figure:
    """Draw the panels one below the other, so that they fit a narrow screen."""
    heights = [_measure(panel) for panel in panels]
    figure = Figure(figsize=(5.2, sum(heights) + 0.45 * bool(title)), layout="constrained")
    for axes, panel in zip(
        figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0], panels, strict=True
    ):
        _fill(axes, panel)
    if title:
        write_title(figure, title)
    return figure


def _measure(panel: _Panel) -> float:
    """Return the height of a panel in inches; names of two lines need more."""
    broken = any(len(row.name) > _NAME for row in panel.rows)
    return 0.55 + 0.2 * len(panel.label.splitlines()) + (0.42 if broken else 0.34) * max(len(panel.rows), 1)


def _fill(axes: Axes, panel: _Panel) -> None:
    for place, row in enumerate(panel.rows):
        value, low, high = bounds(row.score)
        axes.plot([low, high], [-place] * 2, color=row.color, linewidth=1.8 if row.framed else 4)
        axes.plot(value, -place, row.marker, color=row.color, markersize=6)
        margin_text(axes, -place, row.text or interval_text(row.score), bold=row.bold, size=10)
    _frame(axes, panel)
    name_rows(axes, [fill(row.name, _NAME) for row in panel.rows], size=10, grid=True,
              bold=[row.bold for row in panel.rows])  # fmt: skip
    axes.set_xlabel(panel.label)


def _frame(axes: Axes, panel: _Panel) -> None:
    """Fit the horizontal axis to the intervals and the reference."""
    framed = [row.score for row in panel.rows if row.framed]
    numbers = np.array([*(number for score in framed for number in bounds(score)), panel.reference])
    numbers = numbers[np.isfinite(numbers)]
    low, high = numbers.min(), numbers.max()
    margin = max(0.06 * (high - low), (panel.least - high + low) / 2, 0.01)
    axes.set_xlim(max(low - margin, panel.limits[0] - 0.01), min(high + margin, panel.limits[1] + 0.01))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(panel.reference, color=GREY, linestyle="--", linewidth=1, zorder=1)
