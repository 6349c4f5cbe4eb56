"""Figures of an evaluation and of a network's attention, by file name."""

from collections.abc import Callable

import torch
from matplotlib.figure import Figure

from hemexp.evaluation.evaluate import Evaluation
from hemexp.figures import evaluation, forest, stability
from hemexp.figures.style import house_style
from hemexp.models.network import FittedNetwork
from hemexp.models.sacnn import AttentionBranch
from hemexp.types import Array


def evaluation_figures(evaluated: Evaluation) -> dict[str, Figure]:
    """Draw the parts of the evaluation that were done."""
    tables, blocks, labels, risks = evaluated.tables, evaluated.blocks, evaluated.labels, evaluated.probabilities
    drawings: dict[str, Callable[[], Figure]] = {}
    if labels is not None and risks is not None:
        drawings["cv_auroc"] = lambda: forest.cv_auroc(tables["cv_scores"], blocks.comparison)
        drawings["comparison"] = lambda: forest.comparison(blocks.comparison)
        drawings["calibration"] = lambda: evaluation.calibration(
            labels, risks, tables["calibration_curve"], blocks.calibration.cv if blocks.calibration else None
        )
        drawings["decision_curve"] = lambda: evaluation.decision_curve(tables["decision_curve"])
        drawings["cv_risk"] = lambda: evaluation.risk_by_outcome(labels, risks, "Risk by outcome, cross-validated")
        drawings["subgroups"] = lambda: forest.subgroups(blocks.subgroups)
    if "uncertainty" in tables:
        drawings["uncertainty"] = lambda: stability.uncertainty(tables["uncertainty"])
    if evaluated.refits is not None:
        refits, whole = evaluated.refits
        outcome = tables["instability"]["label"].to_numpy()
        drawings["instability"] = lambda: stability.instability(whole, refits, outcome)
    if "attributions" in tables:
        drawings["attributions"] = lambda: stability.attributions(tables["attributions"])
    if blocks.label_sensitivity:
        drawings["label_sensitivity"] = lambda: forest.label_sensitivity(blocks.label_sensitivity)
    with house_style():
        return {name: draw() for name, draw in drawings.items()}


def attention_figures(net: FittedNetwork, raw: Array) -> dict[str, Figure]:
    """Draw the mean attention of each head over patients; return nothing for a network without attention.

    Shape:
        raw: (N, F), NaN where a value is missing.
    """
    branch = next((branch for branch in net.net.branches.values() if isinstance(branch, AttentionBranch)), None)
    if branch is None or not len(raw):
        return {}
    with torch.inference_mode():
        inputs = net.inputs(torch.tensor(raw, dtype=net.dtype)).split(64)
        maps = torch.cat([branch.attention(batch).sum(0, keepdim=True) for batch in inputs]).sum(0) / len(raw)
    with house_style():
        return {"attention": stability.attention(maps.double().numpy(), net.features)}
