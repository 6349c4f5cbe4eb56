"""Figures of every run: the loss, and the scores of the test part."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from sklearn.metrics import roc_curve

from hemexp.figures.evaluation import precision_recall, risk_by_outcome
from hemexp.figures.style import GREY, MODEL, NO, YES, house_style, new_axes
from hemexp.files.result import Score
from hemexp.formatting import interval_text
from hemexp.types import Array


def loss_curve(history: pd.DataFrame, best_epoch: int, loss: str = "cross entropy") -> Figure:
    """Draw the loss of each epoch, as in figure 4 of the paper; the best epoch is marked.

    Args:
        history: ``epoch``, ``train/loss`` and, with a validation part, ``val/loss``.
        best_epoch: epoch of the weights that the run keeps.
        loss: its name.
    """
    figure, axes = new_axes(6.4, 3.8, (0.82, 0.48, 0.05, 0.25))
    for column, color, name in (("train/loss", NO, "training"), ("val/loss", YES, "validation")):
        if column in history:
            axes.plot(history["epoch"], history[column], color=color, label=name, linewidth=1.5)
    axes.axvline(best_epoch, color=GREY, linestyle=":", label=f"best: epoch {best_epoch}")
    if (history["train/loss"] > 0).all():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="epoch", ylabel=loss, title="Loss")
    axes.legend()
    return figure


def roc(labels: Array, probabilities: Array, score: Score) -> Figure:
    """Draw the ROC curve of the test part, with its area and interval.

    Shape:
        labels, probabilities: (N,), both outcomes present.
    """
    figure, axes = new_axes(4.6, 4.6, (0.55, 0.48, 0.14, 0.25))
    false_positive, true_positive, _ = roc_curve(labels, probabilities, drop_intermediate=False)
    axes.plot(false_positive, true_positive, color=MODEL, linewidth=2, clip_on=False, zorder=3)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.text(0.84, 0.79, "chance", color=GREY, rotation=45, ha="center", va="center", transform_rotates_text=True)
    title = f"ROC, test part: AUROC {interval_text(score)}"
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1), aspect="equal", title=title)
    return figure


def run_figures(
    history: pd.DataFrame,
    best_epoch: int,
    labels: Array,
    probabilities: Array,
    metrics: Mapping[str, Score],
    loss: str = "cross entropy",
) -> dict[str, Figure]:
    """Return the figures that the data of a run allow, by file name; `loss` is the name of the run's loss.

    Shape:
        labels, probabilities: (N,), of the test part.
    """
    with house_style():
        figures = {"loss": loss_curve(history, best_epoch, loss)} if len(history) > 1 else {}
        if metrics["test/auroc"].value is not None:
            figures["roc"] = roc(labels, probabilities, metrics["test/auroc"])
            figures["pr"] = precision_recall(labels, probabilities, metrics["test/auprc"])
        title = f"Risk by outcome, test part: Brier {interval_text(metrics['test/brier'], 3)}"
        figures["risk"] = risk_by_outcome(labels, probabilities[None], title)
    return figures
