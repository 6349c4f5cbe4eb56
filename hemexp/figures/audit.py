"""The picture of an audit: accuracy and AUROC of every protocol."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hemexp.audit.figure4 import PRINTED, Figure4
from hemexp.audit.run import Audit, Row
from hemexp.config import get_model_title
from hemexp.config.audit import KINDS
from hemexp.figures.style import BASELINE, GREY, MODEL, SMALL, YES, write_title

_COLORS = dict(zip(KINDS, (MODEL, BASELINE, YES), strict=True))
_MARKERS = {"logistic": "o", "random_forest": "s", "sacnn": "D"}


def draw_audit(audit: Audit) -> Figure:
    """Draw the mean accuracy and AUROC of every protocol and model, with bars of one standard deviation.

    Protocols are ordered by their highest AUROC. The colors are the kinds of protocols.
    """
    names = sort_protocols(audit)
    figure = Figure(figsize=(7, 1.6 + 0.3 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    models = list(dict.fromkeys(row.model for row in audit.rows))
    for axes, score in ((left, "accuracy"), (right, "auroc")):
        for row in audit.rows:
            shift = 0.22 * (models.index(row.model) - (len(models) - 1) / 2)
            axes.errorbar(
                row.mean(score), -names.index(row.protocol.name) - shift, xerr=row.spread(score),
                fmt=_MARKERS.get(row.model, "o"), markersize=4.5, elinewidth=1,
                color=_COLORS[row.protocol.kind],
            )  # fmt: skip
        axes.set_xlim(0.3, 1.03)
        axes.set_ylim(-len(names) + 0.4, 0.6)
    majority = [np.mean([row.mean("majority_accuracy") for row in _rows(audit, name)]) for name in names]
    for place, share in enumerate(majority):
        left.plot([share, share], [-place - 0.45, -place + 0.45], color=GREY, linewidth=1.5)
    right.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
    left.set_yticks(-np.arange(len(names)), names, fontsize=SMALL)
    left.set_xlabel("accuracy\n(grey: always the majority)")
    right.set_xlabel("AUROC\n(dashed: chance)")
    handles = [
        Line2D([], [], marker=_MARKERS.get(model, "o"), color=GREY, linestyle="", label=get_model_title(model))
        for model in models
    ]
    handles += [Line2D([], [], marker="o", color=color, linestyle="", label=text) for text, color in _COLORS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=SMALL)
    write_title(figure, "What each protocol scores on the same patients (bars: one SD over seeds)")
    return figure


def draw_figure4(found: Figure4) -> Figure:
    """Draw the training loss of every setting, the median of its seeds, beside the printed points of the paper."""
    settings = list(found.fits["setting"])
    columns = 3
    figure = Figure(figsize=(7, 1.75 * -(-len(settings) // columns)), layout="constrained")
    panels = figure.subplots(-(-len(settings) // columns), columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, setting, follows in zip(panels, settings, found.fits["follows"], strict=False):
        own = found.curves[found.curves["setting"] == setting].pivot(index="epoch", columns="seed", values="loss")
        color = YES if follows else GREY
        axes.plot(own.index, own.to_numpy(), color=color, linewidth=0.6, alpha=0.6)
        axes.plot(own.index, own.ffill().median(axis=1), color=color, linewidth=1.8)
        axes.plot(list(PRINTED), list(PRINTED.values()), "x", color="black", markersize=7)
        axes.set_title(setting, fontsize=SMALL)
        axes.set_ylim(0, 0.8)
    for axes in panels[len(settings) :]:
        axes.set_axis_off()
    figure.supxlabel("epoch", fontsize=SMALL)
    figure.supylabel("training loss", fontsize=SMALL)
    write_title(figure, "Which settings follow figure 4 of the paper? Crosses: printed; red: follows")
    return figure


def sort_protocols(audit: Audit) -> list[str]:
    """Return the names of the protocols, the highest AUROC first."""
    names = dict.fromkeys(row.protocol.name for row in audit.rows)
    return sorted(names, key=lambda name: -max(row.mean("auroc") for row in _rows(audit, name)))


def _rows(audit: Audit, name: str) -> list[Row]:
    return [row for row in audit.rows if row.protocol.name == name]
