"""Which pictures a run gets: those that what was found allows, by file name."""

from collections.abc import Callable

import torch
from matplotlib.figure import Figure

from hemexp.evaluation.evaluate import Evaluation
from hemexp.figures import evaluation, forest, stability
from hemexp.figures.style import house_style
from hemexp.models.network import FittedNetwork
from hemexp.models.sacnn import AttentionBranch
from hemexp.types import Array


def evaluation_figures(found: Evaluation) -> dict[str, Figure]:
    """Draw what the evaluation found."""
    tables, blocks, labels, risks = found.tables, found.blocks, found.labels, found.probabilities
    drawings: dict[str, Callable[[], Figure]] = {}
    if labels is not None and risks is not None:
        drawings["cv_auroc"] = lambda: forest.cv_auroc(tables["cv_scores"], blocks["comparison"])
        drawings["comparison"] = lambda: forest.comparison(blocks["comparison"])
        drawings["calibration"] = lambda: evaluation.calibration(
            labels, risks, tables["calibration_curve"], blocks["calibration"]["cv"] or {}
        )
        drawings["decision_curve"] = lambda: evaluation.decision_curve(tables["decision_curve"])
        drawings["cv_risk"] = lambda: evaluation.risk_by_outcome(labels, risks, "Risk by outcome, cross-validated")
        drawings["subgroups"] = lambda: forest.subgroups(blocks["subgroups"])
    if "uncertainty" in tables:
        drawings["uncertainty"] = lambda: stability.uncertainty(tables["uncertainty"])
    if found.refits is not None:
        refits, whole = found.refits
        outcome = tables["instability"]["label"].to_numpy()
        drawings["instability"] = lambda: stability.instability(whole, refits, outcome)
    if "attributions" in tables:
        drawings["attributions"] = lambda: stability.attributions(tables["attributions"])
    if "label_sensitivity" in blocks:
        drawings["label_sensitivity"] = lambda: forest.label_sensitivity(blocks["label_sensitivity"])
    with house_style():
        return {name: draw() for name, draw in drawings.items()}


def attention_figures(net: FittedNetwork, raw: Array) -> dict[str, Figure]:
    """Draw the mean attention of each head over patients; nothing for a network without attention.

    Shape:
        raw: (N, F), NaN marks a gap.
    """
    branch = next((each for each in net.net.branches.values() if isinstance(each, AttentionBranch)), None)
    if branch is None or not len(raw):
        return {}
    with torch.inference_mode():
        inputs = net.inputs(torch.tensor(raw, dtype=net.dtype)).split(64)
        maps = torch.cat([branch.attention(some).sum(0, keepdim=True) for some in inputs]).sum(0) / len(raw)
    with house_style():
        return {"attention": stability.attention(maps.double().numpy(), net.features)}
