"""Figures 2, 3 and 4 of the paper (Yu 2024), drawn from a cohort and from the network as it is built."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hemexp.audit.paper import PaperFits, count_patient_flow, describe_network, load_printed
from hemexp.cohort.load import Cohort
from hemexp.figures.style import GREY, MODEL, NO, SMALL, YES, house_style, new_axes, write_title

_STEP, _HALF = 0.8, 0.3  # inches from row to row; half the height of a box, in rows


def _box(axes: Axes, x: float, y: float, text: str, color: str = "#222222") -> None:
    axes.text(
        x, y, text, ha="center", va="center", fontsize=SMALL, linespacing=1.3,
        bbox={"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": color, "linewidth": 1.2},
    )  # fmt: skip


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow from the lower edge of a box to the upper edge of another."""
    arrow = {"arrowstyle": "-|>", "color": GREY, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (end[0], end[1] + _HALF), (start[0], start[1] - _HALF), arrowprops=arrow)


def _empty_axes(rows: float) -> tuple[Figure, Axes]:
    figure, axes = new_axes(7, 0.4 + _STEP * rows)
    axes.set(xlim=(0, 1), ylim=(-rows + 0.5, 0.5))
    axes.set_axis_off()
    return figure, axes


def draw_patient_flow(flow: pd.DataFrame) -> Figure:
    """Draw the patients and scans after each step of the pre-processing, as in figure 2.

    Args:
        flow: as `hemexp.audit.paper.count_patient_flow` returns it.
    """
    *steps, train, test = flow.to_dict("records")
    figure, axes = _empty_axes(len(steps) + 1)
    for place, row in enumerate(steps):
        _box(axes, 0.33, -place, _flow_text(row))
        axes.text(0.62, -place, row["note"].replace("; ", "\n"), va="center", fontsize=SMALL, color=GREY)
        if place:
            _arrow(axes, (0.33, 1 - place), (0.33, -place))
    for x, row, color in ((0.16, train, NO), (0.5, test, YES)):
        _arrow(axes, (0.33, 1 - len(steps)), (x, -len(steps)))
        _box(axes, x, -len(steps), _flow_text(row), color)
    axes.text(0.69, -len(steps), test["note"], va="center", fontsize=SMALL, color=GREY)
    write_title(figure, "Figure 2: patients and scans after each step of the pre-processing")
    return figure


def _flow_text(row: Mapping[Any, Any]) -> str:
    scans = f", {row['scans']} scans" if row["scans"] != row["patients"] else ""
    events = "" if pd.isna(row["with_expansion"]) else f", {row['with_expansion']} with expansion"
    return f"{row['step']}\n{row['patients']} patients{scans}{events}"


def draw_network(layers: pd.DataFrame) -> Figure:
    """Draw the layers of the network with the shape of their output and their parameters, as in figure 3.

    Args:
        layers: as `hemexp.audit.paper.describe_network` returns it.
    """
    names = layers["layer"]
    in_conv, joined = names.str.startswith("branches.conv."), names.isin(["hidden", "dropout", "output", "softmax"])
    projections = names.str.contains("query|key|value")
    boxes = [
        [[row] for row in layers[in_conv].to_dict("records")],
        [[row] for row in layers[~in_conv & ~joined & ~projections].to_dict("records")],
        [[row] for row in layers[joined].to_dict("records")],
    ]
    boxes[1].insert(1, layers[projections].to_dict("records"))  # computed side by side
    longest = max(map(len, boxes[:2]))
    figure, axes = _empty_axes(1 + longest + len(boxes[2]))
    _box(axes, 0.5, 0, f"{layers['output'].iloc[0].rpartition(' ')[2]} inputs of a patient")
    for branch, x, color in ((boxes[0], 0.24, NO), (boxes[1], 0.76, MODEL)):
        _draw_chain(axes, branch, (x, -1), (0.5, 0), color)
        _arrow(axes, (x, -len(branch)), (0.5, -longest - 1))
    _draw_chain(axes, boxes[2], (0.5, -longest - 1), None, "#222222")
    total = layers.drop_duplicates("layer")["parameters"].sum()
    write_title(figure, f"Figure 3: the network as it is built, {total:,} parameters, beside the paper's text")
    return figure


def _draw_chain(
    axes: Axes,
    boxes: Sequence[Sequence[Mapping[Any, Any]]],
    first: tuple[float, float],
    above: tuple[float, float] | None,
    color: str,
) -> None:
    """Draw boxes of layers one below the other, each with an arrow from the box above it."""
    for place, rows in enumerate(boxes):
        x, y = first[0], first[1] - place
        if above:
            _arrow(axes, above, (x, y))
        above, row = (x, y), rows[0]
        names = ", ".join(each["layer"].rpartition(".")[2] for each in rows)
        times = f"{len(rows)} x " if len(rows) > 1 else ""
        parameters = f"; {times}{row['parameters']:,} parameters" if row["parameters"] else ""
        said = "; ".join(each["printed"] for each in rows)
        _box(axes, x, y, f"{names}: {row['output']}{parameters}\npaper: {said}", color)


def draw_losses(histories: Mapping[str, pd.DataFrame], printed: Sequence[Sequence[float]]) -> Figure:
    """Draw the training loss of each epoch beside the points that the paper describes, as in figure 4.

    Args:
        histories: ``epoch, train/loss`` by the patients that the network learns from.
        printed: epoch and loss of each printed point.
    """
    figure, axes = new_axes(7, 4)
    for (name, history), color in zip(histories.items(), (NO, YES), strict=False):
        epochs, losses = history["epoch"] + 1, history["train/loss"]
        axes.plot(epochs, losses, color=color, linewidth=1.6, label=f"this cohort, learned from: {name}")
        axes.plot(epochs.iloc[-1], losses.iloc[-1], "o", color=color, markersize=5)
    axes.plot(*zip(*printed, strict=True), "D--", color="#222222", linewidth=1, label="printed in section 3.4")
    for epoch, loss in printed:
        axes.annotate(f"{loss:g}", (epoch, loss), (0, 7), textcoords="offset points", ha="center", fontsize=SMALL)
    axes.set(xlabel="epoch", ylabel="training loss (cross entropy)", ylim=(0, None), xlim=(0, None))
    axes.legend(fontsize=SMALL)
    write_title(figure, "Figure 4: training loss of the default network (dots: end of the training)")
    return figure


def paper_figures(cohort: Cohort, fits: PaperFits) -> dict[str, Figure]:
    """Return the figures of a cohort and of the networks that were trained on it, by the paper's names."""
    with house_style():
        return {
            "Figure 2": draw_patient_flow(count_patient_flow(cohort)),
            "Figure 3": draw_network(describe_network()),
            "Figure 4": draw_losses(fits.histories, load_printed()["loss"]),
        }
