"""Figures of every run: the loss, and the ROC curve of the test part."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from hemexp.figures.evaluation import roc, sensitivities
from hemexp.figures.style import GREY, NO, YES, house_style, new_axes
from hemexp.files.result import Score
from hemexp.types import Array


def loss_curve(history: pd.DataFrame, best_epoch: int, loss: str = "cross entropy") -> Figure:
    """Draw the loss of each epoch, as in figure 4 of the paper; the best epoch is marked.

    Args:
        history: ``epoch``, ``train/loss`` and, with a validation part, ``val/loss``.
        best_epoch: epoch of the weights that the run keeps.
        loss: its name.
    """
    figure, axes = new_axes(5.2, 3.4, (0.82, 0.48, 0.05, 0.25))
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


def run_figures(
    history: pd.DataFrame,
    best_epoch: int,
    labels: Array,
    probabilities: Array,
    metrics: Mapping[str, Score],
    name: str,
    loss: str = "cross entropy",
) -> dict[str, Figure]:
    """Return the figures that the data of a run allow, by file name.

    Args:
        history: as in `loss_curve`.
        best_epoch: as in `loss_curve`.
        labels: of the test part.
        probabilities: of the test part.
        metrics: its scores.
        name: of the model.
        loss: name of the run's loss.

    Shape:
        labels, probabilities: (N,).
    """
    with house_style():
        figures = {"loss": loss_curve(history, best_epoch, loss)} if len(history) > 1 else {}
        if (score := metrics["test/auroc"]).value is not None:
            figures["roc"] = roc({name: sensitivities(labels, probabilities)}, {name: score}, "test part")
        return figures
