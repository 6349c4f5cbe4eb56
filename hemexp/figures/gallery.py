"""Draw the figures of an evaluation by file name, and write them."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from hemexp.evaluation.evaluate import Evaluation
from hemexp.figures import evaluation, forest, stability
from hemexp.figures.style import change_words, house_style, save_png, stamp
from hemexp.files.result import NO_LEAKAGE, RunResult, get_wording


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


def save_figures(figures: Mapping[str, Figure], directory: Path, result: RunResult) -> dict[str, tuple[Path, int, int]]:
    """Write figures into the directory of a run; return the path, height and width in pixels of each.

    Args:
        figures: by file name.
        directory: of the run.
        result: complete; its outcome gives the words, and a verdict other than no leakage is written below.
    """
    saved = {}
    for name, figure in figures.items():
        if result.has_own_outcome:
            change_words(figure, get_wording(result))
        if result.verdict != NO_LEAKAGE:
            stamp(figure, f"verdict: {result.verdict}")
        path = directory / "figures" / f"{name}.png"
        saved[name] = (path, *save_png(figure, path))
    return saved
