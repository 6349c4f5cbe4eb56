"""Section on the scores in each center."""

from hemexp.config import get_model_title
from hemexp.evaluation.centers import is_selected
from hemexp.evaluation.heterogeneity import list_large
from hemexp.files.result import CenterValidation, Heterogeneity, Score
from hemexp.formatting import count, num, score_text
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.run.read import RunFiles, figure

_WORDS = (
    "Each center was left out once. A model of all other centers was scored in its patients (internal-external "
    "cross-validation), as if it were a new hospital."
)


def centers(run: RunFiles) -> Block | None:
    """Return the section on the centers; None without centers."""
    block = run.result.by_center
    if block is None:
        return None
    words = _WORDS.replace("A model of", "An update by") if run.result.update else _WORDS
    blocks = [text(f"{words} {_describe_spread(block)}"), _table(block), figure(run, "centers")]
    return section("centers", "Does it work in every center?", blocks, scored=True)


def _describe_spread(block: CenterValidation) -> str:
    """Return in words how much the scores differ between centers."""
    large, auroc = list_large(block), block.auroc
    words = (
        f"The centers differ by more than chance explains in {', '.join(large)}."
        if large
        else "The scores do not clearly differ between the centers; few centers cannot show that they are equal."
    )
    if auroc is None:
        return words
    low, high = num(auroc.predicted_low), num(auroc.predicted_high)
    return f"{words} In a new center an AUROC between {low} and {high} is to be expected."


def _table(block: CenterValidation) -> Block:
    rows = [
        [
            row.center, count(row.num_patients), count(row.events), score_text(row.auroc),
            score_text(row.auroc_difference), score_text(row.intercept), score_text(row.slope),
            score_text(row.brier, 3),
        ]
        for row in block.centers
    ]  # fmt: skip
    pooled = (block.auroc, block.auroc_difference, block.intercept, block.slope)
    rows.append(["mean over centers", "", "", *(score_text(get_mean(score)) for score in pooled), ""])
    rows.append(["a new center", "", "", *(_expected(score) for score in pooled), ""])
    rows.append(["share of the variance between centers", "", "", *(_share(score) for score in pooled), ""])
    best = get_model_title(block.best_baseline) if block.best_baseline else "the best baseline"
    note = (
        f"95 % intervals. The difference is to {best}, the baseline with the highest mean AUROC over centers. "
        "Calibration intercept: ideal 0, above 0 the risks are too low; slope: ideal 1. “A new center”: 95 % "
        "prediction interval of a random-effects model."
    )
    if block.not_scored:
        small = ", ".join(f"{name} ({count(size)})" for name, size in block.not_scored.items())
        note += f" Too few of an outcome to be scored, and only in training (patients): {small}."
    if is_selected(block.not_scored, block.centers):
        note += " Without these patients the mean calibration intercept would be wrong, so it is not given."
    if block.num_without_center:
        note += f" Patients without a center take no part: {count(block.num_without_center)}."
    head = ["", "patients", "expansions", "AUROC", "difference", "calibration intercept", "slope", "Brier score"]
    return table("Scores in each center, by a model of the others", head, rows, note, len(block.centers))


def get_mean(pooled: Heterogeneity | None) -> Score | None:
    """Return the mean over centers as a score."""
    return None if pooled is None else Score(value=pooled.mean, low=pooled.low, high=pooled.high)


def _expected(pooled: Heterogeneity | None) -> str:
    return "–" if pooled is None else f"{num(pooled.predicted_low)} to {num(pooled.predicted_high)}"


def _share(pooled: Heterogeneity | None) -> str:
    return "–" if pooled is None else f"{100 * pooled.i_squared:.0f} %"
