"""Figures of uncertainty, instability and the importance of inputs."""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hemexp.figures import style
from hemexp.figures.style import GREY, MODEL, OUTCOMES, SMALL, readable
from hemexp.formatting import percent
from hemexp.types import Array


def uncertainty(table: pd.DataFrame) -> Figure:
    """Draw the calibrated risk of each test patient, lowest first, with its range (the Venn-Abers pair).

    Args:
        table: ``uncertainty.csv``.
    """
    figure, axes = style.new_axes(5.2, 3.8)
    test = table[table["role"] == "test"]
    test = test.assign(risk=test["high"] / (1 - test["low"] + test["high"])).sort_values("risk", kind="stable")
    place = np.arange(len(test))
    abstains = test["abstains"].to_numpy(dtype=bool)
    for outcome, color, name in (*OUTCOMES, (-1, GREY, "outcome unknown")):
        rows = (test["label"].fillna(-1) == outcome).to_numpy()
        if rows.any():
            part = test[rows]
            axes.vlines(place[rows], part["low"], part["high"], color=color, linewidth=2, alpha=0.5)
            faces = np.where(abstains[rows], "white", color)
            axes.scatter(place[rows], part["risk"], c=faces, edgecolors=color, s=22, zorder=3, clip_on=False)
            axes.scatter([], [], color=color, s=26, label=name)
    if abstains.any():
        axes.scatter([], [], color="white", edgecolors="black", s=26, label="no decision")
    if len(test):
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=SMALL)
    else:
        style.write_note(axes, "no test patients")
    axes.set_xticks([])  # without patient ids: the figure is shown in the report
    axes.grid(visible=False, axis="x")
    axes.set(xlim=(-0.7, max(len(test), 1) - 0.3), ylim=(0, 1), ylabel="calibrated risk of expansion")
    axes.set(xlabel="test patients, lowest risk first (bars: range)")
    axes.set_title(f"No decision for {abstains.sum()} of {len(test)} test patients")
    return figure


def instability(probability: Array, refits: Array, labels: Array) -> Figure:
    """Draw each patient's risk against the risks of the refitted models (Riley and Collins, Biometrical Journal 2023).

    The dashed lines are the patients' 2.5 and 97.5 % quantiles, smoothed over the risk.

    Shape:
        probability, labels: (N,); refits: (B, N), fitted to bootstrap samples.
    """
    figure, axes = style.new_axes(5.4, 5.7)
    alpha = float(np.clip(24 / max(len(refits), 1), 0.12, 0.6))
    for outcome, color, name in OUTCOMES:
        rows = labels == outcome
        risks = np.broadcast_to(probability[rows], refits[:, rows].shape)
        axes.scatter(risks, refits[:, rows], s=5, color=color, alpha=alpha, linewidths=0)
        axes.scatter([], [], s=25, color=color, label=name)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.2)
    low, high = np.quantile(refits, [0.025, 0.975], axis=0)
    width = max(0.1 * float(np.ptp(probability)), 0.01)  # of the smoothing kernel
    grid = np.linspace(probability.min() - 0.02, probability.max() + 0.02, 100)
    weights = np.exp(-0.5 * ((grid[:, None] - probability) / width) ** 2)  # (100, N)
    for bound in (low, high):
        axes.plot(grid, weights @ bound / weights.sum(axis=1), color="black", linestyle="--", linewidth=1.3)
    axes.plot([], [], color="black", linestyle="--", linewidth=1.3, label="95 % of refits")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=SMALL)
    axes.set(xlabel="risk by this model", ylabel="risk by models refitted to bootstrap samples")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_title(
        "Would a model from other patients give the same risk?\n"
        f"({len(refits)} refits, one dot for each patient and refit)"
    )
    return figure


def attributions(table: pd.DataFrame, top: int = 10) -> Figure:
    """Draw the most important inputs, and in how many fits they are important.

    Args:
        table: ``attributions.csv``, the most important first.
        top: inputs drawn at most.
    """
    table = table.dropna(subset=["importance"]).head(top)
    figure, axes = style.new_axes(5.2, 1.2 + 0.38 * max(len(table), 3))
    heights = [-float(row) for row in range(len(table))]
    axes.barh(heights, table["importance"], color=MODEL, alpha=0.75, height=0.62)
    axes.hlines(heights, table["low"], table["high"], color="#222222", linewidth=1.3)
    style.name_rows(axes, [fill(readable(name), 22, max_lines=2, placeholder="…") for name in table["feature"]], 10)
    for height, share in zip(heights, table["top10_share"], strict=True):
        style.margin_text(axes, height, percent(share))
    if table.empty:
        style.write_note(axes, "no input has an importance")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("loss of AUROC when the input is shuffled\n(lines: 95 % intervals)")
    style.write_title(figure, "Inputs that matter (right: share of fits, in the top ten)")
    return figure
