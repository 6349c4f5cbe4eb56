"""Sample size, and what only evaluation=full finds out."""

from typing import Any

from hemexp.figures.style import readable
from hemexp.formatting import count, num, score_text
from hemexp.report.blocks import Block, section, table, text
from hemexp.report.run.read import RunFiles, figure


def sample_size(run: RunFiles) -> Block | None:
    """Return the section on whether there are enough patients."""
    return section("sample-size", "Are there enough patients?", run.build("sample_size", _sample_size) or [])


def _sample_size(block: dict[str, Any]) -> list[Block]:
    rows = [
        ["patients", count(block["num_patients"]), count(block["required_patients"])],
        ["expansions", count(block["events"]), count(block["required_events"])],
        ["parameters the criteria count", count(block["num_parameters"]), ""],
        ["expansions for each parameter", num(block["events_per_parameter"]), ""],
        ["expected shrinkage", num(block["expected_shrinkage"]), ""],
    ]
    asked = block.get("criteria") or {}
    criteria = ", ".join(f"{key.replace('_', ' ')} {count(number)}" for key, number in asked.items())
    words = {
        True: "There are enough patients for a model of this size.",
        False: "There are too few patients for a model of this size: expect its scores to fall in new patients.",
    }.get(block["adequate"], "")
    if block["num_parameters"] == 0:
        words = (
            "Nothing is fitted to the patients, so no score can fall for want of them; what the criteria ask for here "
            "is enough patients to know the overall risk by."
        )
    note = (
        f"Criteria of Riley et al. (BMJ 2020;368:m441). Patients each of them asks for: {criteria}." if criteria else ""
    )
    shown = [text(words)] if words else []
    return [*shown, table("Sample size", ["", "this run", "wanted"], rows, note)]


def optimism(run: RunFiles) -> Block | None:
    """Return the section on how much the scores in the training patients flatter."""
    return section("optimism", "Optimism", run.build("optimism", _optimism) or [], scored=True)  # no figure of its own


_OPTIMISM = {
    "apparent": "apparent",
    "optimism": "optimism",
    "corrected": "corrected",
    "out_of_bag": "out of bag",
    "corrected_632plus": ".632+",
}


def _optimism(block: dict[str, Any]) -> list[Block]:
    names = {"auroc": ("AUROC", 2), "brier": ("Brier score", 3), "calibration_slope": ("calibration slope", 2)}
    rows = [
        [name, *(num(block[key].get(column), digits) for column in _OPTIMISM)]
        for key, (name, digits) in names.items()
        if block.get(key)
    ]
    words = (
        f"The whole pipeline was fitted again on {count(block['num_refits'])} bootstrap samples. How much better each "
        f"did on its own patients than on the original ones is its optimism; it is subtracted from the apparent score."
    )
    note = "These numbers have no intervals; read them beside the cross-validated scores."
    warning = block.get("note") or ""
    said = [text(f"{warning[0].upper()}{warning[1:]}.")] if warning else []
    return [text(words), *said, table("Bootstrap optimism", ["", *_OPTIMISM.values()], rows, note)]


def instability(run: RunFiles) -> Block | None:
    """Return the section on how much a patient's risk depends on who else was in the training part."""
    words = run.build("instability", _instability)
    shown = [text(words) if words else None, figure(run, "instability")]
    return section("instability", "Stability of the predictions", shown, scored=True)


def _instability(block: dict[str, Any]) -> str:
    points, width = (num(100 * block[key], 1) if block[key] is not None else "–" for key in _INSTABILITY)
    flips = block["classification_instability"]
    changed = "" if flips is None else f" On average {num(100 * flips, 1)} % of the refits change a patient's class."
    return (
        f"The pipeline was fitted again on {count(block['num_refits'])} resampled sets of patients. A patient's risk "
        f"moved by {points} percentage points on average, and the range of its refits is {width} points wide in the "
        f"median."
        f"{changed}"
    )


_INSTABILITY = ("mean_absolute_difference", "median_interval_width")


def label_sensitivity(run: RunFiles) -> Block | None:
    """Return the section on other definitions of the outcome."""
    shown = [run.build("label_sensitivity", _labels), figure(run, "label_sensitivity")]
    return section("label-sensitivity", "Other definitions of expansion", shown, scored=True)


def _labels(rows: list[dict[str, Any]]) -> Block:
    cells = [
        [row["definition"] or row["label"], count(row["num_patients"]), count(row["events"]),
         *((row["note"], "") if row["note"] else (score_text(row["auroc"]), score_text(row["ridge2_auroc"])))]
        for row in rows
    ]  # fmt: skip
    strong = next((i for i, row in enumerate(rows) if row["is_run_label"]), -1)
    head = ["definition", "patients", "expansions", "model, AUROC", "ridge2, AUROC"]
    note = (
        "Cross-validated AUROC (95 % interval); ridge2 uses volume and hours only. In bold: the definition of this run."
    )
    return table("The same model under each definition", head, cells, note, strong)


def attributions(run: RunFiles) -> Block | None:
    """Return the section on what the model leans on."""
    words = run.build("attributions", _attributions)
    found = run.tables.get("attributions")
    shown = None
    if found is not None and len(found):
        names = ["feature", "importance", "low", "high", "top10_share"]
        rows = [
            [readable(name), score_text({"value": value, "low": low, "high": high}, 3), num(share)]
            for name, value, low, high, share in found[names].head(15).itertuples(index=False)
        ]
        note = (
            "“In the top 10”: in what share of the fits the input was among the ten most important, and shuffling it "
            "cost anything."
        )
        shown = table("The most important inputs", ["", "importance (95 % interval)", "in the top 10"], rows, note)
    blocks = [text(words) if words else None, shown, figure(run, "attributions"), figure(run, "attention")]
    return section("attributions", "What the model leans on", blocks, scored=True)


def _attributions(block: dict[str, Any]) -> str:
    agreement = (
        f" The order of importance agrees between the repeats of the cross-validation with a rank correlation of "
        f"{num(block['rank_correlation'])} (1: always the same order)."
        if block.get("rank_correlation") is not None
        else ""
    )
    return f"Method: {block['method']}, over {count(block['num_fits'])} fits.{agreement}"
