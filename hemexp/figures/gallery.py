"""Figures of an evaluation, by file name."""

from matplotlib.figure import Figure

from hemexp.evaluation.evaluate import Evaluation
from hemexp.figures import evaluation, forest, stability
from hemexp.figures.style import house_style


def evaluation_figures(evaluated: Evaluation) -> dict[str, Figure]:
    """Draw the parts of the evaluation that were done."""
    tables, blocks, labels, risks = evaluated.tables, evaluated.blocks, evaluated.labels, evaluated.probabilities
    figures: dict[str, Figure] = {}
    with house_style():
        if labels is not None and risks is not None:
            aurocs = {row.model: row.auroc for row in blocks.comparison}
            if curves := evaluation.mean_roc(tables["cv_predictions"]):
                figures["roc"] = evaluation.roc(curves, aurocs, "cross-validated")
            figures["comparison"] = forest.comparison(blocks.comparison)
            figures["calibration"] = evaluation.calibration(
                labels, risks, tables["calibration_curve"], blocks.calibration.cv if blocks.calibration else None
            )
            figures["decision_curve"] = evaluation.decision_curve(tables["decision_curve"])
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
    return figures
