"""Figures of an evaluation and of a network's attention, by file name."""

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
    figures: dict[str, Figure] = {}
    with house_style():
        if labels is not None and risks is not None:
            figures["cv_auroc"] = forest.cv_auroc(tables["cv_scores"], blocks.comparison)
            figures["comparison"] = forest.comparison(blocks.comparison)
            figures["calibration"] = evaluation.calibration(
                labels, risks, tables["calibration_curve"], blocks.calibration.cv if blocks.calibration else None
            )
            figures["decision_curve"] = evaluation.decision_curve(tables["decision_curve"])
            figures["cv_risk"] = evaluation.risk_by_outcome(labels, risks, "Risk by outcome, cross-validated")
            figures["subgroups"] = forest.subgroups(blocks.subgroups)
        if blocks.by_center is not None:
            figures["centers"] = forest.centers(blocks.by_center)
        if "uncertainty" in tables:
            figures["uncertainty"] = stability.uncertainty(tables["uncertainty"])
        if evaluated.refits is not None:
            refits, whole = evaluated.refits
            outcome = tables["instability"]["label"].to_numpy()
            figures["instability"] = stability.instability(whole, refits, outcome)
        if "attributions" in tables:
            figures["attributions"] = stability.attributions(tables["attributions"])
        if blocks.label_sensitivity:
            figures["label_sensitivity"] = forest.label_sensitivity(blocks.label_sensitivity)
    return figures


def attention_figures(net: FittedNetwork, raw: Array) -> dict[str, Figure]:
    """Draw the mean attention of each head over patients; return nothing for a network without attention.

    Shape:
        raw: (N, F), NaN where a value is missing.
    """
    branch = next(
        (branch for branch in getattr(net.net, "branches", {}).values() if isinstance(branch, AttentionBranch)), None
    )
    if branch is None or not len(raw):
        return {}
    with torch.inference_mode():
        inputs = net.inputs(torch.tensor(raw, dtype=net.dtype)).split(64)
        maps = torch.cat([branch.attention(batch).sum(0, keepdim=True) for batch in inputs]).sum(0) / len(raw)
    with house_style():
        return {"attention": stability.attention(maps.double().numpy(), net.features)}
