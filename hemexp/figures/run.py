"""What every run draws: its loss, and how its test part came out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from sklearn.metrics import roc_curve

from hemexp.evaluation.scores import Score
from hemexp.figures.evaluation import precision_recall
from hemexp.figures.style import GREY, MODEL, NO, YES, house_style, new_axes

Array = np.ndarray[Any, Any]


def loss_curve(history: pd.DataFrame, best_epoch: int) -> Figure:
    """Draw the loss by epoch, as the paper's figure 4; the best epoch is marked.

    Args:
        history: ``epoch``, ``train/loss`` and, with a validation part, ``val/loss``.
        best_epoch: whose weights the run keeps.
    """
    figure, axes = new_axes(6.4, 3.8)
    for column, color, name in (("train/loss", NO, "training"), ("val/loss", YES, "validation")):
        if column in history:
            axes.plot(history["epoch"], history[column], color=color, label=name, linewidth=1.5)
    axes.axvline(best_epoch, color=GREY, linestyle=":", label=f"best: epoch {best_epoch}")
    if (history["train/loss"] > 0).all():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="epoch", ylabel="cross entropy", title="Loss")
    axes.legend()
    return figure


def roc(labels: Array, probabilities: Array, score: Score) -> Figure:
    """Draw the ROC curve of the test part, with its area and interval.

    Shape:
        labels, probabilities: (N,), both outcomes present.
    """
    figure, axes = new_axes(4.6, 4.6)
    false_positive, true_positive, _ = roc_curve(labels, probabilities, drop_intermediate=False)
    axes.plot(false_positive, true_positive, color=MODEL, linewidth=2, clip_on=False, zorder=3)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.text(0.84, 0.79, "chance", color=GREY, rotation=45, ha="center", va="center", transform_rotates_text=True)
    title = f"ROC, test part: AUROC {score['value']:.2f} ({score['low']:.2f} to {score['high']:.2f})"
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1), aspect="equal", title=title)
    return figure


def risk_by_outcome(labels: Array, probabilities: Array, score: Score) -> Figure:
    """Draw each test patient's predicted risk, apart by outcome: overlap is what the model cannot tell.

    Shape:
        labels, probabilities: (N,).
    """
    figure, axes = new_axes(6.4, 2.9)
    jitter = np.random.default_rng(0).uniform(-0.28, 0.28, len(labels))
    for outcome, color in ((0, NO), (1, YES)):
        there = labels == outcome
        axes.scatter(
            probabilities[there], outcome + jitter[there], s=26, color=color, alpha=0.65, linewidths=0, clip_on=False
        )
        if there.any():
            middle = float(np.median(probabilities[there]))
            axes.plot([middle, middle], [outcome - 0.38, outcome + 0.38], color=color, linewidth=2.5)
    axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
    counts = [int((labels == outcome).sum()) for outcome in (0, 1)]
    axes.set_yticks([0, 1], [f"no expansion\n(n = {counts[0]})", f"expansion\n(n = {counts[1]})"])
    axes.grid(visible=False, axis="y")
    title = f"Risk by outcome, test part: Brier {score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
    label = "predicted probability of expansion (bars: medians)"
    axes.set(xlabel=label, xlim=(-0.01, 1.01), ylim=(-0.5, 1.5), title=title)
    return figure


def run_figures(
    history: pd.DataFrame, best_epoch: int, labels: Array, probabilities: Array, metrics: Mapping[str, Score]
) -> dict[str, Figure]:
    """Draw every picture of a run that its data allow, by file name.

    Shape:
        labels, probabilities: (N,), of the test part.
    """
    with house_style():
        figures = {"loss": loss_curve(history, best_epoch)}
        if metrics["test/auroc"]["value"] is not None:
            figures["roc"] = roc(labels, probabilities, metrics["test/auroc"])
            figures["pr"] = precision_recall(labels, probabilities, metrics["test/auprc"])
        figures["risk"] = risk_by_outcome(labels, probabilities, metrics["test/brier"])
    return figures
