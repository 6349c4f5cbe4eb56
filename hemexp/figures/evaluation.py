"""Figures of the evaluation: precision and recall, calibration, decision curve, risks by outcome."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.metrics import precision_recall_curve

from hemexp.config import get_model_title
from hemexp.figures.style import BASELINE, GREY, MODEL, OUTCOMES, SMALL, margin_text, new_axes, write_note
from hemexp.files.result import Calibration, Score
from hemexp.formatting import interval_text, percent
from hemexp.types import Array

_SAME = 0.03  # a smaller range of risks is drawn as one risk: the prevalences of the folds differ by as much


def precision_recall(labels: Array, probabilities: Array, score: Score) -> Figure:
    """Draw precision against recall in the test part, with the prevalence as reference.

    Args:
        labels: 1 or 0.
        probabilities: of 1.
        score: the area under the curve (average precision).

    Shape:
        labels, probabilities: (N,).
    """
    figure, axes = new_axes(4.8, 4.6, (0.56, 0.47, 0.8, 0.43))
    prevalence = float(labels.mean()) if len(labels) else 0.0
    if prevalence > 0:
        precision, recall, _ = precision_recall_curve(labels, probabilities)
        # as in the average precision
        best = pd.Series(precision[:-1]).groupby(recall[:-1]).max().drop(0.0, errors="ignore")
        steps = np.r_[best.iloc[0], best]
        axes.step(np.r_[0, best.index], steps, where="pre", color=MODEL, linewidth=2, clip_on=False, zorder=3)
        axes.axhline(prevalence, color=GREY, linestyle="--", linewidth=1)
        margin_text(axes, prevalence, f"prevalence\n{percent(prevalence)}", points=4)
    else:
        write_note(axes, "no expansion in the test part:\nno curve")
    axes.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)", xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    axes.set_title(f"Precision and recall, test part:\naverage precision {interval_text(score)}")
    return figure


def calibration(
    labels: Array, probabilities: Array, curve: pd.DataFrame, scores: Calibration | None, where: str = "cross-validated"
) -> Figure:
    """Draw the observed share of expansion at each predicted risk, and below it the number of patients.

    Args:
        labels: 1 or 0.
        probabilities: out of fold, one row for each repeat.
        curve: ``risk`` and smoothed ``observed``, with a band from ``low`` to ``high`` if it has one; without a range
            of risks no curve is drawn.
        scores: intercept and slope; None: not defined.
        where: the patients, in words.

    Shape:
        labels: (N,); probabilities: (R, N).
    """
    figure = Figure(figsize=(5.2, 6.2), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    curve = curve.dropna()
    risk, outcomes = probabilities.ravel(), np.tile(labels, len(probabilities))
    has_curve = len(curve) > 0 and np.ptp(curve["risk"]) > _SAME
    top = _ceiling(risk, curve.get("high", curve["observed"]) if has_curve else labels.mean(keepdims=True))
    axes.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1)
    axes.text(
        0.9 * top, 0.86 * top, "ideal", color=GREY, ha="center", va="center", rotation=45, transform_rotates_text=True
    )
    if has_curve:
        axes.plot(curve["risk"], curve["observed"], color=MODEL, linewidth=2)
        if "low" in curve:
            axes.fill_between(curve["risk"], curve["low"], curve["high"], color=MODEL, alpha=0.2, linewidth=0)
    else:
        write_note(axes, "all patients have about the same risk:\nno curve", height=0.1)
        axes.plot(risk.mean(), labels.mean(), "o", color=MODEL)
    bins = np.linspace(0, top, 26)
    for outcome, color, name in OUTCOMES:
        counts = np.histogram(risk[outcomes == outcome], bins)[0] / len(probabilities) * (1 if outcome else -1)
        below.bar(bins[:-1], counts, width=np.diff(bins) * 0.9, align="edge", color=color, label=name)
    below.yaxis.set_major_formatter(lambda count, _: f"{abs(count):g}")
    below.yaxis.get_major_locator().set_params(integer=True, nbins=4)
    figure.legend(*below.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=SMALL)
    below.axhline(0, color="black", linewidth=0.8)
    repeats = " (all repeats)" if len(probabilities) > 1 else ""
    below.set(xlabel=f"predicted risk of expansion{repeats}", ylabel="patients", xlim=(0, top))
    axes.set(ylabel="observed share with expansion", ylim=(0, top))
    axes.set_title(
        f"Calibration, {where} (95 % intervals)\n"
        f"slope {interval_text(scores.slope if scores else None)}, ideal 1\n"
        f"intercept {interval_text(scores.intercept if scores else None)}, ideal 0"
    )
    return figure


def decision_curve(table: pd.DataFrame, where: str = "cross-validated") -> Figure:
    """Draw the net benefit of each strategy over the threshold of risk for treatment.

    Large harms are cut off, so that the curves stay visible (Van Calster et al., European Urology 2018;74:796-804).

    Args:
        table: ``decision_curve.csv``, the model first.
        where: the patients, in words.
    """
    figure, axes = new_axes(6.4, 4.2)
    styles: dict[str, dict[str, Any]] = {
        "treat none": {"color": "black", "linewidth": 1},
        "treat all": {"color": GREY, "linewidth": 1.5, "linestyle": "--"},
        "ridge2": {"color": BASELINE, "linewidth": 1.8, "linestyle": "-."},
    }
    table = table.dropna()
    if len(table):
        names = table["strategy"].unique()
        for order, name in enumerate(names):
            style = {"color": MODEL, "linewidth": 2.2, "zorder": 4} if order == 0 else styles.get(name, {})
            line = table[table["strategy"] == name]
            axes.plot(line["threshold"], line["net_benefit"], label=get_model_title(name), **style)
        top = max(float(table["net_benefit"].max()), 0.02)
        axes.set(xlim=(table["threshold"].min(), table["threshold"].max()), ylim=(-0.25 * top, 1.1 * top))
        axes.legend()
    else:
        write_note(axes, "no decision curve")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.set_xlabel("threshold: risk from which a patient is treated")
    axes.set_ylabel("net benefit (true positives per patient)")
    axes.set_title(f"Decision curve: does treatment by the model help? ({where})")
    return figure


def risk_by_outcome(labels: Array, probabilities: Array, title: str) -> Figure:
    """Draw the distribution of the predicted risks for each outcome; overlap shows what the model cannot separate.

    Args:
        labels: 1 or 0.
        probabilities: one row for each repeat; all are counted, because their mean would be the risk of an ensemble.
        title: of the figure.

    Shape:
        labels: (N,); probabilities: (R, N).
    """
    figure, axes = new_axes(6.4, 3.4, (1.02, 0.48, 0.2, 0.25))
    top = _ceiling(probabilities.ravel())
    bins = np.linspace(0, top, 26)
    risks = {outcome: probabilities[:, labels == outcome].ravel() for outcome in (0, 1)}
    shares = {outcome: np.histogram(values, bins)[0] / max(len(values), 1) for outcome, values in risks.items()}
    highest = max(share.max() for share in shares.values()) or 1
    for outcome, color, _ in OUTCOMES:
        heights = 0.7 * shares[outcome] / highest
        axes.stairs(outcome + heights, bins, baseline=outcome, fill=True, color=color, alpha=0.55)
        if len(risks[outcome]):
            axes.plot([np.median(risks[outcome])] * 2, [outcome, outcome + 0.78], color=color, linewidth=2.5)
    counts = [int((labels == outcome).sum()) for outcome in (0, 1)]
    axes.set_yticks([0.3, 1.3], [f"no expansion\n(n = {counts[0]})", f"expansion\n(n = {counts[1]})"])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    if len(labels):
        axes.axvline(float(labels.mean()), color=GREY, linestyle="--", linewidth=1)
    label = "predicted risk of expansion (solid lines: medians; dashed: observed share)"
    axes.set(xlabel=label, xlim=(0, top), ylim=(0, 1.85), title=title)
    return figure


def _ceiling(*risks: Any) -> float:
    """Return the upper end of a risk axis: 1, or less where all risks are lower."""
    highest = max((float(np.max(risk)) for risk in risks if len(risk)), default=1.0)
    return float(np.clip(np.ceil(highest * 10 + 0.5) / 10, 0.4, 1))
