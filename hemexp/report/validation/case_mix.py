"""Sections on the case mix beside the training cohort, and on inputs without values."""

import math

from hemexp.cohort.columns import IMAGING, VOLUMES, known_columns
from hemexp.figures.style import readable
from hemexp.files.model_folder import ModelInput
from hemexp.files.result import CaseMix
from hemexp.formatting import count, num, percent
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.validation.content import ValidationContent

_FIRST = 10  # inputs that are shown at once
_FAR = 0.25  # standardized difference from which an input counts as different
_OFTEN = 0.1  # share outside of a range that holds 95 % of the training patients
_ALIKE = 0.1  # relative difference of standard deviations that says nothing
_LOGARITHMS = {"log_volume": "hematoma volume, ln mL", "log_hours": "hours from onset, ln"}
_MILLILITERS = "10^-3 mL"
_NOTE = (
    "Mean (standard deviation), or the share of yes. Difference: standardized; beyond ±0.1 is often called imbalanced. "
    "Outside: known values outside of the range that holds the middle 95 % of the training patients; 5 % are expected."
)


def inputs(content: ValidationContent) -> Block | None:
    """Return the section on the inputs here and in the training cohort."""
    rows = content.validation.case_mix
    if not rows:
        return None
    pairs = list(zip(rows, content.trained.inputs, strict=True))
    pairs.sort(key=lambda pair: -abs(pair[0].difference or 0))
    head = ["", "here", "training", "difference", "outside"]
    cells = [_describe(row, trained) for row, trained in pairs]
    known = any(trained.mean is not None for _, trained in pairs)
    if not known:
        words = (
            "model.json does not hold the case mix of the training cohort: it is of an earlier version, or there were"
        )
        blocks = [text(f"{words} few patients.")]
    else:
        blocks = [text(_summarize(content)), *_say_spread(content)]
    caption = "Inputs with the largest differences" if len(cells) > _FIRST else "Inputs, the largest difference first"
    blocks.append(table(caption, head, cells[:_FIRST], _NOTE))
    if len(cells) > _FIRST:
        others = f"The other {count(len(cells) - _FIRST)} inputs"
        blocks.append(table("", head, cells[_FIRST:], folded=others))
    return section("case-mix", "Case mix: are these patients like those it has learned from?", blocks)


def _summarize(content: ValidationContent) -> str:
    validation = content.validation
    far = [row for row in validation.case_mix if row.difference is not None and abs(row.difference) > _FAR]
    outside = [row for row in validation.case_mix if row.outside is not None and row.outside > _OFTEN]
    total = count(len(validation.case_mix))
    scored = "scored" if content.result.num_test else "new"
    return (
        f"In the {count(validation.num_patients)} {scored} patients, {count(len(far))} of {total} inputs differ from "
        f"the training cohort by more than {_FAR} standard deviations, and {count(len(outside))} have more than "
        f"{percent(_OFTEN)} of their values outside of its range."
    )


def _say_spread(content: ValidationContent) -> list[Block]:
    """Return in words how much the risks spread here and there: patients who are alike are harder to rank."""
    there, here = content.validation.linear_predictor, content.validation.linear_predictor_sd
    if there is None or here is None or not there.sd:
        return []
    where = "its test part" if there.part == "test" else "its training part, which it knows"
    words = (
        f"The logits of the risks have a standard deviation of {num(here)} here and of {num(there.sd)} in {where}; "
        f"their means are {num(content.validation.linear_predictor_mean)} and {num(there.mean)}."
    )
    ratio = here / there.sd
    if ratio < 1 - _ALIKE:
        words += " To the model these patients are more alike, so a lower AUROC is expected even if the model is right."
    elif ratio > 1 + _ALIKE:
        words += " To the model these patients differ more, so a higher AUROC is expected if the model is right."
    return [text(words)]


def _describe(row: CaseMix, trained: ModelInput) -> list[str]:
    is_share = trained.kind in {"binary", "level"}
    scale = 1000 if trained.unit == _MILLILITERS else 1
    sd = trained.sd or row.sd
    digits = min(max(1 - math.floor(math.log10(sd / scale)), 0), 3) if sd else 2

    def show(mean: float | None, spread: float | None) -> str:
        if mean is None:
            return "–"
        if is_share:
            return percent(mean)
        return f"{num(mean / scale, digits)} ({num(None if spread is None else spread / scale, digits)})"

    cells = [show(row.mean, row.sd), show(trained.mean, trained.sd)]
    return [name_input(trained), *cells, num(row.difference), percent(row.outside)]


def name_input(trained: ModelInput) -> str:
    """Return the name of an input in words, with its unit."""
    if trained.name in _LOGARITHMS:
        return _LOGARITHMS[trained.name]
    known = known_columns().get(trained.name)
    if known is not None and (trained.name not in IMAGING or trained.name in VOLUMES):
        unit = "mL" if trained.unit == _MILLILITERS else trained.unit
        return f"{known.meaning}, {unit}" if unit else known.meaning
    return readable(trained.name) if trained.name in IMAGING else trained.name


def gaps(content: ValidationContent) -> Block | None:
    """Return the section on inputs without a value."""
    pairs = [
        (row, trained)
        for row, trained in zip(content.validation.case_mix, content.trained.inputs, strict=False)
        if row.missing > 0
    ]
    if not content.validation.case_mix:
        return None
    if not pairs:
        return None
    pairs.sort(key=lambda pair: -pair[0].missing)
    absent = sum(row.missing == 1 for row, _ in pairs)
    words = (
        "A gap is filled with the same value for every patient, for most models the mean of the last three patients of "
        "the training part. It may be far from these patients."
    )
    if absent:
        words += f" {count(absent)} of {count(len(content.trained.inputs))} inputs are missing in all patients."
    cells = [[name_input(trained), percent(row.missing), percent(trained.missing)] for row, trained in pairs]
    head = ["", "without a value here", "in training"]
    blocks = [text(words), table("", head, cells[:_FIRST])]
    if len(cells) > _FIRST:
        blocks.append(table("", head, cells[_FIRST:], folded=f"The other {count(len(cells) - _FIRST)} inputs"))
    return section("gaps", "Missing inputs", blocks)
