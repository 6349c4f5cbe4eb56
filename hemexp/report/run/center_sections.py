"""Section on the scores in each center."""

from hemexp.config import get_model_title
from hemexp.evaluation.centers import is_selected
from hemexp.evaluation.heterogeneity import list_large
from hemexp.files.result import CenterValidation, Heterogeneity, Score
from hemexp.formatting import count, num, score_text
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.run.read import RunFiles, figure

_NOTHING = 0.1  # a prediction interval of the AUROC that reaches so near to 0 and to 1 says nothing
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
    low, high, beside = num(auroc.predicted_low), num(auroc.predicted_high), block.auroc_difference
    few = auroc.predicted_low < _NOTHING and auroc.predicted_high > 1 - _NOTHING
    words += (
        " They are too few to say which AUROC is to be expected in a new center."
        if few
        else f" In a new center an AUROC between {low} and {high} is to be expected."
    )
    if beside is None or block.best_baseline is None:
        return words
    best = get_model_title(block.best_baseline)
    return f"{words} Mean AUROC minus that of {best}, the best baseline: {score_text(get_mean(beside))}."


def _table(block: CenterValidation) -> Block:
    rows = [
        [
            row.center, f"{count(row.events)} / {count(row.num_patients)}", score_text(row.auroc),
            score_text(row.intercept), score_text(row.slope),
        ]
        for row in block.centers
    ]  # fmt: skip
    pooled = (block.auroc, block.intercept, block.slope)
    rows.append(["mean over centers", "", *(score_text(get_mean(score)) for score in pooled)])
    rows.append(["a new center", "", *(_expected(score) for score in pooled)])
    rows.append(["variance between centers", "", *(_share(score) for score in pooled)])
    note = (
        "95 % intervals. Calibration intercept: ideal 0, above 0 the risks are too low; slope: ideal 1. A new center: "
        "95 % prediction interval of a random-effects model. Brier scores and differences to the baseline: centers.csv."
    )
    if block.not_scored:
        small = ", ".join(f"{name} ({count(size)})" for name, size in block.not_scored.items())
        note += f" Too few of an outcome to be scored, and only in training (patients): {small}."
    if is_selected(block.not_scored, block.centers):
        note += " Without these patients the mean calibration intercept would be wrong, so it is not given."
    if block.num_without_center:
        note += f" Patients without a center take no part: {count(block.num_without_center)}."
    head = ["", "expansions / patients", "AUROC", "calibration intercept", "calibration slope"]
    return table("Scores in each center, by a model of the others", head, rows, note, len(block.centers))


def get_mean(pooled: Heterogeneity | None) -> Score | None:
    """Return the mean over centers as a score."""
    return None if pooled is None else Score(value=pooled.mean, low=pooled.low, high=pooled.high)


def _expected(pooled: Heterogeneity | None) -> str:
    return "–" if pooled is None else f"{num(pooled.predicted_low)} to {num(pooled.predicted_high)}"


def _share(pooled: Heterogeneity | None) -> str:
    return "–" if pooled is None else f"{100 * pooled.i_squared:.0f} %"
