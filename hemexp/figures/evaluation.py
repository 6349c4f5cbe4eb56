"""Figures of the evaluation: ROC curves, calibration and decision curve."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hemexp.config import get_model_title
from hemexp.figures.style import BASELINE, GREY, MODEL, OUTCOMES, SMALL, new_axes, write_note
from hemexp.files.result import Calibration, Score
from hemexp.formatting import bounds, interval_text
from hemexp.types import Array

RATES = np.linspace(0, 1, 101)  # false-alarm rates at which ROC curves are drawn
_SAME = 0.03  # a smaller range of risks is drawn as one risk: the prevalences of the folds differ by as much


def roc(curves: Mapping[str, Array], scores: Mapping[str, Score], where: str) -> Figure:
    """Draw the ROC curve of the model, of the best baseline and, thin, of the other baselines.

    Args:
        curves: the sensitivity at each rate of `RATES` by model, the model of the run first.
        scores: the AUROC of each model.
        where: the scored patients, for the title.
    """
    figure, axes = new_axes(4.6, 4.8, (0.55, 0.48, 0.14, 0.3))
    model, *baselines = curves
    baselines = sorted((name for name in baselines if name != "prevalence"), key=lambda name: -bounds(scores[name])[0])
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="coin, 0.50")
    for place, name in enumerate([model, *baselines]):
        style: dict[str, Any] = {"color": GREY, "linewidth": 0.8, "alpha": 0.7}
        if place < 2:
            style = {"color": BASELINE if place else MODEL, "linewidth": 1.8, "zorder": 4 - place}
        label = (
            f"{get_model_title(name)}, {bounds(scores[name])[0]:.2f}" if place < 2 else "" if place > 2 else "others"
        )
        axes.plot(np.r_[0, RATES], np.r_[0, curves[name]], clip_on=False, label=label, **style)
    axes.legend(loc="lower right", fontsize=SMALL, title="AUROC", title_fontsize=SMALL, alignment="left")
    axes.set(xlabel="false alarms (1 - specificity)", ylabel="expansions found (sensitivity)", aspect="equal")
    axes.set(xlim=(0, 1), ylim=(0, 1), title=f"ROC curves, {where}")
    return figure


def mean_roc(predictions: pd.DataFrame) -> dict[str, Array]:
    """Return the mean ROC curve over the folds of each model; its area is the mean AUROC of the folds.

    Args:
        predictions: ``cv_predictions.csv``; folds with one outcome are left out.
    """
    curves = {}
    for name, rows in predictions.groupby("model", sort=False):
        folds = [
            sensitivities(fold["label"].to_numpy(), fold["probability"].to_numpy())
            for _, fold in rows.groupby(["repeat", "fold"])
            if fold["label"].nunique() > 1
        ]
        if folds:
            curves[str(name)] = np.mean(folds, axis=0)
    return curves


def sensitivities(labels: Array, probabilities: Array) -> Array:
    """Return the sensitivity at each false-alarm rate of `RATES`; equal risks are joined by a straight line.

    Shape:
        labels, probabilities: (N,), both outcomes present; output: (101,).
    """
    order = np.argsort(-probabilities, kind="stable")
    last = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)  # of each group of equal risks
    found = np.cumsum(labels[order])[last]
    alarms = last + 1 - found
    curve: Array = np.interp(RATES, np.append(0, alarms / alarms[-1]), np.append(0, found / found[-1]))
    return curve


def calibration(
    labels: Array, probabilities: Array, curve: pd.DataFrame, scores: Calibration | None, where: str = "cross-validated"
) -> Figure:
    """Draw the observed share of expansion at each predicted risk with its band, and below it the number of patients.

    Args:
        labels: 1 or 0.
        probabilities: out of fold, one row for each repeat.
        curve: ``calibration_curve.csv``; without a range of risks no curve is drawn.
        scores: intercept and slope; None: not defined.
        where: the scored patients, for the title.

    Shape:
        labels: (N,); probabilities: (R, N).
    """
    figure = Figure(figsize=(5, 5.6), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    curve = curve.dropna(subset=["risk", "observed"])
    risk, outcomes = probabilities.ravel(), np.tile(labels, len(probabilities))
    has_curve = len(curve) > 0 and np.ptp(curve["risk"]) > _SAME
    top = _ceiling(risk, curve.get("high", curve["observed"]) if has_curve else labels.mean(keepdims=True))
    axes.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1)
    axes.text(
        0.9 * top, 0.86 * top, "ideal", color=GREY, ha="center", va="center", rotation=45, transform_rotates_text=True
    )
    if has_curve:
        axes.fill_between(curve["risk"], curve["low"], curve["high"], color=MODEL, alpha=0.18, linewidth=0)
        axes.plot(curve["risk"], curve["observed"], color=MODEL, linewidth=2)
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
        f"Calibration, {where} (band: 95 %)\n"
        f"slope {interval_text(scores.slope if scores else None)}, ideal 1\n"
        f"intercept {interval_text(scores.intercept if scores else None)}, ideal 0"
    )
    return figure


def decision_curve(table: pd.DataFrame, where: str = "cross-validated") -> Figure:
    """Draw the net benefit of each strategy over the threshold of risk for treatment.

    Large harms are cut off, so that the curves stay visible (Van Calster et al., European Urology 2018;74:796-804).

    Args:
        table: ``decision_curve.csv``, the model first.
        where: the scored patients, for the title.
    """
    figure, axes = new_axes(5.2, 4.2)
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
    axes.set_title(f"Decision curve, {where}")
    return figure


def _ceiling(*risks: Any) -> float:
    """Return the upper end of a risk axis: 1, or less where all risks are lower."""
    highest = max((float(np.max(risk)) for risk in risks if len(risk)), default=1.0)
    return float(np.clip(np.ceil(highest * 10 + 0.5) / 10, 0.4, 1))
