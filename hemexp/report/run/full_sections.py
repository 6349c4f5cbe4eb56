"""Sections on sample size, and on the results of evaluation=full."""

from hemexp.config import get_model_title
from hemexp.files.result import Attributions, Instability, LabelScore, Optimism, SampleSize
from hemexp.formatting import count, num, score_text
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.run.read import RunFiles, figure

_OPTIMISM = {
    "apparent": "apparent",
    "optimism": "optimism",
    "corrected": "corrected",
    "out_of_bag": "out of bag",
    "corrected_632plus": ".632+",
}


def sample_size(run: RunFiles) -> Block | None:
    """Return the section on the sample size."""
    size = run.result.sample_size
    return section("sample-size", "Are there enough patients?", _sample_size(size) if size else [], folded=True)


def _sample_size(size: SampleSize) -> list[Block]:
    rows = [
        ["patients", count(size.num_patients), count(size.required_patients)],
        ["expansions", count(size.events), count(size.required_events)],
        ["parameters that the criteria count", count(size.num_parameters), ""],
        ["expansions per parameter", num(size.events_per_parameter), ""],
        ["expected shrinkage", num(size.expected_shrinkage), ""],
    ]
    if size.num_parameters == 0:
        words = (
            "No parameter is fitted to the patients, so the scores cannot fall for lack of patients. The criteria ask "
            "here only for enough patients to estimate the overall risk."
        )
    elif size.adequate:
        words = "There are enough patients for a model of this size."
    else:
        words = "There are too few patients for a model of this size: expect lower scores in new patients."
    criteria = ", ".join(f"{key.replace('_', ' ')} {count(number)}" for key, number in size.criteria.items())
    note = f"Criteria of Riley et al. (BMJ 2020;368:m441). Patients that each criterion requires: {criteria}."
    return [text(words), table("Sample size", ["", "this run", "required"], rows, note)]


def optimism(run: RunFiles) -> Block | None:
    """Return the section on the optimism of the apparent scores."""
    block = run.result.optimism
    return section("optimism", "Optimism", _optimism(block) if block else [], scored=True, folded=True)


def _optimism(block: Optimism) -> list[Block]:
    measures = (
        ("AUROC", block.auroc, 2),
        ("Brier score", block.brier, 3),
        ("calibration slope", block.calibration_slope, 2),
    )
    rows = [[name, *(num(getattr(row, key), digits) for key in _OPTIMISM)] for name, row, digits in measures]
    words = (
        f"The whole pipeline was fitted again on {count(block.num_refits)} bootstrap samples. The optimism of a refit "
        "is its score on its own patients minus its score on the original patients. It is subtracted from the apparent "
        "score."
    )
    warning = [text(f"{block.note[0].upper()}{block.note[1:]}.")] if block.note else []
    note = "These numbers have no intervals; read them beside the cross-validated scores."
    return [text(words), *warning, table("Bootstrap optimism", ["", *_OPTIMISM.values()], rows, note)]


def instability(run: RunFiles) -> Block | None:
    """Return the section on how much the risks change with the training patients."""
    block = run.result.instability
    blocks = [text(_instability(block)) if block else None, figure(run, "instability")]
    return section("instability", "Stability of the predictions", blocks, scored=True, folded=True)


def _instability(block: Instability) -> str:
    points = num(100 * block.mean_absolute_difference, 1)
    width = num(100 * block.median_interval_width, 1)
    flips = num(100 * block.classification_instability, 1)
    return (
        f"The pipeline was fitted again on {count(block.num_refits)} bootstrap samples of the patients. The risk of a "
        f"patient changed by {points} percentage points on average. The median range of the risks is {width} points "
        f"wide. On average, {flips} % of the refits change the class of a patient."
    )


def label_sensitivity(run: RunFiles) -> Block | None:
    """Return the section on other definitions of expansion."""
    title, blocks = "Other definitions of expansion", [_labels(run.result.label_sensitivity)]
    return section("label-sensitivity", title, blocks, scored=True, folded=True)


def _labels(rows: list[LabelScore]) -> Block | None:
    cells = [
        [row.definition or row.label, count(row.num_patients), count(row.events),
         *((row.note, "") if row.note else (score_text(row.auroc), score_text(row.ridge2_auroc)))]
        for row in rows
    ]  # fmt: skip
    strong = next((number for number, row in enumerate(rows) if row.is_run_label), -1)
    head = ["definition", "patients", "expansions", "model, AUROC", f"{get_model_title('ridge2')}, AUROC"]
    note = "Cross-validated AUROC (95 % interval). In bold: this run's label."
    return table("The same model under each definition", head, cells, note, strong) if cells else None


def attributions(run: RunFiles) -> Block | None:
    """Return the section on the inputs that the predictions depend on."""
    block = run.result.attributions
    blocks = [text(_attributions(block)) if block else None, figure(run, "attributions")]
    return section("attributions", "Which inputs matter", blocks, scored=True, folded=True)


def _attributions(block: Attributions) -> str:
    words = f"Method: {block.method}, over {count(block.num_fits)} fits."
    if block.rank_correlation is None:
        return words
    return (
        f"{words} The order of importance has a rank correlation between the repeats of the cross-validation of "
        f"{num(block.rank_correlation)} (1: always the same order)."
    )
