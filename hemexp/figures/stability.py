"""Figures of uncertainty, instability, the importance of inputs, and attention."""

from itertools import groupby
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hemexp.cohort import columns as c
from hemexp.figures import style
from hemexp.figures.style import GREY, MODEL, OUTCOMES, SMALL, readable
from hemexp.formatting import percent
from hemexp.types import Array

_MOST_NAMES = 20  # names of inputs that fit beside an attention map
_GAP = (0.12, 0.32)  # inches between panels; the title of a head is in the vertical one


def uncertainty(table: pd.DataFrame) -> Figure:
    """Draw the test patients by risk, each with a corrected risk as a range (the Venn-Abers pair).

    The risk by the model may lie outside the range.

    Args:
        table: ``uncertainty.csv``.
    """
    figure, axes = style.new_axes(7, 4.2)
    test = table[table["role"] == "test"].dropna(subset=["probability"]).sort_values("probability", kind="stable")
    place = np.arange(len(test))
    abstains = test["abstains"].to_numpy(dtype=bool)
    for outcome, color, name in (*OUTCOMES, (-1, GREY, "outcome unknown")):
        rows = (test["label"].fillna(-1) == outcome).to_numpy()
        if rows.any():
            part = test[rows]
            axes.vlines(place[rows], part["low"], part["high"], color=color, linewidth=2, alpha=0.5)
            faces = np.where(abstains[rows], "white", color)
            axes.scatter(place[rows], part["probability"], c=faces, edgecolors=color, s=26, zorder=3, clip_on=False)
            axes.scatter([], [], color=color, s=26, label=name)
    if abstains.any():
        axes.scatter([], [], color="white", edgecolors="black", s=26, label="model abstains")
    if len(test):
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=SMALL)
    else:
        style.write_note(axes, "no test patients")
    axes.set_xticks([])  # without patient ids: the figure is shown in the report
    axes.grid(visible=False, axis="x")
    axes.set(xlim=(-0.7, max(len(test), 1) - 0.3), ylim=(0, 1), ylabel="risk of expansion")
    axes.set_xlabel("test patients, lowest risk first (dots: risk by the model; bars: corrected risk as a range)")
    axes.set_title(
        f"Corrected risk of each patient: the model abstains for {abstains.sum()} of {len(test)} test patients"
    )
    return figure


def instability(probability: Array, refits: Array, labels: Array) -> Figure:
    """Draw each patient's risk against the risks of the refitted models (Riley and Collins, Biometrical Journal 2023).

    The dashed lines are the patients' 2.5 and 97.5 % quantiles, smoothed over the risk.

    Shape:
        probability, labels: (N,); refits: (B, N), fitted to bootstrap samples.
    """
    figure, axes = style.new_axes(5.4, 5.7)
    for outcome, color, name in OUTCOMES:
        rows = labels == outcome
        risks = np.broadcast_to(probability[rows], refits[:, rows].shape)
        axes.scatter(risks, refits[:, rows], s=5, color=color, alpha=0.12, linewidths=0)
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


def attributions(table: pd.DataFrame, top: int = 15) -> Figure:
    """Draw the most important inputs, and in how many fits they are important.

    Args:
        table: ``attributions.csv``, the most important first.
        top: inputs drawn at most.
    """
    table = table.dropna(subset=["importance"]).head(top)
    figure, axes = style.new_axes(7, 1.4 + 0.34 * max(len(table), 3))
    heights = [-float(row) for row in range(len(table))]
    axes.barh(heights, table["importance"], color=MODEL, alpha=0.75, height=0.62)
    axes.hlines(heights, table["low"], table["high"], color="#222222", linewidth=1.3)
    style.name_rows(axes, [fill(readable(name), 30, max_lines=2, placeholder="…") for name in table["feature"]])
    for height, share in zip(heights, table["top10_share"], strict=True):
        style.margin_text(axes, height, f"in {percent(share)} of fits")
    if table.empty:
        style.write_note(axes, "no input has an importance")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("loss of AUROC in held-out patients when the input is shuffled\n(lines: 95 % intervals)")
    style.write_title(figure, "Inputs that the predicted risk depends on (right: how often in the top ten)")
    return figure


def attention(maps: Array, names: list[str]) -> Figure:
    """Draw the attention of each input to each other input, one panel for each head.

    Args:
        maps: means over held-out patients; every row sums to 1.
        names: of the inputs, in order.

    Shape:
        maps: (H, F, F).
    """
    num_heads, num_inputs = maps.shape[:2]
    across = min(num_heads, 2 if num_heads in (2, 4) else 3)
    down = -(-num_heads // across)
    side = {1: 4.0, 2: 2.4, 3: 1.7}[across]  # inches, as all lengths here
    centers, texts, edges = _ticks(names)
    label = 0.15 + 0.075 * max(len(text) for text in texts)
    left, bottom, right, top = label, label, 1.25, 0.85
    width = left + across * (side + _GAP[0]) - _GAP[0] + right
    height = bottom + down * (side + _GAP[1]) - _GAP[1] + top
    figure = Figure(figsize=(width, height))
    margins = {"left": left / width, "right": 1 - right / width, "bottom": bottom / height, "top": 1 - top / height}
    spaces = {"wspace": _GAP[0] / side, "hspace": _GAP[1] / side}
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True, gridspec_kw=margins | spaces)
    most = min(max(float(np.quantile(maps, 0.995)), 2 / num_inputs), 1.0)
    for head, axes in enumerate(panels.flat):
        if head >= num_heads:
            axes.set_visible(False)
            continue
        image = axes.imshow(maps[head], cmap="viridis", vmin=0, vmax=most, interpolation="nearest")
        for edge in edges:
            axes.axvline(edge, color="white", linewidth=0.6)
            axes.axhline(edge, color="white", linewidth=0.6)
        axes.grid(visible=False)
        axes.set_title(f"head {head + 1}", fontsize=10)
        axes.set_xticks(centers, texts, rotation=90, fontsize=SMALL)
        axes.set_yticks(centers, texts, fontsize=SMALL)
        axes.tick_params(length=0, labelbottom=head + across >= num_heads)
    box = (1 - (right - 0.15) / width, margins["bottom"], 0.13 / width, margins["top"] - margins["bottom"])
    bar = figure.colorbar(image, cax=figure.add_axes(box), extend="max" if maps.max() > most else "neither")
    bar.set_label(f"share of attention\n(equal shares: {1 / num_inputs:.3f})", fontsize=SMALL)
    style.write_title(figure, "Attention of each input (row) to each input (column):\nmean over held-out patients")
    return figure


def _ticks(names: list[str]) -> tuple[list[float], list[str], list[float]]:
    """Return the positions and texts of the labels and the dividing lines: by input, by block, or every nth input."""
    if len(names) <= _MOST_NAMES:
        return list(range(len(names))), [_short(name) for name in names], []
    blocks = [(block, len(list(members))) for block, members in groupby(names, key=_block)]
    if 1 < len(blocks) <= _MOST_NAMES:
        ends = np.cumsum([size for _, size in blocks])
        starts = ends - [size for _, size in blocks]
        return (
            list((starts + ends - 1) / 2),
            [f"{block} ({size})" if size > len(names) / 30 else "" for block, size in blocks],
            list(ends[:-1] - 0.5),
        )
    chosen = range(0, len(names), -(-len(names) // 12))
    return list(chosen), [_short(names[place]) for place in chosen], []


def _short(name: str) -> str:
    name = readable(name)
    return name if len(name) <= 30 else name[:29] + "…"


def _block(name: str) -> str:
    if name in c.TREATMENTS:
        return "treatments"
    if name in c.CLINICAL or name == "onset_to_first_scan":
        return "patient"
    tissue = {"HM": "hematoma", "Hemo": "hematoma", "ED": "edema"}.get(name.split("_")[0], "other")
    return f"{tissue} " + ("shape" if "_shape_" in name else "density" if "_firstorder_" in name else "site")
